"""tokenizers_peer.py TOKENIZER TEXT: the figures of tokenizer_bench, by the library `tokenizers` in one thread."""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer  # noqa: E402

ROUNDS = 7


def report(name, unit, values):
    values = sorted(values)
    print(json.dumps({"name": name, "unit": unit, "median": values[len(values) // 2], "min": values[0], "max": values[-1]}))


def rates(megabytes, make):
    out = []
    for _ in range(ROUNDS + 1):
        encode = make()
        start = time.perf_counter()
        encode()
        out.append(megabytes / (time.perf_counter() - start))
    return out[1:]


def main():
    with open(sys.argv[2], encoding="utf-8", newline="\n") as file:
        lines = list(file)
    megabytes = sum(len(line.encode()) for line in lines) / 1e6

    def fresh():
        tokenizer = Tokenizer.from_file(sys.argv[1])
        return lambda: tokenizer.encode_batch_fast(lines, add_special_tokens=False)

    report("first", "MB/s", rates(megabytes, fresh))
    known = fresh()
    report("again", "MB/s", rates(megabytes, lambda: known))
    tokens = sum(len(encoding.ids) for encoding in known())
    report("tokens", "tokens", [tokens])


main()
