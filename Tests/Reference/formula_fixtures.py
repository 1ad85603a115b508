"""Writes Tests/Fixtures/formulas/cases.json: formulas, and what TexTeller's package makes of each behind its tokenizer: each of its
four functions, `latex` and `katex`, what `img2latex` makes of a text without `keep_style` by `out_format`.

    pip download --no-deps texteller==1.0.2 && python3 -m zipfile -e texteller-1.0.2-py3-none-any.whl wheel
    python3 formula_fixtures.py wheel

The functions need Python alone, the package that they are in much more; so it is not imported as a whole."""

import contextlib
import json
import sys
import types
from pathlib import Path

OUT = Path(__file__).parent.parent / "Fixtures" / "formulas"
for name in ("texteller", "texteller.api", "texteller.utils"):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [str(Path(sys.argv[1], *name.split(".")))]

from texteller.api.format import format_latex
from texteller.api.katex import to_katex
from texteller.utils.latex import add_newlines, remove_style

FORMULAS = [
    r"",
    r"E=mc^{2}",
    r"\frac{\mathrm{d}y}{\mathrm{d}x}=\sqrt{x^{2}+\sqrt{y}}",
    r" \alpha \qquad\beta \quad \gamma\hfill\delta  ",
    # bold and italic type
    r"\mathbf{x}+\bm{y}+\boldsymbol{z}+\mathrm{w}",
    r"\bm{a\bm{b\bm{c}}d}\textbf{e}\textit{f}",
    r"\boldmath{x}\boldmath {y}\boldmath$z$\boldmath $w$",
    r"\emph{a}\emph {b}{\bf c}\bf d",
    r"\mathbf{\{a\}}+\mathbf{\\}+\mathbf{b\}",
    r"\bm{\bm}{x}{y}",
    # boxes
    r"\mbox{if }x>0,\mbox { else }y",
    r"\mbox\mbox {{x}}\mbox {a}\mbox\mbox {{y}}",
    r"\hbox{a}\hbox to 12.5pt{b}\hbox to - 3.0{c}\hbox to 3{d}",
    r"\raise 1.5pt x\raise-2.25pt\hbox{y}\raise \hbox{1.5}z\raise٣.٤pt w",
    r"\makebox{a}\makebox[2.5pt]{b}\makebox [2.5]{c}\makebox[2]{d}",
    r"\raisebox{-1.5pt}{a}\scalebox{0.5}{b}\scalebox{- 2.0}{c}\raisebox{d}\vbox{e\vbox{f}}",
    # sizes
    r"\large$x+\Huge$y$$\tiny$z",
    r"\large{x}\scriptsize$y$\normalsize$\$5$\footnotesize x",
    r"\left{a\right}\left(\frac{1}{2}\right)\big{(}\Biggl{[}x\Biggr{]}\bigm{|}",
    r"\left{{x}}\left{\left}{y}\middle{\middle{|}",
    r"\left{{{{a}}}}\left{b}\left{c}",
    r"\left{{{\right}\left{\left{",
    # spaces and dollars
    r"a\,b\,\,c\!d\;\:e\,\!f\\,g",
    r"\[x=1\]\[y=2\]",
    "\\[x=1\n\\]\\[2pt]\\[\\]",
    r"a\vspace{1cm}b\vspace{{x}}c\vspace{",
    r"$x$ and $y$, $$z$$, \a$x$, \a $x$, $",
    "$p$y$q$ $y$ $p y q$ $x\n$z$",
    r"\text{a}\text{b} \text{c}x\text{d} y\text{e}\text{f",
    r"\text{a\text{b}\text{}} \text{ c }",
    "a   b \t c\\newline",
    # braces that do not match
    r"\mathbf{x",
    r"\mathbf{a\mathbf{b}\mbox{c\Huge$d",
    r"}}\bm{x}}{{",
    r"\bm\{x\}\bm{\\{x}}",
    # lines
    r"\begin{array}{cc}a&b\\c&d\end{array}",
    r"x=\begin{cases}1 & a\\ \begin{matrix}b\\  c\end{matrix}\\2\end{cases}\qquad(1)",
    "\\begin{align*}\n a&=b\\\\\n\n\n\n c&=d \\\\\\\n\\end{align*}  \n",
    r"\begin{a}\begin{b}\end{b}\begin{c",
    r"\left(\begin{a}[(x\end{a}\begin{b}y\end{b}\right)",
    "(a\n[b\n{c\n}d\n]e\n)f\n)g\nh(\ni",
    r"\begin{itemize}\item a\item b\itemx c\end{itemize}\itemx",
    r"\section{a}b\subsubsection*{c}\chapter{d}\part*{e}\partial{f}",
    "a%b\\begin{c}\nd\\%e\\begin{c}%\\end{c}\n\\x%y\\item",
    "a\r\nb\r \nc\u2028d\x0be\x1cf\u3000\n\u3000g",
    "\\text{日本}\\mathbf{é}\\mbox{\U0001d465}",
]


def chain(*functions):
    def apply(text):
        for function in functions:
            text = function(text)
        return text

    return apply


FUNCTIONS = {
    "to_katex": to_katex,
    "remove_style": remove_style,
    "format_latex": format_latex,
    "add_newlines": add_newlines,
    "latex": chain(remove_style, format_latex, add_newlines),
    "katex": chain(to_katex, remove_style, format_latex, add_newlines),
}

with contextlib.redirect_stdout(sys.stderr):
    cases = [{"text": text} | {name: apply(text) for name, apply in FUNCTIONS.items()} for text in FORMULAS]
OUT.mkdir(exist_ok=True)
(OUT / "cases.json").write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n")
