"""Writes the pictures beside this file, which the tests of the image processor read.

    python3 -m venv venv && venv/bin/pip install pillow==13.0.0 pillow-heif==1.8.1
    apt-get install libvips-tools
    venv/bin/python make.py

All but the last few show the same scene, 48 x 32 pixels: red grows to the right, green downwards, and a blue square
lies in the upper left corner.
"""

import pathlib
import struct
import subprocess
import zlib

import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()
here = pathlib.Path(__file__).parent
width, height = 48, 32


def scene(x, y):
    return (x * 255 // (width - 1), y * 255 // (height - 1), 220 if x < 16 and y < 8 else 40)


def png(name, width, height, depth, colour, rows):
    """A PNG of kinds that Pillow does not write."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    (here / name).write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


rgb = Image.new("RGB", (width, height))
rgb.putdata([scene(x, y) for y in range(height) for x in range(width)])
rgb.save(here / "rgb.png", optimize=True)

# How an upright picture is stored under each EXIF orientation.
T = Image.Transpose
stored = {
    1: None, 2: T.FLIP_LEFT_RIGHT, 3: T.ROTATE_180, 4: T.FLIP_TOP_BOTTOM,
    5: T.TRANSPOSE, 6: T.ROTATE_90, 7: T.TRANSVERSE, 8: T.ROTATE_270,
}  # fmt: skip
for orientation, change in stored.items():
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = rgb if change is None else rgb.transpose(change)
    turned.save(here / f"orientation-{orientation}.jpg", quality=95, subsampling=0, exif=exif)

rgb.convert("CMYK").save(here / "cmyk.jpg", quality=95)
rgb.convert("L").save(here / "gray.png", optimize=True)
rgb.quantize(64).save(here / "palette.png", optimize=True)
rgb.save(here / "rgb.webp", lossless=True)
rgb.save(here / "rgb.tif", compression="tiff_lzw")
rgb.convert("LAB").save(here / "lab.tif", compression="tiff_lzw")
rgb.save(here / "rgb.avif", quality=95, subsampling="4:4:4")
rgb.save(here / "rgb.heic", quality=95, chroma=444)
rgb.save(here / "progressive.jpg", quality=95, subsampling=0, progressive=True)
rgb.quantize(255).save(
    here / "two-frames.gif", save_all=True, append_images=[Image.new("RGB", (width, height), "white").quantize(2)]
)
png(
    "rgb16.png", width, height, 16, 2,
    [b"".join(struct.pack(">H", v * 257) for x in range(width) for v in scene(x, y)) for y in range(height)],
)  # fmt: skip
# 16 bits with alpha: opaque above, half in the middle, clear below.
png(
    "rgba16.png", 3, 3, 16, 6,
    [struct.pack(">4H", 65535, 0, 0, alpha) * 3 for alpha in (65535, 32896, 0)],
)  # fmt: skip
# Grey with alpha: opaque 200 to the left, clear 0 to the right.
gray_alpha = Image.new("LA", (8, 8), (200, 255))
gray_alpha.paste((0, 0), (4, 0, 8, 8))
gray_alpha.save(here / "gray-alpha.png")
# Green under transparency to the right, red to the left: green must never show.
rgba = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
rgba.paste((0, 255, 0, 0), (32, 0, 64, 64))
rgba.save(here / "rgba.png", optimize=True)
# What Pillow's filters make of the scene.
for size in ((7, 5), (11, 40), (55, 7), (60, 38)):
    for name, filter in (("nearest", 0), ("lanczos", 1), ("bilinear", 2), ("bicubic", 3)):
        if name != "lanczos" or size == (7, 5):
            rgb.resize(size, filter).save(here / f"pillow-{name}-{size[0]}x{size[1]}.png", optimize=True)
# A header that promises 40 GB.
png("bomb.png", 100_000, 100_000, 8, 2, [b"\0" * 1000])
# sRGB's red, in the numbers of Display P3.
red = here / "red.png"
Image.new("RGB", (8, 8), (255, 0, 0)).save(red)
subprocess.run(
    ["vips", "icc_transform", red, here / "display-p3.png", "p3", "--input-profile", "srgb"], check=True
)
red.unlink()
