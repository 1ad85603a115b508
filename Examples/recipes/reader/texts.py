"""Draws what is printed: words, phrases, names, numbers, dates, prices, codes and addresses of 1 to 24 characters."""

import random
import re
import string
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

LONGEST = 24
TRAIN, VALIDATION, TEST = "train", "validation", "test"
FREE_WORD = 3  # words this short may stand in any phrase
COMMON, RARE = (10, 20, 35), (40, 50, 55, 60)  # SCOWL's sizes
REGIONS = ("english", "american", "british")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
UNITS = ("kg", "g", "mg", "km", "m", "cm", "mm", "ml", "l", "h", "min", "s", "MB", "GB", "kB", "px", "pt", "V", "W", "kWh", "°C",
         "°F", "Hz", "%", "in", "ft", "lb", "oz", "x")
DOMAINS = ("com", "org", "net", "de", "co.uk", "io", "edu", "fr", "info", "eu", "gov", "ch", "es", "it")
FILES = ("txt", "pdf", "jpg", "png", "py", "html", "csv", "zip", "log", "conf", "json", "c", "h", "sh", "xml", "gz")
ACCENTS = {
    "a": "àáâãäåæ", "c": "ç", "e": "èéêë", "i": "ìíîï", "n": "ñ", "o": "òóôõöø", "s": "ß", "u": "ùúûü", "y": "ýÿ",
    "A": "ÀÁÂÃÄÅÆ", "C": "Ç", "E": "ÈÉÊË", "I": "ÌÍÎÏ", "N": "Ñ", "O": "ÒÓÔÕÖØ", "U": "ÙÚÛÜ", "Y": "Ý",
}
SIGNS = "£€§°©‘’“”–—…•"
EXTRA = "".join(ACCENTS.values()) + SIGNS  # what may be printed beyond ASCII
ASCII = [chr(code) for code in range(0x21, 0x7F)]
PRINTED = {" ", *ASCII, *EXTRA}


def read(path: Path) -> str:
    """SCOWL's lists are partly in UTF-8 and partly in Latin-1."""
    data = path.read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def side(text: str, seed: str) -> str:
    """Where a text belongs: one of ten to the tests, one of fifty to the validation; all its cases and accents alike."""
    plain = unicodedata.normalize("NFD", text.lower()).encode("ascii", "ignore").decode()
    place = int.from_bytes(sha256(f"{seed}|text|{plain}".encode()).digest()[:4], "big") % 50
    return TEST if place < 5 else VALIDATION if place == 5 else TRAIN


@dataclass
class Vocabulary:
    """Words and phrases of one side of the split."""
    words: list[str]  # in lower case, without possessives
    rare: list[str]
    names: list[str]
    phrases: list[str]
    side: str
    seed: str


def read_vocabularies(root: Path, seed: str) -> dict[str, Vocabulary]:
    """By side of the split."""
    def scowl(kinds, sizes):
        lists = (root / f"usr/share/dict/scowl/{region}-{kind}.{size}"
                 for region in REGIONS for kind in kinds for size in sizes)
        return {word for path in lists if path.is_file() for word in read(path).split()}

    def usable(words):
        return {word for word in words if word == word.lower() and not word.endswith("'s") and len(word) <= LONGEST - 4}

    common = usable(scowl(("words", "contractions"), COMMON))
    american = set((root / "usr/share/dict/american-english").read_text(encoding="utf-8").split())
    rare = usable(scowl(("words", "contractions"), RARE) | american) - common
    names = {name for name in scowl(("upper", "proper-names"), COMMON + RARE) if re.fullmatch(r"[^\W\d_]{2,}", name)}
    phrases = defaultdict(list)
    for text in read_phrases(root):
        phrases[phrase_side(text, seed)].append(text)

    def vocabulary(own: str) -> Vocabulary:
        def words(all_words):
            return sorted(word for word in all_words if side(word, seed) == own)
        return Vocabulary(words(common), words(rare), words(names), phrases[own], own, seed)
    return {own: vocabulary(own) for own in (TRAIN, VALIDATION, TEST)}


def phrase_side(text: str, seed: str) -> str:
    """A phrase goes where its rarest kind of word does; short words may stand in any."""
    sides = {side(word, seed) for word in re.findall("[A-Za-z]+", text) if len(word) > FREE_WORD}
    return next((own for own in (TEST, VALIDATION) if own in sides), TRAIN)


def read_phrases(root: Path) -> list[str]:
    """Parts of WordNet's examples that are short enough: two to five words that follow each other."""
    found = set()
    for part in ("noun", "verb", "adj", "adv"):
        for line in (root / f"usr/share/wordnet/data.{part}").read_text(encoding="ascii", errors="replace").splitlines():
            for example in re.findall(r'"([^"]+)"', line.partition("| ")[2]):
                words = example.split()
                if not re.fullmatch(r"[ -~]+", example) or "`" in example:
                    continue
                for count in (2, 3, 4, 5):
                    for start in range(0, len(words) - count + 1, count):
                        phrase = " ".join(words[start:start + count])
                        if len(phrase) <= LONGEST:
                            found.add(phrase)
    return sorted(found)


