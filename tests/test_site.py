"""What is done to the documentation on its way to the site."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGE = SimpleNamespace(file=SimpleNamespace(src_uri="page.md"))


def load(name):
    pytest.importorskip("mkdocs")
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "tag",
    [
        '<script src="https://cdn.example/a.js"></script>',
        "<link href=//fonts.example/f.css rel=stylesheet>",
        '<img alt="" src="http://pictures.example/p.png">',
    ],
)
def test_a_page_that_fetches_from_elsewhere_is_refused(tag):
    with pytest.raises(Exception, match=r"page\.md: fetches from elsewhere"):
        load("hooks").on_post_page(f"<p>{tag}</p>", page=PAGE)


def test_a_page_may_link_elsewhere_and_fetch_its_own():
    page = '<script src="assets/a.js"></script><a href="https://arxiv.org/abs/2305.04746">paper</a>'
    assert load("hooks").on_post_page(page, page=PAGE) == page


def test_links_to_recorded_measurements_lead_to_their_pages():
    found = load("hooks").on_page_markdown("[x](../benchmarks/results/theory_balls.md)", page=PAGE)
    assert found == "[x](benchmarks/theory_balls.md)"


def test_links_to_examples_and_back_from_measurements_lead_to_the_site():
    hooks = load("hooks")
    assert hooks.on_page_markdown("[x](../examples/a.sh)", page=PAGE) == "[x](examples/a.sh)"
    recorded = SimpleNamespace(file=SimpleNamespace(src_uri="benchmarks/execution.md"))
    assert hooks.on_page_markdown("[x](../../docs/a.md#b)", page=recorded) == "[x](../a.md#b)"


def test_doctests_are_shown_as_code_and_the_words_around_them_are_not():
    docstring = (
        "Return one.\n\n>>> one()\n1\n>>> one(\n...     2\n... )\n1\n\nRaises:\n    SettingError: never."
    )
    expected = (
        "Return one.\n\n```pycon\n>>> one()\n1\n>>> one(\n...     2\n... )\n1\n```\n\n"
        "Raises:\n    SettingError: never."
    )
    assert load("griffe_doctests").fenced(docstring) == expected
