"""python trained_checkpoint.py FOLDER GPT4MM [MINUTES]: a checkpoint that transformers trains on drawn words, and whether gpt4mm reads it alike.

A narrow TrOCR learns 300 words in Pillow's own font, is saved as transformers saves it, and reads 60 pictures of other sizes and
places greedily and with four beams; GPT4MM (the command line) must give the same texts. FOLDER gets the checkpoint and the pictures."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import torch
import transformers
from PIL import Image, ImageDraw, ImageFont
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, TrOCRConfig, ViTConfig, VisionEncoderDecoderConfig, VisionEncoderDecoderModel
from transformers import ViTImageProcessorPil as ImageProcessor

HEIGHT, WIDTH, BATCH, PICTURES = 32, 128, 32, 60
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def words(count: int) -> list[str]:
    draw = random.Random(1)
    return ["".join(draw.choice("abcdefghilmnoprstuéß") for _ in range(draw.randint(2, 7))) for _ in range(count)]


def draw_picture(word: str, draw: random.Random) -> Image.Image:
    font = ImageFont.load_default(draw.randint(14, 40))
    left, top, right, bottom = font.getbbox(word)
    margin = draw.randint(1, 8)
    paper, ink = draw.randint(170, 255), draw.randint(0, 90)
    picture = Image.new("RGB", (right - left + 2 * margin, bottom - top + 2 * margin), (paper, paper, draw.randint(150, 255)))
    ImageDraw.Draw(picture).text((margin - left, margin - top), word, (ink, draw.randint(0, 90), ink), font)
    return picture


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    names = dict(zip(("bos_token", "pad_token", "eos_token", "unk_token"), SPECIAL))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def make_model(vocabulary: int) -> VisionEncoderDecoderModel:
    encoder = ViTConfig(
        image_size=[HEIGHT, WIDTH], patch_size=8, hidden_size=128, num_hidden_layers=3, num_attention_heads=4, intermediate_size=512)
    decoder = TrOCRConfig(
        vocab_size=vocabulary, d_model=128, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=512,
        cross_attention_hidden_size=128, max_position_embeddings=32, dropout=0.0)
    model = VisionEncoderDecoderModel(VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder))
    model.config.decoder_start_token_id, model.config.pad_token_id = 0, 1
    for key, value in {
        "decoder_start_token_id": 0, "bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "max_length": 16}.items():
        setattr(model.generation_config, key, value)
    return model


def train(model, processor, tokenizer, texts: list[str], minutes: float) -> None:
    draw = random.Random(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    end, step = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < end:
        chosen = [draw.choice(texts) for _ in range(BATCH)]
        pixels = processor([draw_picture(word, draw) for word in chosen], return_tensors="pt").pixel_values
        labels = tokenizer(chosen, padding=True, return_tensors="pt").input_ids[:, 1:]
        loss = model(pixel_values=pixels, labels=labels.masked_fill(labels == 1, -100)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 100 == 0:
            print(f"step {step}, loss {loss.item():.3f}", flush=True)


def read_by_transformers(folder: Path, files: list[Path], beams: int) -> list[str]:
    model = VisionEncoderDecoderModel.from_pretrained(folder).eval()
    tokenizer, processor = PreTrainedTokenizerFast.from_pretrained(folder), ImageProcessor.from_pretrained(folder)
    texts = []
    with torch.no_grad():
        for file in files:
            pixels = processor(Image.open(file).convert("RGB"), return_tensors="pt").pixel_values
            ids = model.generate(pixels, num_beams=beams)
            texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


def read_by_gpt4mm(program: str, folder: Path, files: list[Path], beams: int) -> list[str]:
    command = [program, "caption", "--model", str(folder), "--beams", str(beams), "--json", *map(str, files)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line)["texts"][0]["text"] for line in lines]


def main(folder: Path, program: str, minutes: float) -> None:
    torch.manual_seed(1)
    texts = words(300)
    tokenizer, processor = make_tokenizer(texts), ImageProcessor(size={"height": HEIGHT, "width": WIDTH})
    model = make_model(len(tokenizer))
    train(model, processor, tokenizer, texts, minutes)
    for part in (model, tokenizer, processor):
        part.save_pretrained(folder)
    draw, files, right = random.Random(3), [], [*texts[:40], *words(340)[300:320]]  # the last were never seen
    for index, word in enumerate(right):
        files.append(folder / f"picture-{index}.png")
        draw_picture(word, draw).save(files[-1])
    different = 0
    for beams in (1, 4):
        theirs, ours = read_by_transformers(folder, files, beams), read_by_gpt4mm(program, folder, files, beams)
        equal = sum(a == b for a, b in zip(theirs, ours, strict=True))
        exact = sum(a == b for a, b in zip(ours, right, strict=True))
        print(f"beams {beams}: {equal} of {PICTURES} texts are equal, {len(set(ours))} different ones, {exact} right")
        different += PICTURES - equal
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(2)
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]) if len(sys.argv) == 4 else 5)