# MARK: Kinds


def word(source: Vocabulary, draw: random.Random) -> str:
    text = draw.choice(source.words if draw.random() < 0.5 else source.rare)
    return f"{text}'s" if draw.random() < 0.03 else text


def cased(text: str, draw: random.Random) -> str:
    kind = draw.random()
    if kind < 0.5:
        return text
    if kind < 0.74:
        return text[:1].upper() + text[1:]
    if kind < 0.95:
        return text.upper() if "ß" not in text else text
    if kind < 0.98:
        return "".join(draw.choice((letter.lower(), letter.upper())) if letter != "ß" else letter for letter in text)
    return text.title() if "'" not in text else text


def plain_word(source, draw):
    return cased(word(source, draw), draw)


def accented(source, draw):
    """A word whose letters partly have accents, as names and words of other languages do."""
    text = cased(word(source, draw), draw)
    share = draw.choice((0.15, 0.3, 0.6))
    return "".join(draw.choice(ACCENTS[letter]) if letter in ACCENTS and draw.random() < share else letter for letter in text)


def punctuated(source, draw):
    text = plain_word(source, draw)
    other = plain_word(source, draw)
    return draw.choice((
        f"{text},", f"{text}.", f"{text}:", f"{text};", f"{text}!", f"{text}?", f'"{text}"', f"'{text}'", f"({text})", f"[{text}]",
        f"{text}...", f"({text}", f"{text})", f"{text}-{other}", f"{text}/{other}", f"{text} & {other}", f"<{text}>", f"{text}*",
        f"#{text}", f"{text},", f"{text}.", f"{{{text}}}", f"{text} - {other}", f"~{text}", f"{text}=", f"${text}", f"^{text}"))


def phrase(source, draw):
    text = draw.choice(source.phrases)
    kind = draw.random()
    if kind < 0.6:
        return text
    return (text[:1].upper() + text[1:], text.title(), text.upper())[draw.randrange(3)] if "'" not in text else text.upper()


def pair(source, draw):
    return cased(f"{word(source, draw)} {word(source, draw)}", draw)


def name(source, draw):
    one, two = draw.choice(source.names), draw.choice(source.names)
    text = draw.choice((one, one, f"{one} {two}", f"{one[0]}. {two}", f"{draw.choice(('Mr.', 'Mrs.', 'Dr.', 'Ms.', 'Prof.'))} {two}",
                        f"{two}, {one[0]}.", f"{one}'s"))
    return text.upper() if draw.random() < 0.2 else text


def number(source, draw):
    value = draw.randrange(10 ** draw.randint(1, 8))
    return draw.choice((
        f"{value}", f"{value}", f"{value:,}", f"{value / 100:.2f}", f"{value / 10:.1f}", f"{value % 1000 / 10:.1f}%", f"-{value}",
        f"+{value}", f"{value % 10000} {draw.choice(UNITS)}", f"{value % 1000}{draw.choice(UNITS)}", f"{value % 100}/{value % 97 + 1}",
        f"{value % 1000}-{value % 1000 + draw.randint(1, 50)}", f"No. {value % 10000}", f"{value % 100 + 1}.", f"({value % 1000})",
        f"{value % 90}.{draw.randint(0, 20)}.{draw.randint(0, 99)}", f"{value / 7:.3e}"))


def date(source, draw):
    day, month, year = draw.randint(1, 31), draw.randint(1, 12), draw.randint(1900, 2060)
    long = MONTHS[month - 1]
    short = long[:3]
    hour, minute, second = draw.randint(0, 23), draw.randint(0, 59), draw.randint(0, 59)
    return draw.choice((
        f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}", f"{day}.{month}.{year}", f"{month}/{day}/{year % 100:02}",
        f"{day} {short} {year}", f"{short} {day}", f"{long} {day}, {year}", f"{day} {long} {year}", f"{long} {year}",
        f"{draw.choice(DAYS)} {day} {short}", f"{hour}:{minute:02}", f"{hour:02}:{minute:02}:{second:02}",
        f"{hour % 12 + 1}:{minute:02} {draw.choice(('AM', 'PM', 'am', 'pm'))}", f"{hour % 12 + 1}{draw.choice(('am', 'pm'))}"))


def price(source, draw):
    cents = draw.randrange(1, 10 ** draw.randint(2, 7))
    amount = draw.choice((f"{cents / 100:,.2f}", f"{cents / 100:.2f}", f"{cents // 100 + 1}"))
    sign = draw.choice("$$€€£")
    return draw.choice((f"{sign}{amount}", f"{sign}{amount}", f"{sign} {amount}", f"{amount} {sign}", f"{amount}{sign}",
                        f"{draw.choice(('USD', 'EUR', 'GBP', 'CHF'))} {amount}", f"-{draw.randint(1, 90)}%"))


