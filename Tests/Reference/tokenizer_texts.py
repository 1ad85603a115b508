"""Texts that tokenizers are trained on and compared with: several scripts, emoji, combining marks, odd white space, and
what looks like their own special tokens."""

import random

CORPUS = [
    "A cat sits on the mat, and the dog's bone isn't there.", "The quick brown fox jumps over the lazy dog.",
    "TOTAL 12.50 TAX 1.25 CASH 20.00 CHANGE 6.25", "We're sure they've seen it; I'm not, he'd say, we'll see.",
    "Der Fluß fließt über große Steine, und die Vögel fliegen.", "L’été dernier, à l'école, où est-il allé ?",
    "Съешь же ещё этих мягких французских булок", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "日本語の文章を読む。東京都は大きいです。", "ひらがなとカタカナ、漢字の混じった文", "我能吞下玻璃而不伤身体。", "안녕하세요 세계 여러분",
    "مرحبا بالعالم كيف الحال", "שלום עולם מה שלומך", "नमस्ते दुनिया कैसे हो", "สวัสดีชาวโลก", "İstanbul ve ığdır ΣΊΣΥΦΟΣ ǅ",
    "emoji 😀 😁 👩🏽‍🚀 👨‍👩‍👧‍👦 🇩🇪 ❤️", "x = y_1 + 2*z; // code\n\tif (a && b) { return 0; }", "1234567890 ٣٤٥ Ⅷ ½ ² ①",
    "don't can't won't it's I'm you're they'd we'll 's 've", "e\u0301 a\u0308 o\u0302\u0301 n\u0303 \u1e9b\u0323 \ufb01",
]

ODD = [
    "", " ", "  ", "\n", "\r\n", "\t", "\0", "a\0b", "\u00a0", "\u3000", "\u2028", "\u200b", "\u200d", "\ufeff", "\ufffd",
    "\u2581", "\u2581a", "Ġ", "##", "##a", "[CLS]", "[SEP]", "[UNK]", "<s>", "</s>", "<mask>", " <mask> ", "<pad>", "<unk>",
    "<|endoftext|>", "<0x41>", "<extra>", "  <extra>  ", "x<extra>y", "Word", "word", "aword", " word ", "㋿", "令", "'", "''", "' '", "'S", "'ll",
    "don't .", "\u0301", "\u0345", "\U0001f600", "\U0010ffff", "\ue000", "\u0378", "a" * 120, "  lead and trail  ", "…", "ｱ", "㍿",
    "\u1100\u1161\u11a8", "\u0915\u094d\u0937", "\U000e0041", "\u202e", "\x7f", "\x85", "ſ", "ﷺ", "𝒜", "Å", "\u212b",
]

BLOCKS = [
    (0x20, 0x7F), (0x20, 0x7F), (0x00, 0x20), (0x80, 0x250), (0x250, 0x370), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700),
    (0x900, 0xE00), (0x1E00, 0x2000), (0x2000, 0x2070), (0x2070, 0x2C00), (0x3000, 0x3100), (0x4E00, 0x5000), (0xAC00, 0xAD00),
    (0xFB00, 0x10000), (0x1F300, 0x1F700), (0x1F900, 0x1FA00), (0x1D400, 0x1D800), (0, 0x110000),
]


def scalar(rng):
    low, high = rng.choice(BLOCKS)
    while True:
        value = rng.randrange(low, high)
        if not 0xD800 <= value < 0xE000:
            return chr(value)


def text(rng):
    parts = []
    for _ in range(rng.randrange(1, 7)):
        kind = rng.randrange(6)
        if kind < 2:
            words = rng.choice(CORPUS).split(" ")
            start = rng.randrange(len(words))
            parts.append(" ".join(words[start:start + rng.randrange(1, 5)]))
        elif kind == 2:
            parts.append(rng.choice(ODD))
        elif kind == 3:
            sentence = rng.choice(CORPUS)
            start = rng.randrange(len(sentence))
            parts.append(sentence[start:start + rng.randrange(1, 12)])
        else:
            parts.append("".join(scalar(rng) for _ in range(rng.randrange(1, 9))))
        parts.append(rng.choice(["", "", " ", " ", "  ", "\n", "\r\n", "\t"]))
    return "".join(parts)


def texts(count, seed):
    """All odd ones and the corpus, then random ones."""
    rng = random.Random(seed)
    fixed = ODD + CORPUS
    return (fixed + [text(rng) for _ in range(max(0, count - len(fixed)))])[:count]
