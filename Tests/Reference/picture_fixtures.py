"""Writes Tests/Fixtures/processors: what Pillow and the image processors of transformers 4 (those without torchvision) make of
pictures.

    python3 -m venv venv && venv/bin/pip install transformers==4.57.6 pillow==13.0.0 numpy safetensors
    venv/bin/python picture_fixtures.py

resizing.safetensors: for each case N, `N.from` and `N.to`, 8-bit [height, width, channels]; `filter`, and `part` (left, top, right,
lower) or `gap` where it has them, are JSON in the metadata. processors.safetensors: for each case NAME its `pixel_values`,
[channels, height, width]; `config`, what `preprocessor_config.json` says, and `picture`, a file of Fixtures/pictures, are JSON in the
metadata."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from transformers import BlipImageProcessor, DeiTImageProcessor, DonutImageProcessor, ViTImageProcessor

FIXTURES = Path(__file__).parent.parent / "Fixtures"
OUT = FIXTURES / "processors"
CLASSES = {c.__name__: c for c in (ViTImageProcessor, DeiTImageProcessor, DonutImageProcessor, BlipImageProcessor)}


def resizing():
    random = np.random.default_rng(0)
    tensors, metadata = {}, {}
    for number in range(120):
        channels = int(random.choice([1, 3]))
        height, width, new_height, new_width = (int(n) for n in np.exp(random.uniform(0, 3.7, 4)))
        # Noise, black and white, and slopes: what rounding, clipping and edges show in.
        shape = (height, width, channels)
        picture = [
            random.integers(0, 256, shape), random.integers(0, 2, shape) * 255,
            np.broadcast_to(np.linspace(0, 255, width)[None, :, None], shape),
        ][number % 3].astype(np.uint8)  # fmt: skip
        case = {"filter": number % 6}
        options = {}
        if number % 5 == 0 and min(height, width) > 2:
            left, top = random.uniform(0, width / 3), random.uniform(0, height / 3)
            right, lower = random.uniform(width / 2, width), random.uniform(height / 2, height)
            options["box"] = case["part"] = [float(np.float32(n)) for n in (left, top, right, lower)]
        elif number % 7 == 0:
            options["reducing_gap"] = case["gap"] = 2.0
        image = Image.fromarray(picture if channels == 3 else picture[:, :, 0])
        resized = np.array(image.resize((new_width, new_height), case["filter"], **options))
        tensors[f"{number}.from"] = np.ascontiguousarray(picture)
        tensors[f"{number}.to"] = resized.reshape(new_height, new_width, channels)
        metadata[str(number)] = json.dumps(case)
    save_file(tensors, OUT / "resizing.safetensors", metadata)


def both(height, width):
    return {"height": height, "width": width}


# Small sizes, because the files are kept.
CASES = {
    "vit": ({"image_processor_type": "ViTImageProcessor", "size": both(16, 20)}, "rgb.png"),
    "vit-fast": ({"image_processor_type": "ViTImageProcessorFast", "size": both(20, 12), "resample": 3}, "progressive.jpg"),
    "vit-older": (
        {"feature_extractor_type": "ViTFeatureExtractor", "do_normalize": True, "do_resize": True, "size": 18,
         "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}, "palette.png"),
    "vit-list": ({"feature_extractor_type": "ViTFeatureExtractor", "size": [10, 24]}, "rgb.png"),
    "vit-nulls": (
        {"image_processor_type": "ViTImageProcessor", "size": both(9, 9), "do_convert_rgb": None, "image_mean": None,
         "device": None, "input_data_format": None, "return_tensors": None, "processor_class": "TrOCRProcessor"}, "gray.png"),
    "vit-one-number": (
        {"image_processor_type": "ViTImageProcessor", "size": 12, "image_mean": 0.4, "image_std": 0.3, "resample": 1}, "cmyk.jpg"),
    "vit-box": ({"image_processor_type": "ViTImageProcessor", "size": 13, "resample": 4}, "rgba.png"),
    "vit-hamming": ({"image_processor_type": "ViTImageProcessor", "size": 14, "resample": 5}, "rgb16.png"),
    "vit-nearest": ({"image_processor_type": "ViTImageProcessor", "size": 15, "resample": 0}, "gray-alpha.png"),
    "vit-as-it-lies": ({"image_processor_type": "ViTImageProcessor", "size": 11}, "orientation-6.jpg"),
    "vit-display-p3": ({"image_processor_type": "ViTImageProcessor", "size": 4}, "display-p3.png"),
    "vit-not-resized": ({"image_processor_type": "ViTImageProcessor", "do_resize": False, "rescale_factor": 0.01}, "rgb.webp"),
    "vit-not-rescaled": ({"image_processor_type": "ViTImageProcessor", "do_rescale": False, "size": 8}, "rgb.tif"),
    "vit-not-normalised": ({"image_processor_type": "ViTImageProcessor", "do_normalize": False, "size": 8}, "rgb.png"),
    "deit": ({"image_processor_type": "DeiTImageProcessor", "size": both(20, 24), "crop_size": both(15, 16)}, "rgb.png"),
    "deit-older": (
        {"feature_extractor_type": "DeiTFeatureExtractor", "size": 18, "crop_size": 14, "do_center_crop": True, "resample": 3,
         "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}, "rgb.png"),
    "deit-crop-larger": ({"image_processor_type": "DeiTImageProcessor", "size": both(9, 24), "crop_size": both(14, 17)}, "rgb.png"),
    "deit-not-cropped": ({"image_processor_type": "DeiTImageProcessor", "size": 10, "do_center_crop": False}, "rgb.png"),
    "donut": ({"image_processor_type": "DonutImageProcessor", "size": both(28, 20)}, "rgb.png"),
    "donut-older": ({"feature_extractor_type": "DonutFeatureExtractor", "size": [15, 26], "do_align_long_axis": False}, "rgb.png"),
    "donut-turned": ({"image_processor_type": "DonutImageProcessor", "size": both(30, 18), "do_align_long_axis": True}, "rgb.png"),
    "donut-much-reduced": ({"image_processor_type": "DonutImageProcessor", "size": both(40, 6)}, "rgb.png"),
    "donut-not-padded": ({"image_processor_type": "DonutImageProcessor", "size": both(14, 17), "do_pad": False}, "rgb.png"),
    "blip": ({"image_processor_type": "BlipImageProcessor", "size": both(16, 16)}, "rgb.png"),
}  # fmt: skip


def processors():
    tensors, metadata = {}, {}
    for name, (config, picture) in CASES.items():
        written = config.get("image_processor_type") or config["feature_extractor_type"]
        kind = CLASSES[written.removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")]
        image = Image.open(FIXTURES / "pictures" / picture).convert("RGB")
        values = kind.from_dict(dict(config))(image, return_tensors="np", input_data_format="channels_last")
        tensors[name] = np.ascontiguousarray(values["pixel_values"][0], dtype=np.float32)
        metadata[name] = json.dumps({"config": config, "picture": picture})
    save_file(tensors, OUT / "processors.safetensors", metadata)


OUT.mkdir(exist_ok=True)
resizing()
processors()