def code(source, draw):
    def some(characters, least, most):
        return "".join(draw.choice(characters) for _ in range(draw.randint(least, most)))
    upper, digits = string.ascii_uppercase, string.digits
    return draw.choice((
        some(upper, 1, 3) + some(digits, 1, 6), f"{some(upper, 2, 3)}-{some(digits, 2, 4)}", some(upper + digits, 4, 10),
        f"{some(upper, 1, 3)} {some(digits, 2, 4)}", f"{some(upper, 1, 3)}-{some(upper, 1, 2)} {some(digits, 1, 4)}",
        "-".join(some(upper + digits, 4, 4) for _ in range(draw.randint(2, 4))), some("0123456789abcdef", 6, 12),
        f"#{some(digits, 2, 6)}", f"{some(upper, 2, 2)}{some(digits, 2, 2)} {some(upper, 3, 3)}", f"0x{some('0123456789ABCDEF', 2, 8)}",
        f"+{some(digits, 1, 2)} {some(digits, 3, 4)} {some(digits, 4, 7)}", f"({some(digits, 3, 3)}) {some(digits, 3, 3)}-{some(digits, 4, 4)}",
        f"{some(digits, 5, 5)}", f"{some(digits, 3, 3)}-{some(digits, 2, 2)}-{some(digits, 4, 4)}", f"v{some(digits, 1, 1)}.{some(digits, 1, 2)}",
        ".".join(str(draw.randint(0, 255)) for _ in range(4)), some(string.ascii_letters + digits, 5, 12)))


def address(source, draw):
    one, two = (re.sub("[^a-z]", "", word(source, draw)) or "x" for _ in range(2))
    end, file = draw.choice(DOMAINS), draw.choice(FILES)
    return draw.choice((
        f"{one}@{two}.{end}", f"{one[:1]}.{two}@{one}.{end}", f"{one}{draw.randint(1, 99)}@{two}.{end}", f"www.{one}.{end}",
        f"http://{one}.{end}", f"https://{one}.{end}", f"{one}.{end}/{two}", f"{two}.{end}", f"@{one}_{two}", f"/{one}/{two}",
        f"{one}.{file}", f"{one}_{two}.{file}", f"./{one}", f"~/{one}", f"{one}-{two}", f"{one}_{two}", f"{one}()", f"--{one}",
        f"{one}={draw.randint(0, 99)}", f"{one}?{two}={draw.randint(1, 9)}", f"{one}:{draw.randint(1, 9999)}", f"{one}{two.title()}"))


def labelled(source, draw):
    text = plain_word(source, draw)
    return draw.choice((f"{text} {draw.randint(0, 999)}", f"{text}: {draw.randint(0, 99)}", f"{draw.randint(1, 99)} {text}",
                        f"{text}{draw.randint(0, 99)}", f"{draw.randint(1, 20)}. {text}"))


def characters(source, draw):
    """Any characters, so that rare ones are known."""
    pool = ASCII + list(EXTRA) if draw.random() < 0.35 else ASCII
    return "".join(draw.choice(pool) for _ in range(draw.choice((1, 2, 2, 3, 3, 4, 5, 6))))


KINDS = {plain_word: 45, phrase: 12, name: 5, number: 7, date: 4, price: 3, code: 5, address: 5, labelled: 3, punctuated: 6,
         accented: 5, pair: 3, characters: 3}
MADE = {number, date, price, code, labelled, characters}  # not of the split's words alone


def draw_text(source: Vocabulary, draw: random.Random, kinds=KINDS) -> tuple[str, str]:
    """A text of the vocabulary's side of the split, and its kind."""
    while True:
        kind = draw.choices(list(kinds), list(kinds.values()))[0]
        text = kind(source, draw)
        if not 1 <= len(text) <= LONGEST or not PRINTED.issuperset(text):
            continue
        if kind not in MADE or side(text, source.seed) == source.side:
            return typeset(text, draw) if draw.random() < 0.3 else text, kind.__name__.replace("plain_", "")


def typeset(text: str, draw: random.Random) -> str:
    """With the quotes, dashes and dots of set type; as many characters or fewer."""
    for typed, set_type in (("...", "…"), (" - ", draw.choice((" – ", " — "))), ("'", "’")):
        text = text.replace(typed, set_type)
    if text.startswith("’"):
        text = "‘" + text[1:]
    if re.fullmatch('"[^"]+"', text):
        text = f"“{text[1:-1]}”"
    if re.fullmatch(r"\d+-\d+", text):
        text = text.replace("-", "–")
    return f"• {text}" if len(text) <= LONGEST - 2 and draw.random() < 0.05 else text


PHRASES = {phrase: 1}
