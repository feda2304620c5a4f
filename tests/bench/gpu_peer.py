#!/usr/bin/env python3
"""gpu_peer.py DEVICE DTYPE CASE...: the cases of gpu_bench.cpp in PyTorch at its best settings: torch.compile, fused
AdamW, scaled_dot_product_attention (flash or cuDNN), weights in f32 under autocast to bf16, random tokens. One JSON line
a figure."""
import re
import sys
import time

try:
    import torch
except ImportError:
    print("skipped: no torch")
    sys.exit(77)

from gpt_peer import Gpt, report

VOCABULARY = 50304
MODELS = {
    "gpt2-124M": dict(vocabulary=VOCABULARY, context=1024, width=768, layers=12, heads=12),
    "gpt2-350M": dict(vocabulary=VOCABULARY, context=1024, width=1024, layers=24, heads=16),
    "gpt2-1558M": dict(vocabulary=VOCABULARY, context=1024, width=1600, layers=48, heads=25),
    "tiny": dict(vocabulary=128, context=64, width=32, layers=2, heads=2),
}


def synchronize(device):
    if device.type == "cuda":
        torch.cuda.synchronize()


def train(name, device, dtype):
    model_name, rows, tokens = re.fullmatch(r"(\S+) B=(\d+) T=(\d+)", name).groups()
    config, rows, tokens = MODELS[model_name], int(rows), int(tokens)
    ids = torch.randint(0, config["vocabulary"], (rows, tokens), device=device)
    model = Gpt(**config).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    half = dtype == "bf16"

    def loss_of(ids):
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = model(ids)
            return torch.nn.functional.cross_entropy(logits.view(-1, logits.shape[-1]), ids.view(-1))

    compiled = torch.compile(loss_of) if device.type == "cuda" else loss_of

    def step():
        loss = compiled(ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss

    for _ in range(5):
        step()
    synchronize(device)
    seconds, together = [], 5
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(together):
            loss = step()
        synchronize(device)
        seconds.append((time.perf_counter() - start) / together)
    seconds.sort()
    report(name + " step", "s", seconds)
    report(name + " tokens", "tokens/s", sorted(rows * tokens / s for s in seconds))
    report(name + " loss", "", [loss.item()])


def main():
    device = torch.device(sys.argv[1])
    if device.type == "cuda" and not torch.cuda.is_available():
        print("skipped: no GPU in torch")
        sys.exit(77)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cuda.enable_math_sdp(False)
    print(f'{{"version": "{torch.__version__}"}}', flush=True)
    for name in sys.argv[3:]:
        train(name, device, sys.argv[2])


if __name__ == "__main__":
    main()
