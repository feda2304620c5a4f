#!/usr/bin/env python3
"""Makes the goldens of tests/core/training_parity_test.cpp: what PyTorch (f64) makes of ten training steps of
torchvision's ResNet-18 in its form for CIFAR and of a classifier of sequences (LSTM and GRU, two layers, both directions,
lengths). First weights, images and texts follow from a formula that the test computes too, so that none are stored. Of
each tensor the norm and 48 elements are, in the order of elements here (channels last). Needs torch, torchvision and
safetensors; run it only to renew the file:

    python3 tests/golden/ops/make_training.py tests/golden/ops/training.safetensors
"""
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

STEPS, KEPT = 10, 48
CLASSES = 5


def hashed(stream, count):
    """64 bits for each of the numbers (stream, 0), (stream, 1), ...: splitmix64."""
    with np.errstate(over="ignore"):
        z = (np.uint64(stream) << np.uint64(32)) + np.arange(count, dtype=np.uint64)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(stream, shape):
    """In [-1, 1), as f32 holds it."""
    bits = hashed(stream, int(np.prod(shape))) >> np.uint64(40)
    return torch.from_numpy((bits.astype(np.float64) / 2**23 - 1).reshape(shape))


def ours(tensor):
    """Filters (O, I, H, W) stand here as (O, H, W, I)."""
    return tensor.permute(0, 2, 3, 1).contiguous() if tensor.dim() == 4 else tensor


def first_values(stream, name, shape):
    """`shape` in our order. Gains are around 1."""
    values = uniform(stream, shape)
    if len(shape) == 1:
        return 1 + 0.2 * values if name.endswith("gain") else 0.1 * values
    return values * (3.0 / np.prod(shape[1:])) ** 0.5


def keep(out, prefix, name, tensor):
    flat = ours(tensor.detach()).reshape(-1)
    places = torch.from_numpy((hashed(1000, KEPT) % np.uint64(flat.numel())).astype(np.int64))
    out[f"{prefix}/{name}"] = torch.cat([flat.norm()[None], flat[places]]).float()


def train(out, case, model, names, loss_of, optimizer_of):
    """`names`: ours of the model's parameters, in the order in which they count for first_values()."""
    model.double().train()
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for stream, (theirs, name) in enumerate(names.items()):
            p = parameters[theirs]
            value = first_values(stream, name, tuple(ours(p).shape))
            p.copy_(value.permute(0, 3, 1, 2) if p.dim() == 4 else value)
    optimizer = optimizer_of([parameters[k] for k in names])
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            for theirs, name in names.items():
                keep(out, f"{case}/gradient", name, parameters[theirs].grad)
        optimizer.step()
    for theirs, name in names.items():
        keep(out, f"{case}/after", name, parameters[theirs])
    out[f"{case}/losses"] = torch.tensor(losses, dtype=torch.float32)
    print(case, losses)


def resnet_names():
    """torchvision's names -> ours, for the CIFAR form (core/models/residual_images.cpp)."""
    kinds = {"weight": "gain", "bias": "bias", "running_mean": "running_mean", "running_var": "running_variance"}
    parameters, states = {}, {}

    def conv_norm(conv, norm, name):
        parameters[f"{conv}.weight"] = f"{name}.conv.weight"
        for theirs, own in kinds.items():
            into = states if theirs.startswith("running") else parameters
            into[f"{norm}.{theirs}"] = f"{name}.norm.{own}"

    conv_norm("conv1", "bn1", "0")
    for stage in range(4):
        for block in range(2):
            theirs, name = f"layer{stage + 1}.{block}", str(1 + 2 * stage + block)
            conv_norm(f"{theirs}.conv1", f"{theirs}.bn1", f"{name}.body.0")
            conv_norm(f"{theirs}.conv2", f"{theirs}.bn2", f"{name}.body.1")
            if stage > 0 and block == 0:
                conv_norm(f"{theirs}.downsample.0", f"{theirs}.downsample.1", f"{name}.shortcut")
    for kind in ("weight", "bias"):
        parameters[f"fc.{kind}"] = f"10.{kind}"
    return parameters, states


def labels_of(rows):
    return torch.tensor([(7 * k + 3) % CLASSES for k in range(rows)])


def resnet(out):
    rows, side = 4, 16
    model = resnet18(num_classes=CLASSES)
    model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = torch.nn.Identity()
    images = uniform(2004, (rows, side, side, 3)).permute(0, 3, 1, 2)
    parameters, states = resnet_names()
    train(out, "resnet", model, parameters,
          lambda m: torch.nn.functional.cross_entropy(m(images), labels_of(rows)),
          lambda p: torch.optim.SGD(p, lr=0.0002, momentum=0.9, weight_decay=0))
    buffers = dict(model.named_buffers())
    for theirs, name in states.items():
        keep(out, "resnet/after", name, buffers[theirs])


class Sequences(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.embedding = torch.nn.Embedding(11, 6)
        self.recurrent = kind(6, 5, num_layers=2, bidirectional=True, batch_first=True)
        self.head = torch.nn.Linear(10, CLASSES)

    def forward(self, ids, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(self.embedding(ids), lengths, batch_first=True,
                                                         enforce_sorted=False)
        hidden = self.recurrent(packed)[1]
        hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return self.head(torch.cat([hidden[-2], hidden[-1]], dim=1))


def sequences(out, case, kind):
    rows, time = 6, 9
    model = Sequences(kind)
    names = {"embedding.weight": "embedding.weight"}
    for layer in range(2):
        for direction, suffix in (("forward", ""), ("backward", "_reverse")):
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                theirs = f"recurrent.{part}_l{layer}{suffix}"
                if part == "bias_hh" and case == "lstm":
                    # Here an LSTM has one bias.
                    frozen = dict(model.named_parameters())[theirs]
                    torch.nn.init.zeros_(frozen)
                    frozen.requires_grad_(False)
                    continue
                names[theirs] = f"recurrent.{layer}.{direction}.{part}"
    for kind_of in ("weight", "bias"):
        names[f"head.{kind_of}"] = f"head.{kind_of}"
    ids = torch.from_numpy((hashed(3000, rows * time) % np.uint64(11)).astype(np.int64)).reshape(rows, time)
    lengths = torch.tensor([1 + (5 * k + 3) % time for k in range(rows)])
    train(out, case, model, names,
          lambda m: torch.nn.functional.cross_entropy(m(ids, lengths), labels_of(rows)),
          lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.9, 0.999), eps=1e-8, weight_decay=0))


def main():
    out = {}
    resnet(out)
    sequences(out, "lstm", torch.nn.LSTM)
    sequences(out, "gru", torch.nn.GRU)
    save_file(out, sys.argv[1])


main()
