"""Writes Tests/Fixtures/tokenizers: small tokenizers of each kind, trained by Hugging Face's tokenizers and SentencePiece, and
what these make of texts.

    python tokenizer_fixtures.py                             writes them
    python tokenizer_fixtures.py GPT4MM COUNT [KIND...]      compares the command line with them on COUNT random texts each
"""

import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import sentencepiece
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

from tokenizer_texts import CORPUS, texts

FOLDER = pathlib.Path(__file__).parent.parent / "Fixtures" / "tokenizers"
BYTES = pre_tokenizers.ByteLevel.alphabet()


def train(tokenizer, trainer):
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    return tokenizer


def byte_pairs(special, size=420):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return train(tokenizer, trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=BYTES, show_progress=False))


def write_pairs(tokenizer, folder):
    model = json.loads(tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")


def configure(folder, **values):
    (folder / "tokenizer_config.json").write_text(json.dumps(values))


ROBERTA = ["<s>", "<pad>", "</s>", "<unk>"]


# MARK: Folders as transformers reads them

def gpt2_files(folder):
    write_pairs(byte_pairs(["<|endoftext|>"]), folder)
    configure(folder, tokenizer_class="GPT2Tokenizer", clean_up_tokenization_spaces=True)


def roberta_files(folder):
    tokenizer = byte_pairs(ROBERTA + ["<mask>"])
    write_pairs(tokenizer, folder)
    configure(folder, tokenizer_class="RobertaTokenizer")
    (folder / "special_tokens_map.json").write_text(json.dumps({
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", "cls_token": "<s>",
        "sep_token": "</s>", "mask_token": {
            "content": "<mask>", "single_word": False, "lstrip": True, "rstrip": False, "normalized": False}}))


def roberta_prefix_files(folder):
    roberta_files(folder)
    (folder / "special_tokens_map.json").unlink()
    configure(
        folder, tokenizer_class="RobertaTokenizer", add_prefix_space=True, added_tokens_decoder={
            "420": {"content": "<extra>", "lstrip": True, "rstrip": True, "normalized": False, "single_word": False, "special": False},
            "4": {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False, "special": True}})


def word_pieces(lower, size=400):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lower)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return train(tokenizer, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))


def write_words(tokenizer, folder):
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
    (folder / "vocab.txt").write_text("".join(word + "\n" for word, _ in vocabulary))


def bert_files(folder):
    write_words(word_pieces(True), folder)
    configure(folder, tokenizer_class="BertTokenizer", clean_up_tokenization_spaces=True)


def bert_cased_files(folder):
    write_words(word_pieces(False), folder)
    configure(folder, tokenizer_class="BertTokenizer", do_lower_case=False, tokenize_chinese_chars=False)


def bert_japanese_files(folder, words="basic"):
    characters = sorted(set("".join(CORPUS)) - set(" \n\t"))
    (folder / "vocab.txt").write_text("".join(
        token + "\n" for token in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + characters))
    configure(
        folder, tokenizer_class="BertJapaneseTokenizer", word_tokenizer_type=words, subword_tokenizer_type="character",
        do_lower_case=False, **({} if words == "basic" else {"mecab_kwargs": {"mecab_dic": "unidic_lite"}}))


def bert_japanese_mecab_files(folder):
    bert_japanese_files(folder, "mecab")


def fairseq_files(folder, rule="identity"):
    model = io.BytesIO()
    # A table of its own, because SentencePiece's takes 240 KB.
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as table:
        for source, target in [("A", "a"), ("É", "é"), ("E\u0301", "é"), ("ﬁ", "fi"), ("㍿", "株式会社"), ("\t", " "), ("\u3000", " "),
                               ("\u200b", ""), ("½", "1/2"), ("ｱ", "ア"), ("e\u0301", "é"), ("\n", " "), ("\u00a0", " "), ("\r", " ")]:
            codes = " ".join(f"{ord(c):X}" for c in source)
            table.write(codes + "\t" + " ".join(f"{ord(c):X}" for c in target) + "\n")
        table.flush()
        options = {"normalization_rule_tsv": table.name} if rule == "identity" else {"normalization_rule_name": rule}
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS * 3), model_writer=model, vocab_size=420, model_type="unigram", minloglevel=2,
            hard_vocab_limit=False, unk_id=0, bos_id=1, eos_id=2, **options)
    (folder / "sentencepiece.bpe.model").write_bytes(model.getvalue())
    configure(folder, tokenizer_class="XLMRobertaTokenizer")


def fairseq_nfkc_files(folder):
    fairseq_files(folder, "nmt_nfkc")


def saved(make, folder):
    """As transformers saves a tokenizer that it has read."""
    with tempfile.TemporaryDirectory() as place:
        make(pathlib.Path(place))
        AutoTokenizer.from_pretrained(place).save_pretrained(folder)


def saved_roberta_files(folder):
    saved(roberta_prefix_files, folder)


def saved_gpt2_files(folder):
    saved(gpt2_files, folder)


def saved_bert_files(folder):
    saved(bert_cased_files, folder)


def saved_fairseq_files(folder):
    saved(fairseq_files, folder)


# MARK: tokenizer.json

