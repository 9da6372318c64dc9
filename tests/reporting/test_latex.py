"""Tables as LaTeX: every sign is escaped, and a real LaTeX, where there is one, typesets them."""

import re
import shutil
import subprocess

import pytest

from sfumato.errors import SettingError
from sfumato.reporting.latex import as_latex, latex_text
from sfumato.reporting.tables import Table

NASTY = Table.of(
    "Risk in % & more_or_less — of α* at ‘β’ ≥ 1…",
    ["set", "50 %", "a|b"],
    [
        ["<script>alert(1)</script>", "0.5 [0.4, 0.6]", 'say "so" --- or not'],
        ["x_1 $y$ \\z", "[0.1]", "#~^{} é"],
        ["[brackets] begin", "–", "× ± ∞"],
        ["*", "\x00bell\x07", "Δ(α, β)"],
    ],
    [(0, 1), (1, 2)],
)
COMMANDS = r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar|ldots)\{\}"
PDFLATEX = shutil.which("pdflatex")


def test_every_special_sign_is_escaped_and_rows_are_kept():
    text = as_latex(NASTY)
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert body.count(r"\\") == 4
    for line in body.strip().splitlines()[1:]:
        bare = re.sub(COMMANDS, "", line)
        bare = re.sub(r"\$\\[a-zA-Z]+\$|\\textbf|\\\\", "", bare).replace("-{}", "-").replace("{}[", "[")
        bare = re.sub(r"\\[&%$#_{}]", "", bare).replace("{}*", "*")
        assert not re.search(r"[%$#_~^\\]", bare), line
        assert line.count("{") == line.count("}")
        assert len(re.findall(r"(?<!\\)&", line)) == 2
    assert r"\begin{tabular}{lrr}" in text
    assert "    {}[brackets]" in text, "a bracket after \\\\ would be taken for its argument"
    assert "    {}* & ?bell? &" in text, "so would a star; what cannot be shown is a question mark"


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("α 0.25", r"$\alpha$ 0.25"),
        ("a--b---c", "a-{}-b-{}-{}-c"),
        ("1–2", "1--2"),
        ("a\n  b", "a b"),
        ("{}", r"\{\}"),
    ],
)
def test_text_is_shown_as_it_is(text, latex):
    assert latex_text(text) == latex


def test_letters_that_usual_fonts_lack_are_named_with_what_shows_them():
    assert "XeLaTeX" not in as_latex(NASTY)
    assert "needs XeLaTeX or LuaLaTeX, and a font that has 中文" in as_latex(Table.of("中文", ["a"], [["é"]]))


def test_a_label_is_checked():
    assert r"\label{tab:a-1}" in as_latex(NASTY, label="tab:a-1")
    with pytest.raises(SettingError, match=r"label must be letters, digits and .* got 'a b'"):
        as_latex(NASTY, label="a b")


def test_a_width_is_that_of_a_column_or_of_the_page():
    assert r"\begin{table}" in (column := as_latex(NASTY, width="column"))
    assert r"\ifdim\width>\columnwidth" in column
    assert column.startswith("% needs \\usepackage{booktabs} \\usepackage{graphicx}\n")
    assert r"\begin{table*}" in (page := as_latex(NASTY, width="text"))
    assert r"\ifdim\width>\textwidth" in page


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed here")
def test_latex_typesets_them_in_a_paper_of_two_columns_without_overfull_lines(tmp_path):
    wide = Table.of(
        "Wide",
        ["", *(f"method {k}" for k in range(9))],
        [["0.25", *["0.5000 [0.4000, 0.6000]"] * 9]],
        [(0, 3)],
    )
    tables = [as_latex(NASTY, width="text"), as_latex(wide, width="column", label="tab:wide")]
    (tmp_path / "paper.tex").write_text(
        "\\documentclass[twocolumn]{article}\n\\usepackage{booktabs}\n\\usepackage{graphicx}\n"
        "\\begin{document}\nSee Table~\\ref{tab:wide}.\n" + "\n".join(tables) + "\\end{document}\n"
    )
    done = subprocess.run(
        [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 0
    log = (tmp_path / "paper.log").read_text(errors="replace")
    for complaint in ("Overfull \\hbox", "Missing character", "undefined control"):
        assert complaint.lower() not in log.lower()
