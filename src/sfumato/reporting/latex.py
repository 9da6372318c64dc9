"""A table as LaTeX for the package booktabs, whatever its text holds."""

from __future__ import annotations

import re

from sfumato.errors import SettingError
from sfumato.reporting.tables import Table

# "|" and the signs below and above are others in LaTeX's usual font encoding
_SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "×": r"$\times$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "→": r"$\to$",
}
_GREEK = {
    **{"α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta", "η": "eta"},
    **{"θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho"},
    **{"σ": "sigma", "τ": "tau", "φ": "varphi", "χ": "chi", "ψ": "psi", "ω": "omega", "Δ": "Delta"},
    **{"Γ": "Gamma", "Λ": "Lambda", "Φ": "Phi", "Ψ": "Psi", "Σ": "Sigma", "Θ": "Theta", "Ω": "Omega"},
}
_SIGNS |= {sign: rf"$\{name}$" for sign, name in _GREEK.items()}
_LAST_KNOWN = "\u017f"  # of the letters with accents that every LaTeX knows

_LABEL = re.compile(r"[A-Za-z0-9:._+/-]+")
WIDTHS = {"column": ("table", r"\columnwidth"), "text": ("table*", r"\textwidth")}
"""Of a page: the environment that is so wide, and the width itself."""


def latex_text(text: str) -> str:
    r"""Return plain text on one line as LaTeX that shows it as it is.

    A character that cannot be shown is a question mark; letters of other scripts are left as they are.

    >>> print(latex_text("50 % of α_1 -- [a]"))
    50 \% of $\alpha$\_1 -{}- [a]
    """
    # two hyphens would be drawn as one dash
    parts = re.split(r"(?<=-)(?=-)", " ".join(text.split()))
    return "{}".join("".join(map(_sign, part)) for part in parts)


def _sign(sign: str) -> str:
    return _SIGNS.get(sign, sign if sign.isprintable() else "?")


def require_label(label: str) -> str:
    r"""Return a text that ``\label`` takes.

    Raises:
        SettingError: other characters than letters, digits and : . _ + / -.
    """
    if not _LABEL.fullmatch(label):
        raise SettingError(f"label must be letters, digits and : . _ + / -, got {label!r}")
    return label


def as_latex(table: Table, *, label: str = "", width: str = "") -> str:
    r"""Return the table as LaTeX, its title as the caption.

    With a ``width`` (``column``, or ``text`` across both columns) the type is small, and a table that is
    still wider is scaled down to fit.

    >>> print(as_latex(Table.of("Risk in %", ["alpha", "risk"], [[0.1, 0.25]], [(0, 1)])), end="")
    % needs \usepackage{booktabs}
    \begin{table}
      \caption{Risk in \%}
      \centering
      \begin{tabular}{lr}
        \toprule
        alpha & risk \\
        \midrule
        0.1 & \textbf{0.25} \\
        \bottomrule
      \end{tabular}
    \end{table}
    """
    environment, limit = WIDTHS[width] if width else ("table", "")
    small = [r"  \small", r"  \setlength{\tabcolsep}{4pt}"] if width else []
    fitting = rf"  \resizebox{{\ifdim\width>{limit}{limit}\else\width\fi}}{{!}}{{%"
    return "\n".join(
        [
            *_needed(table, fitted=bool(width)),
            rf"\begin{{{environment}}}",
            rf"  \caption{{{latex_text(table.title)}}}",
            *([rf"  \label{{{require_label(label)}}}"] if label else []),
            r"  \centering",
            *([*small, fitting] if width else []),
            rf"  \begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"    \toprule",
            _line(list(map(latex_text, table.columns))),
            r"    \midrule",
            *(_line(_cells(table, row)) for row in range(len(table.rows))),
            r"    \bottomrule",
            r"  \end{tabular}" + ("}" if width else ""),
            rf"\end{{{environment}}}",
            "",
        ]
    )


def _needed(table: Table, *, fitted: bool) -> list[str]:
    """Return what a document needs to show the table, as comments."""
    packages = ["booktabs", "graphicx"] if fitted else ["booktabs"]
    texts = [table.title, *table.columns, *(cell for row in table.rows for cell in row)]
    others = sorted({sign for text in texts for sign in text if sign > _LAST_KNOWN} - set(_SIGNS))
    foreign = "".join(sign for sign in others if sign.isprintable())
    engine = [f"% needs XeLaTeX or LuaLaTeX, and a font that has {foreign}"] if foreign else []
    return ["% needs " + " ".join(rf"\usepackage{{{name}}}" for name in packages), *engine]


def _cells(table: Table, row: int) -> list[str]:
    texts = map(latex_text, table.rows[row])
    return [rf"\textbf{{{text}}}" if (row, at) in table.bold else text for at, text in enumerate(texts)]


def _line(cells: list[str]) -> str:
    # a bracket or star behind the \\ of the line before would be taken for its argument
    first = f"{{}}{cells[0]}" if cells[0].startswith(("[", "*")) else cells[0]
    return f"    {' & '.join([first, *cells[1:]])} \\\\"
