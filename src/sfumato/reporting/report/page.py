"""The HTML page around figures and tables: one file, all text escaped, no request, a strict policy.

The content security policy allows the page's own scripts by their hash and nothing else: no request can
leave the page, and a script that came in as data would not run. (Styles must be allowed inline: Plotly
sets them on its elements.)
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from sfumato.reporting.interactive import draw
from sfumato.reporting.picture import Picture
from sfumato.reporting.report.library import library, packed_library
from sfumato.reporting.tables import Table, as_html

SOURCES = "sfumato-sources"
"""Name of the element that says what the report was made from."""

_LIBRARY = "plotly-packed"


@dataclass(frozen=True)
class Panel:
    """A figure, its numbers as a table, or either; ``body`` is HTML that stands between the two.

    Attributes:
        key: unique on the page; letters and hyphens.
        title: in words.
        explanation: what is seen and how to read it, with what was aggregated or left out.
        picture, table: None where there is none.
        body: ready HTML, its text escaped.
        open_table: the table is the panel's subject and not the figure's other form; else
            it opens under ``table_name``.
    """

    key: str
    title: str
    explanation: str
    picture: Picture | None = None
    table: Table | None = None
    body: str = ""
    open_table: bool = False
    table_name: str = "The numbers as a table"


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    key: str
    title: str
    panels: tuple[Panel, ...]


def text(value: object) -> str:
    """Return the value as HTML text, quotes included.

    >>> text('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(str(value))


def script_json(value: object) -> str:
    r"""Return JSON that can stand in a script element: no ``<``, ``>``, ``&`` or line separator in it.

    >>> script_json({"name": "</script>"})
    '{"name":"\\u003c/script\\u003e"}'
    """
    encoded = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return _safe(encoded)


def _safe(encoded: str) -> str:
    for sign in "<>&\u2028\u2029":
        encoded = encoded.replace(sign, f"\\u{ord(sign):04x}")
    return encoded


def render(
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    reload_seconds: int | None = None,
    sources: Sequence[Mapping[str, str]] = (),
) -> str:
    """Return the report as one HTML document, which ends with a checksum of itself.

    ``lead`` says what matters first, in a sentence or two. With ``reload_seconds`` the page reloads itself
    after that time. ``sources`` are kept in it for other programs.
    """
    page = _page(title, lead, sections, reload_seconds, sources)
    return f"{page}<!-- sha256 {hashlib.sha256(page.encode()).hexdigest()} -->\n"


def _page(
    title: str,
    lead: str,
    sections: Sequence[Section],
    reload_seconds: int | None,
    sources: Sequence[Mapping[str, str]],
) -> str:
    script = _asset("report.js")
    hashes = " ".join(f"'sha256-{_sha256(allowed)}'" for allowed in (script, library()))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )
    reload = reload_seconds or 0
    refresh = f'<noscript><meta http-equiv="refresh" content="{reload}"></noscript>' if reload else ""
    pause = '<button type="button" id="pause" aria-pressed="false">Pause reloading</button>' if reload else ""
    links = "".join(f'<li><a href="#{s.key}">{text(s.title)}</a></li>' for s in sections)
    return "".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            '<meta name="color-scheme" content="light dark">\n',
            f"{refresh}<title>{text(title)}</title>\n<style>{_asset('report.css')}</style>\n</head>\n",
            f'<body data-reload="{reload}">\n<a class="skip" href="#main">Skip to the results</a>\n',
            f'<header><h1>{text(title)}</h1><p class="lead">{text(lead)}</p>',
            f'<nav aria-label="Sections"><ul>{links}</ul></nav><div class="controls">{pause}',
            '<button type="button" id="theme" aria-pressed="false">Dark</button></div></header>\n',
            '<main id="main">\n',
            *(_section(section) for section in sections),
            "</main>\n<footer>This file holds everything it shows and asks nothing of the network.",
            "</footer>\n",
            f'<script type="application/json" id="{SOURCES}">{script_json(list(sources))}</script>\n',
            f'<script type="text/plain" id="{_LIBRARY}">{packed_library()}</script>\n',
            f"<script>{script}</script>\n",
            "</body>\n</html>\n",
        ]
    )


def _section(section: Section) -> str:
    panels = "".join(_panel(panel) for panel in section.panels)
    title = text(section.title)
    return f'<section id="{section.key}" aria-label="{title}"><h2>{title}</h2>{panels}</section>\n'


def _panel(panel: Panel) -> str:
    parts = [f'<article id="{panel.key}"><h3 id="{panel.key}-title">{text(panel.title)}</h3>']
    parts.append(f'<p id="{panel.key}-text">{text(panel.explanation)}</p>')
    if panel.picture is not None:
        figure = draw(panel.picture)
        parts.append(
            f'<div class="figure" id="{panel.key}-figure" role="figure" aria-labelledby="{panel.key}-title" '
            f'aria-describedby="{panel.key}-text" style="height:{figure.layout.height}px"></div>'
            f'<script type="application/json" data-figure="{panel.key}-figure">'
            f"{_safe(str(figure.to_json()))}</script>"
        )
    parts.append(panel.body)
    if panel.table is not None:
        table = scrolling(panel.table)
        parts.append(
            table
            if panel.open_table
            else f"<details><summary>{text(panel.table_name)}</summary>{table}</details>"
        )
    return "".join([*parts, "</article>"])


def scrolling(table: Table) -> str:
    """Return the table in a region that scrolls by itself where the screen is narrow."""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(table.title)}">'
        f"{as_html(table)}</div>"
    )


def listing(pairs: Sequence[tuple[str, str]]) -> str:
    """Return names and values as a description list."""
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in pairs)
    return f"<dl>{items}</dl>"


def code(content: str, label: str) -> str:
    """Return text that is to be copied, in a region that scrolls by itself."""
    return f'<pre tabindex="0" role="region" aria-label="{text(label)}"><code>{text(content)}</code></pre>'


def _asset(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
