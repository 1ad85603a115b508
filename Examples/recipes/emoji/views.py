"""New views of a picture, for the held-out splits.

Written apart from the augmentation that training uses (`Sources/MultiModalPipeline`, libvips), so that the figures do
not profit from shared code: another renderer, other random numbers, other noise.
"""

import io
import random

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

WIDTH, HEIGHT = 136, 128
SMALLEST, LARGEST = 0.6, 1.0  # longest side of the rotated subject, relative to the canvas
MOST_DEGREES = 12
MOST_BLUR = 0.8  # radius in pixels
MOST_NOISE = 12  # largest change of a channel, of 255
LEAST_CONTRAST = 60  # mean distance between subject and background, summed over the channels, of 765
OPAQUE = 128


def render_view(picture: Image.Image, seed: str) -> bytes:
    """One view of an RGBA picture as JPEG, the same for the same seed."""
    draw = random.Random(seed)
    subject = place_subject(picture, draw)
    view = contrasting_background(subject, draw)
    view.paste(subject, mask=subject)
    if draw.random() < 0.5:
        view = view.filter(ImageFilter.GaussianBlur(draw.uniform(0.2, MOST_BLUR)))
    if draw.random() < 0.5:
        view = add_noise(view, draw)
    buffer = io.BytesIO()
    view.save(buffer, "JPEG", quality=draw.randint(60, 95))
    return buffer.getvalue()


def place_subject(picture: Image.Image, draw: random.Random) -> Image.Image:
    """The visible part of the picture, turned, scaled and put wholly inside an empty canvas."""
    subject = picture.crop(picture.getchannel("A").getbbox())
    subject = ImageOps.expand(subject, border=2, fill=(0, 0, 0, 0))  # so that turned edges are smooth
    subject = subject.rotate(draw.uniform(-MOST_DEGREES, MOST_DEGREES), Image.Resampling.BICUBIC, expand=True)
    scale = draw.uniform(SMALLEST, LARGEST) * min(WIDTH / subject.width, HEIGHT / subject.height)
    size = max(1, round(subject.width * scale)), max(1, round(subject.height * scale))
    subject = subject.resize(size, Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (WIDTH, HEIGHT))
    canvas.paste(subject, (draw.randint(0, WIDTH - size[0]), draw.randint(0, HEIGHT - size[1])))
    return canvas


def contrasting_background(subject: Image.Image, draw: random.Random) -> Image.Image:
    """A plain colour or a gradient on which the subject can be seen."""
    shape = subject.getchannel("A").point(lambda alpha: 255 if alpha >= OPAQUE else 0)
    while True:
        background = gradient(draw) if draw.random() < 0.5 else Image.new("RGB", (WIDTH, HEIGHT), colour(draw))
        distance = ImageStat.Stat(ImageChops.difference(subject.convert("RGB"), background), mask=shape)
        if sum(distance.mean) >= LEAST_CONTRAST:
            return background


def gradient(draw: random.Random) -> Image.Image:
    """Two colours that run into each other at any angle."""
    side = 2 * max(WIDTH, HEIGHT)
    ramp = Image.linear_gradient("L").resize((side, side)).rotate(draw.uniform(0, 360))
    left, top = (side - WIDTH) // 2, (side - HEIGHT) // 2
    mask = ramp.crop((left, top, left + WIDTH, top + HEIGHT))
    return Image.composite(*(Image.new("RGB", (WIDTH, HEIGHT), colour(draw)) for _ in range(2)), mask)


def colour(draw: random.Random) -> tuple[int, int, int]:
    """White one time in three, otherwise any colour."""
    if draw.random() < 1 / 3:
        return 255, 255, 255
    return draw.randint(0, 255), draw.randint(0, 255), draw.randint(0, 255)


def add_noise(view: Image.Image, draw: random.Random) -> Image.Image:
    strength = draw.uniform(2, MOST_NOISE) / 128
    middle = round(128 * strength)
    noise = Image.frombytes("RGB", view.size, draw.randbytes(3 * view.width * view.height))
    return ImageChops.add(view, noise.point(lambda value: round(value * strength)), offset=-middle)
