"""What the site needs besides Markdown: the recorded measurements as pages, and a look at every page built.

The tables under ``benchmarks/results`` and the files to copy under ``examples`` lie outside of ``docs`` and
are linked from it as files of the repository, which works wherever the sources are read. Here they become
part of the site, and the links lead there.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = "../benchmarks/results/"
EXAMPLES = "../examples/"
_FETCHED = re.compile(r"<(?:script|img|iframe|link|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")


def on_files(files: Files, *, config: Any) -> Files:
    """Add a page for each recorded measurement, and the examples as they are."""
    for path in sorted((ROOT / RESULTS.removeprefix("../")).glob("*.md")):
        files.append(File.generated(config, f"benchmarks/{path.name}", abs_src_path=str(path)))
    for path in sorted((ROOT / EXAMPLES.removeprefix("../")).rglob("*")):
        if path.is_file():
            files.append(File.generated(config, str(path.relative_to(ROOT)), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Let links between ``docs`` and what lies outside of it lead to the pages of the site."""
    if page.file.src_uri.startswith("benchmarks/"):
        return markdown.replace("](../../docs/", "](../")
    return markdown.replace(f"]({RESULTS}", "](benchmarks/").replace(f"]({EXAMPLES}", "](examples/")


def on_post_page(output: str, *, page: Any, **_: Any) -> str:
    """Refuse a page that fetches anything from elsewhere: the site works offline and reports no reader."""
    for tag in _FETCHED.findall(output):
        if 'rel="canonical"' not in tag:
            raise PluginError(f"{page.file.src_uri}: fetches from elsewhere: {tag}")
    return output
