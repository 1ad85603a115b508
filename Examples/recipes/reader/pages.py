"""Web pages of several kinds of site, filled by a seed: what the set of screenshots is cut from."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import texts

SANS = ("DejaVu Sans", "Noto Sans", "Liberation Sans", "Cantarell", "Roboto", "Lato", "Inter")
SERIF = ("DejaVu Serif", "Noto Serif", "Liberation Serif")
MONO = ("DejaVu Sans Mono", "Liberation Mono", "Noto Mono")  # without ligatures that look like other characters
LIGHT, DARK = "light", "dark"
SCALES = (1, 1, 1.25, 1.5, 2)  # device pixels per CSS pixel


@dataclass(frozen=True)
class Palette:
    paper: str
    card: str
    ink: str
    faint: str
    accent: str
    line: str


PALETTES = {
    LIGHT: (Palette("#ffffff", "#f4f5f7", "#1b1f24", "#69707a", "#0b5fc0", "#d9dde2"),
            Palette("#fbf8f1", "#fffdf8", "#2c2416", "#86795f", "#a33b12", "#e4dcc8"),
            Palette("#eef3f8", "#ffffff", "#22303c", "#7890a5", "#0a7d55", "#cbd8e4")),
    DARK: (Palette("#0d1117", "#161b22", "#e6edf3", "#8b949e", "#58a6ff", "#30363d"),
           Palette("#1e1e1e", "#2a2a2a", "#d4d4d4", "#858585", "#ce9178", "#3c3c3c"),
           Palette("#10243a", "#16314f", "#dbe9f6", "#7f9dbb", "#ffc145", "#2a4767")),
}


@dataclass
class Writer:
    """Draws what stands on a page."""
    draw: random.Random
    vocabulary: texts.Vocabulary
    sentences: list[str]
    used: set[str] = field(default_factory=set)

    def of(self, *kinds: Callable) -> str:
        text, _ = texts.draw_text(self.vocabulary, self.draw, dict.fromkeys(kinds, 1))
        return escape(text)

    def sentence(self) -> str:
        text = self.draw.choice(self.sentences)
        text = text[0].upper() + text[1:] + "."
        return escape(text.replace("'", "’") if self.draw.random() < 0.5 else text)

    def paragraph(self, count: int, links: float = 0.0) -> str:
        words = " ".join(self.sentence() for _ in range(count)).split(" ")
        return " ".join(f"<a>{word}</a>" if self.draw.random() < links else word for word in words)

    def title(self, words: int = 4) -> str:
        return " ".join(self.of(texts.plain_word).capitalize() for _ in range(words))

    def many(self, count: int, part: Callable[[], str]) -> str:
        return "".join(part() for _ in range(count))

    def picture(self, width: int, height: int) -> str:
        """What a photograph or a drawing is on a page: a few shapes over a gradient."""
        hue, draw = self.draw.randrange(360), self.draw
        shapes = "".join(
            f'<circle cx="{draw.randrange(width)}" cy="{draw.randrange(height)}" r="{draw.randint(4, 40)}" '
            f'fill="hsl({(hue + draw.randrange(120)) % 360} 60% {draw.randint(20, 80)}%)"/>' for _ in range(7))
        return (f'<svg width="{width}" height="{height}" style="background:linear-gradient({draw.randrange(360)}deg,'
                f'hsl({hue} 50% 30%),hsl({hue + 60} 60% 75%))">{shapes}</svg>')


# MARK: Sites


def news(w: Writer) -> str:
    def story():
        return (f"<article>{w.picture(250, 110)}<h3>{w.title(5)}</h3><p class=faint>{w.of(texts.name)} · {w.of(texts.date)}</p>"
                f"<p>{w.paragraph(2)}</p></article>")
    return (f"<header><h1 class=serif>{w.title(3)}</h1><nav>{w.many(7, lambda: f'<a>{w.title(1)}</a> ')}</nav></header>"
            f"<h2 class=serif>{w.title(7)}</h2><p class=serif>{w.paragraph(4, 0.05)}</p><div class=grid>{w.many(6, story)}</div>")


def shop(w: Writer) -> str:
    def offer():
        return (f"<article class=card>{w.picture(220, 90)}<h4>{w.title(2)}</h4><p><b>{w.of(texts.price)}</b> "
                f"<s class=faint>{w.of(texts.price)}</s> <span class=badge>{w.of(texts.price)}</span></p>"
                f"<p class=small>{w.of(texts.code)} · {w.of(texts.number)}</p><button>{w.title(2)}</button></article>")
    return f"<header><h1>{w.title(2)}</h1><input value='{w.title(2)}'></header><div class=grid>{w.many(12, offer)}</div>"


def manual(w: Writer) -> str:
    def code():
        return (f"<i>{w.of(texts.address)}</i> = <b>{w.of(texts.address)}</b>({w.of(texts.number)}, "
                f"<u>“{w.of(texts.plain_word)}”</u>)  # {w.of(texts.phrase)}\n")
    def part():
        return (f"<h2>{w.title(3)}</h2><p>{w.paragraph(2, 0.06)} <code>{w.of(texts.address)}</code> {w.paragraph(1)}</p>"
                f"<pre class=card>{w.many(5, code)}</pre><ul>{w.many(3, lambda: f'<li>{w.sentence()}</li>')}</ul>")
    return (f"<div class=side><aside>{w.many(18, lambda: f'<p><a>{w.title(2)}</a></p>')}</aside>"
            f"<main><h1>{w.title(3)}</h1>{w.many(3, part)}</main></div>")


def dashboard(w: Writer) -> str:
    def row():
        cells = (texts.code, texts.name, texts.date, texts.number, texts.price, texts.address)
        return (f"<tr>{''.join(f'<td>{w.of(kind)}</td>' for kind in cells)}"
                f"<td><span class=badge>{w.title(1)}</span></td></tr>")
    tiles = w.many(4, lambda: f"<article class=card><p class=faint>{w.title(2)}</p><h2>{w.of(texts.number)}</h2>"
                              f"<p class=small>{w.of(texts.number)}</p></article>")
    head = "".join(f"<th>{w.title(1)}</th>" for _ in range(7))
    return f"<header><h1>{w.title(2)}</h1></header><div class=grid>{tiles}</div><table><tr>{head}</tr>{w.many(16, row)}</table>"


def mail(w: Writer) -> str:
    def line():
        return (f"<tr><td><b>{w.of(texts.name)}</b></td><td>{w.title(3)} <span class=faint>— {w.sentence()[:60]}</span></td>"
                f"<td class=small>{w.of(texts.date)}</td></tr>")
    return (f"<div class=side><aside>{w.many(9, lambda: f'<p>{w.title(1)} <b>{w.of(texts.number)}</b></p>')}</aside>"
            f"<main><table>{w.many(20, line)}</table><p>{w.of(texts.address)}</p></main></div>")


def encyclopedia(w: Writer) -> str:
    facts = w.many(8, lambda: f"<tr><th>{w.title(1)}</th><td>{w.of(texts.name, texts.number, texts.date, texts.accented)}</td></tr>")
    return (f"<h1 class=serif>{w.title(2)}</h1><table class='card right'><tr><td colspan=2>{w.picture(220, 130)}</td></tr>{facts}</table>"
            + w.many(4, lambda: f"<p>{w.paragraph(4, 0.15)} <sup><a>[{w.draw.randint(1, 99)}]</a></sup></p><h2 class=serif>{w.title(2)}</h2>"))


def settings(w: Writer) -> str:
    def field():
        return (f"<p><label>{w.title(2)}</label> <input value='{w.of(texts.name, texts.address, texts.number)}'> "
                f"<span class='faint small'>{w.sentence()[:50]}</span></p>")
    return (f"<h1>{w.title(2)}</h1><div class=card>{w.many(9, field)}</div>"
            f"<p>{w.many(3, lambda: f'<button>{w.title(1)}</button> ')}</p><div class=card>{w.many(6, field)}</div>")


def terminal(w: Writer) -> str:
    def line():
        return (f"<u>{w.of(texts.date)}</u> <b>{w.of(texts.code)}</b> <i>{w.of(texts.address)}</i>: {w.of(texts.phrase)} "
                f"{w.of(texts.number)} [{w.of(texts.labelled)}]\n")
    return f"<pre>{w.many(38, line)}</pre>"


def forum(w: Writer) -> str:
    def post():
        return (f"<article class=card><p><b>{w.of(texts.address)}</b> <span class='faint small'>{w.of(texts.date)} · "
                f"{w.of(texts.labelled)}</span></p><p>{w.paragraph(2, 0.03)} {w.of(texts.punctuated)}</p>"
                f"<p class=small><a>{w.title(1)}</a> · <a>{w.title(1)}</a></p></article>")
    return f"<h1>{w.title(4)}</h1>{w.many(7, post)}"


SITES = (news, shop, manual, dashboard, mail, encyclopedia, settings, terminal, forum)


@dataclass(frozen=True)
class Page:
    site: str
    shade: str
    scale: float
    html: str


def page(site: Callable[[Writer], str], shade: str, writer: Writer) -> Page:
    draw = writer.draw
    palette, size = draw.choice(PALETTES[shade]), draw.choice((13, 14, 15, 16))
    sans, serif, mono = draw.choice(SANS), draw.choice(SERIF), draw.choice(MONO)
    body_font = serif if site is encyclopedia and draw.random() < 0.5 else sans
    style = f"""
      body {{ background: {palette.paper}; color: {palette.ink}; font: {size}px/1.45 '{body_font}'; margin: 16px 28px; }}
      h1, h2, h3, h4 {{ margin: 8px 0; }} h1 {{ font-size: 2em; }} p {{ margin: 6px 0; }}
      .serif {{ font-family: '{serif}'; }} pre, code {{ font-family: '{mono}'; font-size: 0.92em; }}
      .faint {{ color: {palette.faint}; }} .small {{ font-size: 0.82em; }} a {{ color: {palette.accent}; }}
      header {{ border-bottom: 2px solid {palette.accent}; }} nav a {{ margin-right: 14px; text-decoration: none; }}
      p a {{ text-decoration: {draw.choice(("underline", "none"))}; }}
      .card {{ background: {palette.card}; border: 1px solid {palette.line}; border-radius: 6px; padding: 8px 12px; margin: 8px 0; }}
      .grid {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: 14px; }}
      .side {{ display: grid; grid-template-columns: 210px 1fr; gap: 24px; }} .right {{ float: right; margin-left: 20px; }}
      .badge {{ background: {palette.accent}; color: {palette.paper}; border-radius: 9px; padding: 1px 7px; font-size: 0.8em; }}
      button {{ background: {palette.accent}; color: {palette.paper}; border: 0; padding: 5px 14px; font: inherit; border-radius: 4px; }}
      input {{ background: {palette.paper}; color: {palette.ink}; border: 1px solid {palette.line}; font: inherit; width: 240px; }}
      label {{ display: inline-block; width: 200px; font-weight: bold; }} table {{ border-collapse: collapse; }}
      td, th {{ padding: 3px 12px 3px 0; border-bottom: 1px solid {palette.line}; text-align: left; }}
      pre u {{ color: {palette.faint}; text-decoration: none; }} pre i {{ color: {palette.accent}; }}"""
    html = f"<!DOCTYPE html><meta charset=utf-8><style>{style}</style><body>{site(writer)}</body>"
    return Page(site.__name__, shade, draw.choice(SCALES), html)


def read_sentences(root: Path) -> list[str]:
    """WordNet's definitions; the pictures to train with have words of its examples, and none of these."""
    found = set()
    for part in ("noun", "verb", "adj", "adv"):
        for line in (root / f"usr/share/wordnet/data.{part}").read_text(encoding="ascii", errors="replace").splitlines():
            definition = line.partition("| ")[2].partition('; "')[0].strip()
            if re.fullmatch(r"[a-z][ -~]{20,120}", definition) and "`" not in definition:
                found.add(definition)
    return sorted(found)
