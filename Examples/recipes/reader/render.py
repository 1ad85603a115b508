"""Draws a text as the picture of its own box, the same for the same random numbers."""

import io
import random
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

CLEAN, MIXED, HARD, UNSEEN = "clean", "mixed", "hard", "unseen"
HARD_KINDS = ("noise", "blur", "low-contrast", "background", "low-resolution")
UNSEEN_KIND = "salt-and-pepper"  # in no training picture
SIZES = (12, 14, 16, 18, 21, 24, 28, 33, 40)  # pixels of the em
SIZE_WEIGHTS = (3, 4, 5, 5, 5, 4, 4, 3, 2)
WIDEST = 640
ALIKE = set("cosvwxzCOSVWXZ0.,-_'`\"~^*:;=+|")  # what says little without the line's height around it
LUMINANCE = (0.299, 0.587, 0.114)
BANK_WIDTH, BANK_HEIGHT = 1400, 200
NOISE_DEVIATION = 42.7  # of the mean of three even draws from 0 to 255


class Renderer:
    """Pictures of texts, with textures and noise that depend on the seed alone."""

    def __init__(self, seed: str):
        draw = random.Random(seed)
        self.noise = [even_noise(draw, 3) for _ in range(4)]
        self.textures = [texture(draw) for _ in range(32)]

    def __call__(self, text: str, font_file: str, draw: random.Random, profile: str) -> tuple[bytes, list[str]]:
        """A JPEG, and what was done to it."""
        kinds: list[str] = []
        hard = draw.choice(HARD_KINDS) if profile == HARD else None
        factor = {MIXED: 1.0, HARD: 0.4}.get(profile, 0.0)

        def has(kind: str, share: float) -> bool:
            chosen = kind == hard or draw.random() < share * factor
            if chosen:
                kinds.append(kind)
            return chosen

        size = draw.choices(SIZES, SIZE_WEIGHTS)[0] if len(text) < 15 else draw.choice(SIZES[:6])
        low = None
        if has("low-resolution", 0.12):
            low = draw.uniform(8.5, 12) if hard == "low-resolution" else draw.uniform(11, 15)
            size = max(size, 18)
        mask = self.mask(text, font_file, size, draw, has)
        mask = ImageOps.expand(mask, margins(mask, size, draw, has)) if mask.height > 2 else mask
        mask = cut(mask, draw) if "tight" in kinds else mask
        if mask.width > WIDEST:
            mask = mask.resize((WIDEST, max(8, mask.height * WIDEST // mask.width)), Image.Resampling.BOX)
        if has("box", 0.08):
            frame(mask, draw)

        picture, contrast = self.paint(mask, draw, profile, hard, kinds, has)
        if has("blur", 0.25):
            most = 0.10 if hard == "blur" else 0.055
            radius = size * draw.uniform(0.06 if hard == "blur" else 0.01, most)
            picture = picture.filter(draw.choice((ImageFilter.GaussianBlur, ImageFilter.BoxBlur))(radius))
        if low is not None:
            picture = coarse(picture, low / size, draw)
        if has("noise", 0.25):
            sigma = draw.uniform(18, 55) if hard == "noise" else draw.uniform(3, 16)
            picture = self.add_noise(picture, min(sigma, 0.4 * contrast), draw)
        if profile == UNSEEN:
            kinds.append(UNSEEN_KIND)
            picture = salt_and_pepper(picture, draw.uniform(0.02, 0.10), draw)
        quality = 94
        if has("jpeg", 0.3):
            quality = draw.randint(20, 70)
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=quality, subsampling=0 if quality > 90 else 2)
        return buffer.getvalue(), kinds

    # MARK: Letters

    def mask(self, text: str, font_file: str, size: int, draw: random.Random, has) -> Image.Image:
        """The text's coverage in its box: that of its ink, or that of a line as high as the font's letters."""
        scale = 1.0
        if draw.random() < 0.35:  # drawn larger and reduced, as scans and screens without hinting do
            scale = draw.uniform(1.3, 2.0)
        font = open_font(font_file, round(size * scale))
        thick = 1 if size * scale >= 28 and draw.random() < 0.05 else 0
        if has("spacing", 0.1):
            mask, top = spaced(text, font, size * scale * draw.uniform(-0.03, 0.3))
        else:
            core, offset = font.getmask2(text, "L", stroke_width=thick)
            mask, top = Image.frombytes("L", core.size, bytes(core)), offset[1]
        ink = mask.getbbox() or (0, 0, mask.width, mask.height)
        mask, top = mask.crop(ink), top + ink[1]
        whole = draw.random() < 0.5 or not set(text) - ALIKE or mask.height < 0.4 * size * scale
        if has("underline", 0.05):
            mask = underlined(mask, draw)
        if whole:
            line_top, line_bottom = line_box(font_file, font.size)
            above, below = max(0, top - line_top), max(0, line_bottom - top - mask.height)
            mask = ImageOps.expand(mask, (0, above, 0, below))
        if scale > 1:
            mask = mask.resize((max(2, round(mask.width / scale)), max(4, round(mask.height / scale))), Image.Resampling.BOX)
        if has("rotation", 0.25):
            mask = mask.rotate(draw.uniform(-4, 4) / (1 + len(text) / 12), Image.Resampling.BICUBIC, expand=True)
        if has("perspective", 0.12):
            mask = leaning(mask, draw)
        return mask if whole else mask.crop(mask.getbbox())

    # MARK: Colours

    def paint(self, mask, draw, profile, hard, kinds, has) -> tuple[Image.Image, float]:
        """The text in a colour over its background, and the contrast between them."""
        least, most = (90, 255) if profile in (CLEAN, UNSEEN) else (60, 255)
        if has("low-contrast", 0.12):
            least, most = (16, 40) if hard == "low-contrast" else (35, 70)
        if hard == "background":
            least, most = 60, 200
        contrast = max(least, min(most, 255 * draw.random() ** 0.5))
        dark = draw.uniform(0, 255 - contrast)
        if profile == CLEAN and draw.random() < 0.5 or least == 60 and draw.random() < 0.25:
            dark, contrast = 0.0, 255.0
        inverted = draw.random() < 0.3
        if inverted:
            kinds.append("inverted")
        ink, paper = (dark + contrast, dark) if inverted else (dark, dark + contrast)
        colourful = draw.random() < (0.15 if profile == CLEAN else 0.45) or hard == "background"
        if colourful:
            kinds.append("colour")
            mode, ink_colour, paper_colour = "RGB", coloured(ink, draw), coloured(paper, draw)
        else:
            mode, ink_colour, paper_colour = "L", round(ink), round(paper)

        background = hard == "background"
        if background:
            kinds.append(hard)
        if draw.random() < 0.65 if background else has("texture", 0.15):
            spread = contrast * (draw.uniform(0.25, 0.6) if background else draw.uniform(0.05, 0.3))
            picture = self.between(mode, mask.size, paper, spread, self.window(self.textures, mask.size, draw), draw)
        elif background or has("gradient", 0.12):
            spread = contrast * draw.uniform(0.2, 0.6)
            gradient = Image.linear_gradient("L").rotate(draw.choice((0, 90, 180, 270))).resize(mask.size, Image.Resampling.BILINEAR)
            picture = self.between(mode, mask.size, paper, spread, gradient, draw)
        else:
            picture = Image.new(mode, mask.size, paper_colour)
        if has("shadow", 0.04):
            shade = round(paper + (contrast * 0.4 if paper < 128 else -contrast * 0.4))
            picture.paste(shade if mode == "L" else (shade,) * 3, (draw.choice((-1, 1, 2)), draw.choice((1, 2))), mask)
        picture.paste(ink_colour, (0, 0), mask)
        return picture, contrast

    def between(self, mode, size, level, spread, mask, draw) -> Image.Image:
        """Two colours about a level, mixed by a mask."""
        ends = [max(0.0, min(255.0, level + sign * spread / 2)) for sign in (-1, 1)]
        colours = [coloured(end, draw) if mode == "RGB" else round(end) for end in ends]
        return Image.composite(Image.new(mode, size, colours[1]), Image.new(mode, size, colours[0]), mask)

    def window(self, bank, size, draw) -> Image.Image:
        picture = draw.choice(bank)
        left, top = draw.randrange(BANK_WIDTH - size[0]), draw.randrange(max(1, BANK_HEIGHT - size[1]))
        return picture.crop((left, top, left + size[0], top + size[1]))

    def add_noise(self, picture, sigma, draw) -> Image.Image:
        share = sigma / NOISE_DEVIATION
        middle = round(128 * share)
        table = [round(value * share) for value in range(256)]
        layers = [self.window(self.noise, picture.size, draw) for _ in range(3 if picture.mode == "RGB" and draw.random() < 0.5 else 1)]
        noise = Image.merge("RGB", layers if len(layers) == 3 else layers * 3) if picture.mode == "RGB" else layers[0]
        return ImageChops.add(picture, noise.point(table * len(picture.getbands())), 1, -middle)


@lru_cache(maxsize=2500)
def open_font(font_file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=20_000)
def line_box(font_file: str, size: int) -> tuple[int, int]:
    """From the capitals' upper edge to the lower edge of what hangs below the line."""
    _, top, _, bottom = open_font(font_file, size).getbbox("Hg")
    return top, bottom


def spaced(text: str, font, spacing: float) -> tuple[Image.Image, int]:
    """Letters one by one, with a distance of their own."""
    widths = [font.getlength(character) for character in text]
    edge = font.size
    canvas = Image.new("L", (round(sum(widths) + max(0, spacing) * len(text)) + 2 * edge, 3 * edge))
    pen, x = ImageDraw.Draw(canvas), float(edge)
    for character, width in zip(text, widths):
        pen.text((round(x), edge), character, fill=255, font=font)
        x += width + spacing
    return canvas, -edge


def underlined(mask: Image.Image, draw: random.Random) -> Image.Image:
    thickness = max(1, round(mask.height * draw.uniform(0.04, 0.09)))
    gap = max(1, round(mask.height * draw.uniform(0.04, 0.12)))
    mask = ImageOps.expand(mask, (0, 0, 0, gap + thickness))
    ImageDraw.Draw(mask).rectangle((0, mask.height - thickness, mask.width, mask.height), fill=255)
    return mask


def leaning(mask: Image.Image, draw: random.Random) -> Image.Image:
    """Seen a little from the side; the corners move outwards, so that nothing is lost."""
    width, height = mask.size
    x, y = 0.25 * height, 0.18 * height
    def shift(most):
        return draw.uniform(0, most)
    quad = (-shift(x), -shift(y), -shift(x), height + shift(y), width + shift(x), height + shift(y), width + shift(x), -shift(y))
    return mask.transform((width, height), Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)


def margins(mask: Image.Image, size: int, draw: random.Random, has) -> tuple[int, int, int, int]:
    if has("tight", 0.15):
        return 0, 0, 0, 0
    if has("loose", 0.15):
        return tuple(round(size * draw.uniform(0.15, most)) for most in (0.8, 0.5, 0.8, 0.5))
    return tuple(round(size * draw.uniform(0.0, 0.18)) for _ in range(4))


def cut(mask: Image.Image, draw: random.Random) -> Image.Image:
    """Half of the tight crops lose the outermost row or column of a side."""
    if min(mask.size) < 12:
        return mask
    left, top, right, bottom = (draw.randint(0, 1) for _ in range(4))
    return mask.crop((left, top, mask.width - right, mask.height - bottom))


def frame(mask: Image.Image, draw: random.Random) -> None:
    """Some edges of a box around the text, within the margins that there are."""
    pen, thickness, last = ImageDraw.Draw(mask), draw.randint(1, 2), (mask.width - 1, mask.height - 1)
    edges = [((0, 0), (last[0], 0)), ((0, last[1]), last), ((0, 0), (0, last[1])), ((last[0], 0), last)]
    chosen = edges if draw.random() < 0.5 else draw.sample(edges, draw.randint(1, 2))
    for edge in chosen:
        pen.line(edge, fill=draw.randint(120, 255), width=thickness)


def coloured(level: float, draw: random.Random) -> tuple[int, int, int]:
    """A colour of this luminance."""
    colour = [draw.random() for _ in range(3)]
    luminance = sum(share * part for share, part in zip(LUMINANCE, colour))
    differences = [part - luminance for part in colour]
    most = min((255 - level if part > 0 else level) / max(abs(part), 1e-6) for part in differences)
    strength = most * draw.uniform(0.2, 1)
    return tuple(round(level + strength * part) for part in differences)


def coarse(picture: Image.Image, share: float, draw: random.Random) -> Image.Image:
    """As a picture of few pixels that was enlarged, or as that small picture itself."""
    small = (max(4, round(picture.width * share)), max(6, round(picture.height * share)))
    if small[1] >= picture.height:
        return picture
    reduced = picture.resize(small, draw.choice((Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)))
    if draw.random() < 0.3:
        return reduced
    return reduced.resize(picture.size, draw.choice((Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)))


def salt_and_pepper(picture: Image.Image, share: float, draw: random.Random) -> Image.Image:
    """So many of the pixels become black or white."""
    area = picture.width * picture.height
    chance = Image.frombytes("L", picture.size, draw.randbytes(area))
    which = Image.frombytes("L", picture.size, draw.randbytes(area)).point([0] * 128 + [255] * 128)
    chosen = chance.point([255 * (value < 256 * share) for value in range(256)])
    picture.paste(which if picture.mode == "L" else Image.merge("RGB", [which] * 3), (0, 0), chosen)
    return picture


# MARK: Banks


def even_noise(draw: random.Random, layers: int, reduced: int = 1) -> Image.Image:
    size = BANK_WIDTH // reduced, BANK_HEIGHT // reduced
    picture = Image.frombytes("L", size, draw.randbytes(size[0] * size[1]))
    for layer in range(1, layers):
        other = Image.frombytes("L", size, draw.randbytes(size[0] * size[1]))
        picture = Image.blend(picture, other, 1 / (layer + 1))
    return picture


def texture(draw: random.Random) -> Image.Image:
    """Grain, clouds, stripes, rules, checks or dots."""
    kind = draw.choice(("grain", "clouds", "clouds", "stripes", "rules", "checks", "dots"))
    size = BANK_WIDTH, BANK_HEIGHT
    if kind in ("grain", "clouds"):
        reduced = 2 if kind == "grain" else draw.choice((4, 8, 16))
        picture = even_noise(draw, 1, reduced).resize(size, Image.Resampling.BICUBIC)
        return ImageOps.autocontrast(picture)
    picture, step = Image.new("L", size, 0), draw.randint(4, 16)
    pen = ImageDraw.Draw(picture)
    if kind == "stripes":
        lean = draw.choice((0, 0, 1, -1)) * BANK_HEIGHT
        for x in range(-BANK_HEIGHT, BANK_WIDTH + BANK_HEIGHT, step):
            pen.line((x, 0, x + lean, BANK_HEIGHT), fill=255, width=max(1, step // draw.choice((2, 3, 4))))
    elif kind == "rules":
        for y in range(0, BANK_HEIGHT, 2 * step):
            pen.line((0, y, BANK_WIDTH, y), fill=255, width=draw.randint(1, 2))
    else:
        for y in range(0, BANK_HEIGHT, step):
            for x in range((y // step % 2) * step, BANK_WIDTH, 2 * step):
                box = (x, y, x + step - 1, y + step - 1)
                if kind == "checks":
                    pen.rectangle(box, fill=255)
                else:
                    pen.ellipse((box[0], box[1], box[0] + step // 2, box[1] + step // 2), fill=255)
    return picture.filter(ImageFilter.GaussianBlur(draw.uniform(0.0, 1.0)))
