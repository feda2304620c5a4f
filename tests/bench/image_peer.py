#!/usr/bin/env python3
"""image_peer.py FOLDER: the files of image_bench through torchvision: ImageFolder (PIL), RandomResizedCrop(224), flip,
ToTensor, Normalize, in batches of 32 by a DataLoader; in this process, and by one worker process. One core either way:
the faster counts. One JSON line."""
import json
import sys
import time

import torch
from torchvision import datasets, transforms

BATCH, ROUNDS, BATCHES = 32, 7, 8


def rates(folder, workers):
    changes = transforms.Compose([
        transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])
    files = datasets.ImageFolder(folder + "/files", changes)
    # Workers begin anew with every pass over the loader: one long pass.
    sampler = torch.utils.data.RandomSampler(files, replacement=True, num_samples=BATCH * BATCHES * (ROUNDS + 1))
    batches = iter(torch.utils.data.DataLoader(files, BATCH, sampler=sampler, num_workers=workers))
    out = []
    for _ in range(ROUNDS + 1):
        start = time.perf_counter()
        for _ in range(BATCHES):
            next(batches)
        out.append(BATCH * BATCHES / (time.perf_counter() - start))
    return sorted(out[1:])


def main():
    torch.set_num_threads(1)
    best = max((rates(sys.argv[1], workers) for workers in (0, 1)), key=lambda values: values[len(values) // 2])
    print(json.dumps({"name": "decode and change", "unit": "images/s", "median": best[len(best) // 2], "min": best[0],
                      "max": best[-1]}))


if __name__ == "__main__":
    main()
