#!/usr/bin/env python3
"""gpt_peer.py THREADS CASE...: the cases of gpt_bench.cpp in PyTorch: the same GPT-2, fused attention
(scaled_dot_product_attention), fused AdamW, clipping; eager and compiled, the faster counts. One JSON line a figure."""
import json
import sys
import time

import torch
import torch.nn.functional as F

PUBLISHED = dict(vocabulary=50257, context=1024, width=768, layers=12, heads=12)
SMALL = dict(vocabulary=1024, context=256, width=384, layers=6, heads=6)
CASES = {
    "gpt2-124M B=4 T=64": (PUBLISHED, 4, 64, 5),
    "gpt2-124M B=1 T=512": (PUBLISHED, 1, 512, 5),
    "gpt-10M B=8 T=128": (SMALL, 8, 128, 9),
    "gpt2-124M generation": (PUBLISHED, 1, 16, 3),
    "gpt-10M generation": (SMALL, 1, 16, 5),
}
NEW_TOKENS = 64


class Block(torch.nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.first, self.second = torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)
        self.qkv, self.out = torch.nn.Linear(width, 3 * width), torch.nn.Linear(width, width)
        self.up, self.down = torch.nn.Linear(width, 4 * width), torch.nn.Linear(4 * width, width)

    def forward(self, x, cache=None):
        b, t, c = x.shape
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.qkv(self.first(x)).split(c, 2))
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return x + self.down(F.gelu(self.up(self.second(x)), approximate="tanh"))


class Gpt(torch.nn.Module):
    def __init__(self, vocabulary, context, width, layers, heads):
        super().__init__()
        self.tokens, self.positions = torch.nn.Embedding(vocabulary, width), torch.nn.Embedding(context, width)
        self.blocks = torch.nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = torch.nn.LayerNorm(width)

    def forward(self, ids, first=0, caches=None):
        x = self.tokens(ids) + self.positions.weight[first:first + ids.shape[1]]
        for k, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[k])
        x = self.norm(x if caches is None else x[:, -1:])
        return F.linear(x, self.tokens.weight)


def timed(times, call):
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)


def report(name, unit, values):
    print(json.dumps({"name": name, "unit": unit, "median": values[len(values) // 2], "min": values[0],
                      "max": values[-1]}), flush=True)


def train(name, config, rows, tokens, times):
    ids = torch.randint(0, config["vocabulary"], (rows, tokens))
    best = None
    for compiled in (False, True):
        model = Gpt(**config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
        forward = torch.compile(model) if compiled else model

        def step():
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(forward(ids).view(-1, config["vocabulary"]), ids.view(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        try:
            seconds = timed(times, step)
        except Exception as error:  # a machine without a compiler for torch.compile
            print(f"compiled: {error}", file=sys.stderr)
            continue
        if best is None or seconds[len(seconds) // 2] < best[len(best) // 2]:
            best = seconds
    report(name + " step", "s", best)


@torch.inference_mode()
def write_on(name, config, times):
    model = Gpt(**config).eval()

    def text():
        ids, caches, first = torch.arange(5, 21)[None], [[] for _ in model.blocks], 0
        for _ in range(NEW_TOKENS):
            token = model(ids, first, caches)[:, -1].argmax(-1, keepdim=True)
            first += ids.shape[1]
            ids = token

    report(name + " tokens/s", "tokens/s", [NEW_TOKENS / s for s in reversed(timed(times, text))])


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(1)
    for name in sys.argv[2:]:
        config, rows, tokens, times = CASES[name]
        if name.endswith("generation"):
            write_on(name, config, times)
        else:
            train(name, config, rows, tokens, times)


if __name__ == "__main__":
    main()
