#!/usr/bin/env python3
"""model_peer.py THREADS CASE: a case of model_bench.cpp in PyTorch: the same network, Adam; eager and compiled, both
memory formats for images, foreach and fused Adam; the fastest counts. One JSON line, with the settings."""
import itertools
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 10


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.first(x)), inplace=True)
        y = self.norm2(self.second(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)), inplace=True)


def resnet():
    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(True)]
    inputs = 64
    for stage, outputs in enumerate((64, 128, 256, 512)):
        layers += [Block(inputs, outputs, 2 if stage else 1), Block(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


def vgg():
    layers, inputs = [], 3
    for stage in ((64,), (128,), (256, 256), (512, 512), (512, 512)):
        for outputs in stage:
            layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU(True)]
            inputs = outputs
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, CLASSES))


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(128, 256, batch_first=True), nn.Linear(256, CLASSES)

    def forward(self, x):
        return self.head(self.lstm(x)[1][0][-1])


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        block = nn.TransformerEncoderLayer(256, 8, 1024, dropout=0.0, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(block, 2), nn.Linear(256, CLASSES)

    def forward(self, x):
        return self.head(self.encoder(x)).flatten(0, 1)


def case(name):
    """The network's maker, the input's shape, the number of targets."""
    kind, *sizes = name.split()
    rows, *time_steps = (int(size.partition("=")[2]) for size in sizes)
    if kind in ("resnet-18", "vgg-11"):
        return {"resnet-18": resnet, "vgg-11": vgg}[kind], (rows, 3, 32, 32), rows
    if kind == "lstm":
        return Lstm, (rows, time_steps[0], 128), rows
    return Encoder, (rows, time_steps[0], 256), rows * time_steps[0]


def measured(name, settings, times):
    make, shape, targets = case(name)
    torch.manual_seed(1)
    layout = torch.channels_last if settings["channels_last"] else torch.contiguous_format
    model = make()
    x, y = torch.rand(shape) * 2 - 1, torch.randint(0, CLASSES, (targets,))
    if len(shape) == 4:
        model, x = model.to(memory_format=layout), x.contiguous(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **{settings["adam"]: True})
    forward = torch.compile(model) if settings["compile"] else model

    def step():
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(forward(x), y).backward()
        optimizer.step()

    for _ in range(3):
        step()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_flush_denormal(True)
    name = sys.argv[2]
    images = name.startswith(("resnet", "vgg"))
    found = []
    for channels_last, adam, compiled in itertools.product((False, True) if images else (False,), ("foreach", "fused"),
                                                           (False, True)):
        settings = {"channels_last": channels_last, "adam": adam, "compile": compiled}
        if compiled and adam == "foreach":
            continue  # fused is at least as fast, and compiling takes a minute
        try:
            seconds = measured(name, settings, 3)
            found.append((seconds[len(seconds) // 2], settings))
        except Exception as error:  # a machine without a compiler for torch.compile
            print(f"{settings}: {str(error)[:200]}", file=sys.stderr)
            torch._dynamo.reset()
    best = min(found, key=lambda entry: entry[0])[1]
    seconds = measured(name, best, 9)
    print(json.dumps({"name": name, "unit": "s", "median": seconds[len(seconds) // 2], "min": seconds[0],
                      "max": seconds[-1], "settings": best}), flush=True)


if __name__ == "__main__":
    main()
