"""Which faces are ordinary Latin ones, which of them are one design, and which are held out.

The rules were fixed before any result was seen. A face is compared by its letters, each black on white, stretched to its
own box and reduced to 24 x 24 dots.
"""

import re
import string
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageFont

from texts import EXTRA

CHARACTERS = [chr(code) for code in range(0x21, 0x7F)]
LETTERS = string.ascii_letters + string.digits
DIFFERENT_CASE = "abdeghnqrt"  # whose small forms are no smaller capitals
REFERENCES = ["DejaVuSans.ttf", "DejaVuSerif-Italic.ttf", "LiberationSerif-Regular.ttf", "LiberationSans-Bold.ttf",
              "LiberationMono-Regular.ttf"]

SIZE, DOTS = 96, 24  # pixels of the em, dots of a side
MOST_EQUAL = 6  # of the 94 characters; some draw I, l and 1 or O and 0 alike
LEAST_CASE_DIFFERENCE = 0.15  # share of dots that differ between small letters and capitals
LEAST_READABLE = 0.5  # share of letters and digits that are nearest to themselves in the reference faces
MOST_DUPLICATE = 0.02  # share of dots that differ between faces of one design
DISPLAY_WEIGHT = 0.25

STYLES = set("""thin hairline extralight ultralight light book regular roman medium demi demibold semi semibold bold extra
extrabold ultra ultrabold black heavy fat italic oblique slanted condensed cond narrow compressed expanded extended wide semicondensed
extracondensed ultracondensed normal display text caption subhead title titling small caps sc smallcaps alt std pro math
nf compact mono8 half rounded outline shadow inline it bd lt md cn web demilight semilight retina""".split())


@dataclass(frozen=True)
class Face:
    path: str
    family: str
    style: str
    is_display: bool
    extra: str  # the characters of texts.EXTRA that it has
    dots: tuple[int, ...]  # of LETTERS

    @property
    def name(self) -> str:
        return f"{self.family} {self.style}"

    @property
    def stem(self) -> str:
        """The family without what says a weight, a width or an optical size."""
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", self.family)
        words = [word for word in re.split(r"[\s_-]+", spaced) if not re.fullmatch(r"[\d.]+(pt)?", word)]
        kept = [word for word in words if word.lower() not in STYLES]
        return " ".join(kept or words).lower()


@dataclass
class Design:
    """Faces that share outlines or a family's name."""
    name: str
    faces: list[Face]
    clan: str = ""  # designs some of whose families' names begin with the same word; a clan is on one side of the split

    @property
    def weight(self) -> float:
        return DISPLAY_WEIGHT if all(face.is_display for face in self.faces) else 1.0


def dots(font: ImageFont.FreeTypeFont, character: str) -> int | None:
    """The character in its own box as DOTS x DOTS bits; nil where nothing is drawn."""
    left, top, right, bottom = font.getbbox(character)
    if right <= left or bottom <= top:
        return None
    mask, _ = font.getmask2(character, mode="L")
    picture = Image.frombytes("L", mask.size, bytes(mask))
    box = picture.getbbox()
    if box is None:
        return None
    small = picture.crop(box).resize((DOTS, DOTS), Image.Resampling.BOX)
    return int.from_bytes(small.point(lambda value: 255 * (value >= 128), "1").tobytes(), "big")


def differing(first: int, second: int) -> float:
    return (first ^ second).bit_count() / DOTS**2


def references(files: list[Path]) -> dict[str, list[int]]:
    """Per character its forms in the reference faces."""
    found = {path.name: path for path in files}
    fonts = [ImageFont.truetype(str(found[name]), SIZE) for name in REFERENCES]
    return {character: [dots(font, character) for font in fonts] for character in LETTERS}


def is_nearest(shape: int, character: str, known: dict[str, list[int]]) -> bool:
    """Whether no other character of the references is nearer, small letters and capitals being one."""
    same = {character.lower(), character.upper()}
    own = min((shape ^ form).bit_count() for other in same & known.keys() for form in known[other])
    return all((shape ^ form).bit_count() >= own for other, forms in known.items() if other not in same for form in forms)


def examine(path: Path, is_display: bool, known: dict[str, list[int]]) -> tuple[Face | None, str]:
    """The face, or the rule that drops it."""
    try:
        font = ImageFont.truetype(str(path), SIZE, layout_engine=ImageFont.Layout.BASIC)
        family, style = (part or "" for part in font.getname())
        if family.startswith("."):
            return None, "hidden"
        missing = dots(font, "\uffff")
        shapes = {character: dots(font, character) for character in CHARACTERS}
        extra = {character: dots(font, character) for character in EXTRA}
    except (OSError, ValueError, MemoryError):
        return None, "not drawn"
    if any(shape is None for shape in shapes.values()) or (missing and list(shapes.values()).count(missing) > 0):
        return None, "characters missing"
    if len(CHARACTERS) - len(set(shapes.values())) > MOST_EQUAL:
        return None, "characters alike"
    case = [differing(shapes[letter], shapes[letter.upper()]) for letter in DIFFERENT_CASE]
    if sum(case) / len(case) < LEAST_CASE_DIFFERENCE:
        return None, "capitals only"
    readable = sum(is_nearest(shapes[character], character, known) for character in LETTERS)
    if readable < LEAST_READABLE * len(LETTERS):
        return None, "not readable"
    has = "".join(character for character, shape in extra.items() if shape not in (None, missing))
    return Face(str(path), family, style, is_display, has, tuple(shapes[letter] for letter in LETTERS)), ""


class Groups:
    """Numbers that are joined to groups."""

    def __init__(self, count: int):
        self.parent = list(range(count))

    def root(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def join(self, first: int, second: int) -> None:
        self.parent[self.root(first)] = self.root(second)


def designs(faces: list[Face]) -> list[Design]:
    """Joins faces of one family and faces whose outlines are nearly the same, and names the clans."""
    groups, by_stem = Groups(len(faces)), {}
    for index, face in enumerate(faces):
        groups.join(index, by_stem.setdefault(face.stem, index))
    bits = DOTS**2
    joined = [sum(shape << bits * place for place, shape in enumerate(face.dots)) for face in faces]
    limit = MOST_DUPLICATE * bits * len(LETTERS)
    for index, first in enumerate(joined):
        for other in range(index):
            if (first ^ joined[other]).bit_count() < limit:
                groups.join(index, other)
    members = defaultdict(list)
    for index, face in enumerate(faces):
        members[groups.root(index)].append(face)
    result = sorted((Design(min(face.family for face in group), group) for group in members.values()), key=lambda one: one.name)

    clans, by_word = Groups(len(result)), {}
    for index, design in enumerate(result):
        for face in design.faces:
            word = re.sub("(bold|italic|condensed)$", "", face.stem.split()[0])
            clans.join(index, by_word.setdefault(word, index))
    for index in reversed(range(len(result))):
        result[index].clan = min(other.name for place, other in enumerate(result) if clans.root(place) == clans.root(index))
    return result


def distinct(faces: list[Face]) -> list[Face]:
    """Of faces with the same family and style, the first alone."""
    kept = {}
    for face in sorted(faces, key=lambda face: face.path):
        kept.setdefault((face.family, face.style), face)
    return list(kept.values())
