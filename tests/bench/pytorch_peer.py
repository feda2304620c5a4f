"""The peer of the training benchmark: the same networks in PyTorch, as fast as its settings make them.

    pytorch_peer.py --data FOLDER --model cnn --threads 2 --steps 300        one process
    pytorch_peer.py ... --parts 2 --part 0 --meeting FILE                      one of two, DDP over gloo
    pytorch_peer.py ... --screen                                               tries the settings, prints the best

The data lie in memory, already normalised, shuffled once per epoch: nothing is counted for loading but a slice. Prints
one JSON line: images per second of each stretch of 10 steps, and the mean loss of the last 20 stretches' last steps.
"""
import argparse
import itertools
import json
import os
import sys
import time

import h5py
import numpy
import torch
import torch.nn.functional as functional
from torch import nn

STRETCH = 10


def cnn(classes, channels=1):
    return nn.Sequential(
        nn.Conv2d(channels, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.LazyLinear(128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, classes))


def seed_cnn(classes, channels=1):
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, classes))


MODELS = {"cnn": cnn, "seed-cnn": seed_cnn}


def load(folder):
    """The training split of a data set folder (docs/formats.md)."""
    with open(os.path.join(folder, "index.json"), encoding="utf-8") as file:
        split = next(entry for entry in json.load(file)["splits"] if entry["name"] == "train")
    images, labels = [], []
    for shard in split["shards"]:
        with h5py.File(os.path.join(folder, shard["file"]), "r") as file:
            images.append(file["image"][:])
            labels.append(file["label"][:])
    return numpy.concatenate(images), numpy.concatenate(labels)


def initialise(model):
    """Kaiming uniform weights and zero biases, as on the other side."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)


class Run:
    """A network with its data and optimizer, under some settings."""

    def __init__(self, arguments, settings):
        self.arguments = arguments
        self.rows = arguments.batch // arguments.parts
        images, labels = load(arguments.data)
        self.format = torch.channels_last if settings["channels_last"] else torch.contiguous_format
        self.images = torch.from_numpy(images).float().div_(127.5).sub_(1).permute(0, 3, 1, 2)
        self.images = self.images.contiguous(memory_format=self.format)
        self.labels = torch.from_numpy(labels).long()
        torch.manual_seed(arguments.seed)
        model = MODELS[arguments.model](int(labels.max()) + 1, images.shape[3])
        model(self.images[:2])
        initialise(model)
        model = model.to(memory_format=self.format)
        if arguments.parts > 1:
            model = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True, static_graph=True)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **{settings["adam"]: True})
        self.model = torch.compile(model) if settings["compile"] else model
        self.position = 0
        self.order = numpy.random.default_rng(arguments.seed)
        self.shuffle()

    def shuffle(self):
        """All parts draw the same order; each takes its rows of every batch."""
        chosen = torch.from_numpy(self.order.permutation(len(self.labels)))
        self.images = self.images[chosen].contiguous(memory_format=self.format)
        self.labels = self.labels[chosen]
        self.position = 0

    def batch(self):
        if self.position + self.arguments.batch > len(self.labels):
            self.shuffle()
        first = self.position + self.arguments.part * self.rows
        self.position += self.arguments.batch
        return self.images[first:first + self.rows], self.labels[first:first + self.rows]

    def step(self):
        images, labels = self.batch()
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(self.model(images), labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def measure(self, steps):
        """Images per second of each stretch, and the losses."""
        rates, losses = [], []
        while len(losses) < steps:
            start = time.perf_counter()
            losses += [self.step() for _ in range(STRETCH)]
            rates.append(STRETCH * self.arguments.batch / (time.perf_counter() - start))
        return rates, [float(loss) for loss in losses]


def median(values):
    return sorted(values)[len(values) // 2]


def screen(arguments):
    """The fastest settings inside this process' environment."""
    found = []
    for channels_last, adam, compiled in itertools.product((False, True), ("foreach", "fused"), (False, True)):
        settings = {"channels_last": channels_last, "adam": adam, "compile": compiled}
        if compiled and not arguments.compile:
            continue
        try:
            run = Run(arguments, settings)
            run.measure(2 * STRETCH)
            found.append((median(run.measure(8 * STRETCH)[0]), settings))
        except Exception as error:  # torch.compile fails in many ways where no compiler suits it
            print(f"{settings}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
            torch._dynamo.reset()
    found.sort(key=lambda entry: -entry[0])
    return {"best": found[0][1], "tried": [{"images_per_s": rate, **settings} for rate, settings in found]}


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", choices=MODELS, default="cnn")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--meeting", help="a file that does not exist yet, where the parts find each other")
    parser.add_argument("--settings", default='{"channels_last": false, "adam": "foreach", "compile": false}')
    parser.add_argument("--screen", action="store_true")
    parser.add_argument("--compile", action="store_true", help="let --screen try torch.compile")
    return parser.parse_args()


def main():
    arguments = parse()
    if hasattr(os, "sched_setaffinity") and arguments.parts > 1:
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[arguments.part % len(cores)]})
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    if arguments.parts > 1:
        torch.distributed.init_process_group("gloo", init_method=f"file://{arguments.meeting}",
                                             rank=arguments.part, world_size=arguments.parts)
    if arguments.screen:
        result = screen(arguments)
    else:
        run = Run(arguments, json.loads(arguments.settings))
        rates, losses = run.measure(arguments.steps)
        seen = losses[STRETCH - 1::STRETCH][-20:]  # the steps that the other side's records show
        result = {"rates": rates[2:], "loss": sum(seen) / len(seen)}
    result["torch"] = torch.__version__
    if arguments.part == 0:
        print(json.dumps(result), flush=True)
    if arguments.parts > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
