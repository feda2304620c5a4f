"""Writes the goldens of the tokenizer: ids as the Python library `tokenizers` computes them.

    python make.py TRIREME [GPT2_FOLDER]

TRIREME is the program; it trains tokenizer.json on text.txt, and the library trains on the same text: the merges of both
must be the same. ids.json gets the library's ids of some texts, gpt2_ids.json those of GPT-2's tables (encoder.json and
vocab.bpe in GPT2_FOLDER), which are not kept here.
"""

import json
import pathlib
import random
import subprocess
import sys

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

here = pathlib.Path(__file__).parent
gpt4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def texts():
    """Lines of the text, corner cases, and random characters of many kinds."""
    draw = random.Random(7)
    kinds = ["abcXYZ", "0189", " \t\n\r\u00a0\u2003\u3000", "'\"!?.,-", "äßéñøσЖ漢字かなा้", "٣½Ⅷ²", "😀🚢\u0301\u200d", "'s'T'LL're"]
    out = (here / "text.txt").read_text().splitlines()
    out += ["", " ", "  ", "\n", " \n ", "a  b", "a \n\n b", "   x", "x   ", "I'LL we'Ve 'ſ", "don't", "'", "''s", "1234567"]
    out += ["x" * 300, "ab" * 200, "!" * 150 + "\n\n\nq", "<|endoftext|>", "a<|endoftext|>b"]
    for _ in range(200):
        out.append("".join(draw.choice(draw.choice(kinds)) for _ in range(draw.randint(1, 40))))
    return out


def trained(pattern, vocabulary):
    tokenizer = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if pattern is None:
        tokenizer.pre_tokenizer = level
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), level])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator([(here / "text.txt").read_text()], trainer)
    return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def ids_of(tokenizer):
    return [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in texts()]


def write(name, entries):
    lines = ",\n".join(json.dumps(entry) for entry in entries)
    (here / name).write_text("[\n" + lines + "\n]\n")


def train_ours(program, name, pattern):
    command = [program, "data", "train-tokenizer", str(here / "text.txt"), "--vocabulary", "450"]
    subprocess.run(command + ["--pattern", pattern, "--out", str(here / name)], check=True)
    ours = [tuple(m.split(" ")) for m in json.loads((here / name).read_text())["model"]["merges"]]
    theirs = trained(None if pattern == "gpt2" else gpt4, 449)
    if ours != theirs:
        sys.exit(f"{name}: the library has other merges than the {len(ours)} of the program")
    print(f"{name}: {len(ours)} merges, the library has the same")


def main():
    train_ours(sys.argv[1], "tokenizer.json", "gpt2")
    train_ours(sys.argv[1], "tokenizer_gpt4.json", "gpt4")
    write("ids.json", ids_of(Tokenizer.from_file(str(here / "tokenizer.json"))))
    write("ids_gpt4.json", ids_of(Tokenizer.from_file(str(here / "tokenizer_gpt4.json"))))
    if len(sys.argv) > 2:
        folder = pathlib.Path(sys.argv[2])
        gpt2 = Tokenizer(models.BPE.from_file(str(folder / "encoder.json"), str(folder / "vocab.bpe")))
        gpt2.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        gpt2.add_special_tokens(["<|endoftext|>"])
        write("gpt2_ids.json", ids_of(gpt2))


main()
