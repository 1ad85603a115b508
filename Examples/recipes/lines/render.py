"""Draws a short line of text as a picture, the same for the same random numbers."""

import io
import random
from functools import lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT = 256, 64  # twice what the model sees
SMALLEST, LARGEST = 36, 38  # font size in pixels; a line that is too wide gets a smaller one
MARGIN = 6
MOST_INDENT, MOST_LIFT = 6, 3  # largest distance from the left edge, and from the middle of the height
MOST_DEGREES = 1
MOST_BLUR = 1.2  # radius in pixels
MOST_NOISE = 24  # largest change of a channel, of 255
WORST_JPEG, BEST_JPEG = 40, 95


def render(text: str, font_file: str, draw: random.Random) -> bytes:
    """The text as JPEG: near the left edge and the middle of the height, always as a whole."""
    line = draw_line(text, font_file, draw)
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    right, down = WIDTH - line.width, HEIGHT - line.height
    lift = min(MOST_LIFT, down // 2)
    place = draw.randint(0, min(MOST_INDENT, right)), down // 2 + draw.randint(-lift, lift)
    picture.paste("black", (*place, place[0] + line.width, place[1] + line.height), line)
    if draw.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(draw.uniform(0.3, MOST_BLUR)))
    if draw.random() < 0.1:
        picture = add_noise(picture, draw)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=draw.randint(WORST_JPEG, BEST_JPEG))
    return buffer.getvalue()


def draw_line(text: str, font_file: str, draw: random.Random) -> Image.Image:
    """A mask of the text, turned a little, that fits into the picture with its margin."""
    size, degrees = draw.randint(SMALLEST, LARGEST), draw.uniform(-MOST_DEGREES, MOST_DEGREES)
    while True:
        font = open_font(font_file, size)
        left, top, right, bottom = font.getbbox(text)
        line = Image.new("L", (right - left + 2, bottom - top + 2))
        ImageDraw.Draw(line).text((1 - left, 1 - top), text, fill=255, font=font)
        line = line.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
        if line.width <= WIDTH - MARGIN and line.height <= HEIGHT - MARGIN:
            return line
        size -= 1


@lru_cache(maxsize=1000)
def open_font(font_file: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file, size, layout_engine=ImageFont.Layout.BASIC)


def add_noise(picture: Image.Image, draw: random.Random) -> Image.Image:
    strength = draw.uniform(4, MOST_NOISE) / 128
    middle = round(128 * strength)
    noise = Image.frombytes("RGB", picture.size, draw.randbytes(3 * picture.width * picture.height))
    return ImageChops.add(picture, noise.point(lambda value: round(value * strength)), offset=-middle)
