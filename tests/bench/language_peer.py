"""The peer of language_bench: the same calls in PyTorch. `language_peer.py THREADS [PART]`; prints JSON lines like it."""
import json
import sys
import time

import torch
import torch.nn.functional as functional


def report(name, times, call):
    call()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    seconds.sort()
    print(json.dumps({"name": name, "unit": "s", "median": seconds[len(seconds) // 2], "min": seconds[0],
                      "max": seconds[-1]}), flush=True)


def measure(name, times, inputs, op):
    """Forward alone, and forward with backward from a gradient that is there."""
    def forward():
        with torch.no_grad():
            return op(*inputs)

    gradient = torch.rand_like(forward())
    report(f"{name} forward", times, forward)
    for tensor in inputs:
        tensor.requires_grad_(True)

    def both():
        for tensor in inputs:
            tensor.grad = None
        op(*inputs).backward(gradient)

    report(name, times, both)
    for tensor in inputs:
        tensor.requires_grad_(False)


def uniform(*shape):
    return torch.rand(*shape).mul_(2).sub_(1)


def attention(batch, tokens, times):
    heads, size = 12, 64

    def op(qkv):
        q, k, v = qkv.view(batch, tokens, 3, heads, size).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(batch, tokens, heads * size)

    measure(f"attention {batch}x{tokens}", times, [uniform(batch, tokens, 3 * heads * size)], op)


def attentions():
    attention(4, 64, 25)
    attention(1, 512, 15)
    attention(1, 2048, 5)


def head(rows, times):
    labels = torch.arange(rows) * 7919 % 50257
    measure(f"linear_cross_entropy {rows}", times, [uniform(rows, 768), uniform(50257, 768)],
            lambda h, w: functional.cross_entropy(functional.linear(h, w), labels, reduction="sum"))


def heads():
    head(256, 3)


def losses():
    labels = torch.zeros(256, dtype=torch.long)
    measure("cross_entropy 256x50257", 9, [uniform(256, 50257)],
            lambda x: functional.cross_entropy(x, labels, reduction="sum"))


def activations():
    x = uniform(4096, 4096)
    measure("gelu", 9, [x], lambda v: functional.gelu(v, approximate="tanh"))
    measure("silu", 9, [x], functional.silu)

    def gated(v):
        gate, up = v.chunk(2, dim=-1)
        return functional.silu(gate) * up

    measure("gated_silu", 9, [x], gated)


def adamw():
    parameter = torch.nn.Parameter(uniform(32 << 20))
    parameter.grad = uniform(32 << 20)
    optimizer = torch.optim.AdamW([parameter], lr=1e-4, fused=True)
    report("adamw", 9, optimizer.step)


def main():
    torch.manual_seed(1)
    torch.set_num_threads(int(sys.argv[1]))
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    for run in (attentions, activations, losses, adamw, heads):
        if part in run.__name__:
            run()


if __name__ == "__main__":
    main()
