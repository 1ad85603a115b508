"""Writes Tests/Fixtures/metrics: what the metrics' reference implementations say of the same texts.

cases.json: for each case its generated texts, their references, and every metric: by sacrebleu, jiwer, rouge_score and
pycocoevalcap, exact match and token F1 by their definition. words.json: texts and the words each metric makes of them.
Two things are ours: the choice of a reference for the error rates (the fewest edits) and CIDEr's words, for which
pycocoevalcap needs Java."""

import json
import random
import re
import unicodedata
from collections import Counter
from pathlib import Path

import jiwer
from pycocoevalcap.cider.cider import Cider
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize as rouge_words
from sacrebleu.metrics import BLEU

OUT = Path(__file__).parent.parent / "Fixtures" / "metrics"
BLEU4, ROUGE = BLEU(), RougeScorer(["rougeL"], use_stemmer=False)


def canonical(text):
    return unicodedata.normalize("NFC", text)


def token_f1(generated, expected):
    a, b = ([w for w in canonical(t).split(" ") if w] for t in (generated, expected))
    if not a and not b:
        return 1.0
    common = sum((Counter(a) & Counter(b)).values())
    return 2 * common / (len(a) + len(b)) if common else 0.0


def error_rate(process, generated, references):
    def edits(output):
        return output.substitutions + output.deletions + output.insertions

    nearest = [min(rs, key=lambda r: edits(process([r], [g]))) for g, rs in zip(generated, references)]
    output = process(nearest, generated)
    return output.cer if hasattr(output, "cer") else output.wer


def cider_words(text):
    text = text.lower()

    def separates(c):
        return unicodedata.category(c)[0] == "P" or c.isspace() or c == "`"

    def stays(i):
        if i == 0 or i == len(text) - 1:
            return False
        before, after = text[i - 1], text[i + 1]
        if text[i] in "'’-":
            return not separates(before) and not separates(after)
        return text[i] in ".," and re.fullmatch("[0-9]", before) and re.fullmatch("[0-9]", after)

    return "".join(" " if separates(c) and not stays(i) else c for i, c in enumerate(text)).split(" ")


def cider(generated, references):
    def plain(text):
        return " ".join(w for w in cider_words(text) if w)

    if not any(plain(r) for rs in references for r in rs):
        return 0.0  # where the scorer fails for want of any word
    score, _ = Cider().compute_score(
        {i: [plain(r) for r in rs] for i, rs in enumerate(references)},
        {i: [plain(g)] for i, g in enumerate(generated)},
    )
    return float(score)


def expected(generated, references):
    count, most = len(generated), max(map(len, references))
    streams = [[rs[i] if i < len(rs) else None for rs in references] for i in range(most)]
    pairs = list(zip(generated, references))
    return {
        "exact_match": sum(canonical(g) in map(canonical, rs) for g, rs in pairs) / count,
        "token_f1": sum(max(token_f1(g, r) for r in rs) for g, rs in pairs) / count,
        "character_error_rate": error_rate(jiwer.process_characters, generated, references),
        "word_error_rate": error_rate(jiwer.process_words, generated, references),
        "bleu_4": BLEU4.corpus_score(generated, streams).score / 100,
        "rouge_l": float(sum(ROUGE.score_multi(rs, g)["rougeL"].fmeasure for g, rs in pairs) / count),
        "cider": cider(generated, references),
        "count": count,
    }