def gpt2_json():
    tokenizer = byte_pairs(["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def roberta_json():
    tokenizer = byte_pairs(ROBERTA + ["<mask>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


def bert_json():
    tokenizer = word_pieces(True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.add_tokens([AddedToken("word", single_word=True), AddedToken("<extra>", lstrip=True, rstrip=True)])
    return tokenizer


def unigram(normalizer, **options):
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return train(tokenizer, trainers.UnigramTrainer(
        vocab_size=420, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], unk_token="<unk>", show_progress=False))


def unigram_json():
    tokenizer = unigram(normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.add_tokens([AddedToken("<extra>", rstrip=True, normalized=False)])
    return tokenizer


def unigram_first_json():
    tokenizer = unigram(normalizers.Sequence([normalizers.NFC(), normalizers.Strip(left=False, right=True)]))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.add_tokens(["<extra>"])
    return tokenizer


def llama_json():
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    train(tokenizer, trainers.BpeTrainer(vocab_size=560, special_tokens=special, limit_alphabet=80, show_progress=False))
    state = json.loads(tokenizer.to_str())
    state["added_tokens"] = state["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(), processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])])
    return tokenizer


def suffix_json():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    return train(tokenizer, trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<pad>"], end_of_word_suffix="</w>", limit_alphabet=150, show_progress=False))


def prefix_json():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    tokenizer.normalizer = normalizers.NFKD()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)])
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    return train(tokenizer, trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<unk>"], continuing_subword_prefix="##", limit_alphabet=150, show_progress=False))


def words_json():
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Digits(),
        pre_tokenizers.Split("a", "contiguous"), pre_tokenizers.Split("e", "merged_with_next"),
        pre_tokenizers.Split("oo", "removed"), pre_tokenizers.CharDelimiterSplit("x")])
    train(tokenizer, trainers.WordLevelTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 1))
    tokenizer.add_tokens([
        AddedToken("word", single_word=True, normalized=True), AddedToken("<extra>", lstrip=True, normalized=True),
        AddedToken("Ġ", rstrip=True, normalized=False), AddedToken("on the", normalized=True), AddedToken("on", normalized=True)])
    tokenizer.add_special_tokens([AddedToken("<mask>", single_word=True)])
    return tokenizer


FILES = {name[:-6].replace("_", "-"): make for name, make in list(globals().items()) if name.endswith("_files")}
JSON = {name.replace("_", "-"): make for name, make in list(globals().items()) if name.endswith("_json")}
# SentencePiece's own table takes 240 KB, and a dictionary of Japanese words more.
COMPARED_ONLY = {"fairseq-nfkc", "bert-japanese-mecab", "saved-gpt2", "saved-bert", "saved-fairseq"}


def make(name, folder):
    """Writes a tokenizer's folder; returns how its makers encode, encode with what is put
    around, and decode, and how many ids there are."""
    if name in FILES:
        FILES[name](folder)
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        return (
            lambda text: tokenizer(text, add_special_tokens=False).input_ids, lambda text: tokenizer(text).input_ids,
            lambda ids: tokenizer.decode(ids, skip_special_tokens=True), len(tokenizer))
    tokenizer = JSON[name]()
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    return (
        lambda text: tokenizer.encode(text, add_special_tokens=False).ids, lambda text: tokenizer.encode(text).ids,
        lambda ids: tokenizer.decode(ids, skip_special_tokens=True), tokenizer.get_vocab_size())


def random_ids(rng, size):
    return [rng.randrange(size) for _ in range(rng.randrange(1, 24))]


def write():
    for name in sorted((FILES.keys() | JSON.keys()) - COMPARED_ONLY):
        folder = FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        encode, target, decode, size = make(name, folder)
        questions = texts(200, 1)
        rng = random.Random(2)
        cases = {
            "texts": [[text, encode(text), decode(encode(text))] for text in questions],
            "targets": [[text, target(text)] for text in questions[-10:]],
            "ids": [[ids, decode(ids)] for ids in (random_ids(rng, size) for _ in range(60))]}
        (folder / "cases.json").write_text(json.dumps(cases, ensure_ascii=False, separators=(",", ":")))
        print(name)


def ask(program, arguments, lines):
    answer = subprocess.run(
        [program, "tokenizer", *arguments], input="".join(json.dumps(line) + "\n" for line in lines), capture_output=True,
        text=True)
    if answer.returncode:
        print("   ", answer.stderr.strip()[:300])
    return [json.loads(line) for line in answer.stdout.split("\n") if line]


def compare(program, count, only):
    print("transformers", transformers.__version__)
    for name in sorted(FILES.keys() | JSON.keys()):
        if only and name not in only:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = pathlib.Path(place)
            encode, target, decode, size = make(name, folder)
            questions = texts(count, 3)
            if "mecab" in name:  # which reads no further than a NUL
                questions = [text.replace("\0", "") for text in questions]
            rng = random.Random(4)
            lists = [random_ids(rng, size) for _ in questions]
            model = ["--model", place, "--lines"]
            for what, function, lines, arguments in [
                    ("encode", encode, questions, ["encode"]), ("target", target, questions[:2000], ["encode", "--target"]),
                    ("decode", decode, [encode(text) for text in questions], ["decode"]), ("any ids", decode, lists, ["decode"])]:
                ours = ask(program, arguments + model, lines)
                pairs = [(line, function(line), our) for line, our in zip(lines, ours)]
                wrong = [pair for pair in pairs if pair[1] != pair[2]]
                print(f"{name:22} {what:8} {len(wrong)} of {len(pairs)} differ", flush=True)
                for line, theirs, our in wrong[:3]:
                    print("   ", ascii(line)[:300], "\n      theirs", ascii(theirs)[:200], "\n      ours  ", ascii(our)[:200])


if __name__ == "__main__":
    if len(sys.argv) > 2:
        compare(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
    else:
        write()