LONG = "a black and white cat sleeps on the red sofa near the window"
CASES = {
    "identical": [("a red circle on a white ground", ["a red circle on a white ground"]), (LONG, [LONG])],
    "identical, alone": [(LONG, [LONG])],
    "nothing in common": [("dogs bark loudly at night", ["a cat sleeps"]), ("blue sky over there", ["red sofa"])],
    "one word": [("cat", ["cat"]), ("dog", ["cat"]), ("bird", ["bird"])],
    "two words": [("a cat", ["a cat"]), ("a dog", ["the dog"]), ("red sofa", ["a sofa"])],
    "three words": [("the cat sat", ["the cat sat"]), ("the dog ran", ["a dog ran"])],
    "one text of four words": [("the cat sat down", ["the cat sat down"]), ("dog", ["a dog"])],
    "four words, no phrase": [("one two three four", ["four three two one"]), ("a b", ["a b"])],
    "substitution": [("a cat sits on the mat", ["a dog sits on the mat"]), ("two birds fly", ["two birds fly"])],
    "insertion": [("a very big cat sits on the mat", ["a cat sits on the mat"]), ("x", ["y"])],
    "deletion": [("a cat sits", ["a cat sits on the mat"]), ("x y", ["x y"])],
    "more errors than words": [("one two three four five six", ["a"]), ("no", ["yes"])],
    "longer than the reference": [(LONG + " " + LONG, [LONG]), ("a dog", ["a dog runs"])],
    "repeated words": [("the the the the the the the", ["the cat is on the mat"]), ("a a a a", ["a b a c"])],
    "repeated phrases": [("a cat a cat a cat", ["a cat and a cat"]), ("a dog", ["a cat"])],
    "empty generated": [("", ["a cat sits on the mat"]), ("a dog", ["a dog"])],
    "empty expected": [("a cat sits on the mat", [""]), ("a dog", ["a dog"])],
    "empty both": [("", [""]), ("a dog runs fast", ["a dog runs fast"])],
    "all empty": [("", [""]), ("", ["", ""])],
    "nothing generated": [("", ["a cat"]), ("", ["a dog", "dogs"])],
    "nothing expected": [("a cat", [""]), ("a dog", [""])],
    "only spaces": [("   ", [" "]), (" \t\n ", ["a b"]), ("a dog", ["\u3000"])],
    "inner spaces": [("a  cat   sits", [" a cat sits "]), ("a\tcat", ["a cat"]), ("a \t cat", ["a\n\ncat"])],
    "odd spaces": [("a\u00a0cat sits\u2003here", ["a cat sits here"]), ("x\x1f\x1fy\x1cz", ["x y z"])],
    "case": [("A Red Circle On White", ["a red circle on white"]), ("CAT", ["cat"])],
    "punctuation": [
        ("A cat, a dog; and (maybe) a bird!", ["A cat, a dog and maybe a bird."]),
        ('He said: "no" -- twice...', ["He said 'no' twice."]),
    ],
    "apostrophes and hyphens": [
        ("the dog's black-and-white coat isn't wet", ["the dogs black and white coat is not wet"]),
        ("rock 'n' roll - it’s loud", ["rock ‘n’ roll — its loud"]),
    ],
    "numbers": [("3.5 of 1,000 cats, 20% in 2024-25.", ["3,5 of 1000 cats, 20 % in 2024 - 25."]), ("$5", ["5$"])],
    "entities and markup": [("a &lt;b&gt; &amp;amp; c &quot;d&quot;", ["a <b> & c \"d\""]), ("x<skipped>y", ["xy"])],
    "line breaks": [("a hy-\nphen and\na line", ["a hyphen and a line"]), ("one\r\ntwo", ["one two"])],
    "Chinese and Japanese": [("一只黑猫在沙发上", ["一只白猫在沙发上"]), ("黒い猫 が 寝て いる", ["黒い猫 が 寝て いた"])],
    "full-width": [("ａ　ｃａｔ，ｓｉｔｓ。", ["a cat, sits."]), ("１２３", ["123"])],
    "emoji": [("a 🐱 and a 🐶", ["a 🐱 and a 🐶 run"]), ("👩‍👩‍👧‍👦", ["👩‍👩‍👧"]), ("👍🏽 ok", ["👍 ok"]), ("🇩🇪", ["🇩🇰"])],
    "combining characters": [
        ("cafe\u0301 au lait sil vous plait", ["caf\u00e9 au lait sil vous pla\u00eet"]), ("e\u0301", ["e"]),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", ["\ud55c\uae00"]), ("e\u0301te\u0301", ["\u00e9t\u00e9"]),
    ],
    "other scripts": [("рыжий кот спит на диване", ["рыжий кот лежит на диване"]), ("قط أسود نائم", ["قط أسود"])],
    "special casing": [("İstanbul STRASSE \u212aelvin", ["istanbul straße kelvin"]), ("ǅ DŽ", ["ǆ dž"])],
    "several references": [
        ("a cat sits on the mat", ["a dog stands", "the cat sits on a mat", "a cat is sitting on the mat"]),
        ("two birds in the sky", ["two birds fly in the blue sky", "birds in the sky"]),
        ("a red car", ["a red car", "a car that is red"]),
    ],
    "as many edits, other lengths": [("a b c", ["a b", "a b c d", "a b x"]), ("x", ["y", "x y", ""])],
    "identical references": [("a cat sits here", ["a cat sits there"] * 3), ("a dog", ["a dog", "a dog"])],
    "an empty reference among others": [("a cat sits on a mat", ["", "a cat on a mat"]), ("", ["", "a dog"])],
    "same caption everywhere": [("a cat on a mat", ["a cat on a mat", "a dog on a mat"])] * 4,
}


def caption(rng):
    words = "a the cat dog bird sits runs on under red blue big sofa mat, tree. and".split()
    return " ".join(rng.choice(words) for _ in range(rng.randint(1, 14)))


def variation(rng, text):
    words = [w if rng.random() < 0.8 else caption(rng).split(" ")[0] for w in text.split(" ") if rng.random() < 0.9]
    return " ".join(words)


def noise(rng):
    return "".join(rng.choice("ab.,-'09 \n\t&;<>ltgqu\"()…—é\u0301猫🐱`_$İ\u00a0\r") for _ in range(rng.randint(0, 30)))


def write(name, value):
    lines = ",\n".join(json.dumps(entry, ensure_ascii=True) for entry in value)
    (OUT / name).write_text(f"[\n{lines}\n]\n")


def main():
    rng = random.Random(0)
    cases = dict(CASES)
    texts = [caption(rng) for _ in range(60)]
    cases["many captions"] = [(variation(rng, t), [t]) for t in texts]
    cases["many captions, five references"] = [
        (variation(rng, t), [variation(rng, t) for _ in range(5)]) for t in texts
    ]
    cases["as many references as come"] = [
        (variation(rng, t), [variation(rng, t) for _ in range(rng.randint(1, 4))]) for t in texts
    ]
    cases["noise"] = [(noise(rng), [noise(rng) for _ in range(rng.randint(1, 3))]) for _ in range(80)]
    OUT.mkdir(exist_ok=True)
    entries = []
    for name, pairs in cases.items():
        generated, references = [g for g, _ in pairs], [rs for _, rs in pairs]
        values = expected(generated, references)
        entries.append({"name": name, "generated": generated, "references": references, "expected": values})
    write("cases.json", entries)

    texts = dict.fromkeys(t for pairs in CASES.values() for g, rs in pairs for t in [g, *rs])
    texts.update(dict.fromkeys(noise(rng) for _ in range(150)))
    write(
        "words.json",
        [
            {
                "text": text,
                "bleu": BLEU4._preprocess_segment(text).split(),
                "rouge": rouge_words(text, None),
                "cider": [w for w in cider_words(text) if w],
                "error_rate": jiwer.process_words([text], [text]).references[0],
            }
            for text in texts
        ],
    )


if __name__ == "__main__":
    main()
