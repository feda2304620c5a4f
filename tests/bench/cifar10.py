#!/usr/bin/env python3
"""cifar10.py FOLDER [--who ours|peer|both]: trains ResNet-18 (the form for small images) on the CIFAR-10 files in FOLDER
(data_batch_*.bin and test_batch.bin, binary version) with this framework and, by the same recipe, with PyTorch; prints
the accuracy of both on the test images. With all 50,000 images the accuracy wanted is 91 %; with fewer, PyTorch's.

The recipe: SGD with Nesterov's momentum 0.9, batches of 128, a rate that rises to 0.1 for a pass and falls along a
cosine, decay 5e-4 of weights (not of biases and norms), images moved by up to 4 pixels and mirrored. Each side draws its
own first weights, order and changes. A run that was ended goes on where it was, given the same --work folder. Hours on
a CPU; TRIREME_PEER_PYTHON names a Python with torch. Lines of progress go to WORK/ours.log and WORK/peer.log.
"""
import argparse
import importlib.util
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BATCH, RATE, DECAY, MOMENTUM, SHIFT = 128, 0.1, 5e-4, 0.9, 4


def ours(arguments):
    """The accuracy this framework reaches, in percent."""
    build = arguments.build.resolve()
    data = arguments.work / "data"
    if not data.exists():
        subprocess.run([build / "launcher" / "trireme", "data", "import", "cifar", arguments.folder, "--out", data],
                       check=True, stdout=sys.stderr)
    command = [build / "examples" / "image_classification", "--data", data, "--model", "resnet-18", "--epochs",
               arguments.epochs, "--batch", BATCH, "--optimizer", "sgd", "--nesterov", "on", "--momentum", MOMENTUM,
               "--learning-rate", RATE, "--weight-decay", DECAY, "--schedule", "cosine", "--warmup-epochs", 1,
               "--augment", f"shift={SHIFT},flip", "--validation", 0, "--seed", arguments.seed, "--threads",
               arguments.threads, "--log-every", 20, "--checkpoint-every", "5m", "--run-dir", arguments.work / "run"]
    own = {name: value for name, value in os.environ.items() if name != "TRIREME_PEER_PYTHON"}
    with (arguments.work / "ours.log").open("a") as log:
        done = subprocess.run([str(word) for word in command], stdout=log, stderr=subprocess.STDOUT, check=False, env=own)
    text = (arguments.work / "ours.log").read_text()
    found = re.findall(r"test accuracy ([0-9.]+) %", text)
    if done.returncode != 0 or not found:
        sys.exit(f"training ended with {done.returncode}: {(text.splitlines() or ['no output'])[-1]}")
    return float(found[-1])


def check_work(arguments):
    """A folder goes on with one recipe on one set of files; another wants another folder."""
    files = {name.name: name.stat().st_size for name in sorted(arguments.folder.glob("*_batch*.bin"))}
    recipe = {"folder": str(arguments.folder.resolve()), "files": files, "epochs": arguments.epochs, "seed": arguments.seed}
    kept = arguments.work / "recipe.json"
    if not kept.exists():
        kept.write_text(json.dumps(recipe))
    elif json.loads(kept.read_text()) != recipe:
        sys.exit(f"{arguments.work} was begun with {kept.read_text()}, not {json.dumps(recipe)}: give another --work, or remove it")


def load(folder):
    """Images (N, 3, 32, 32) u8 and labels of the training files and of the test file."""
    import torch
    parts = []
    for names in (sorted(folder.glob("data_batch_*.bin")), [folder / "test_batch.bin"]):
        rows = torch.cat([torch.frombuffer(bytearray(name.read_bytes()), dtype=torch.uint8) for name in names])
        rows = rows.view(-1, 3073)
        parts.append((rows[:, 1:].reshape(-1, 3, 32, 32).contiguous(), rows[:, 0].long()))
    return parts


class Peer:
    """PyTorch's side, with a checkpoint after every hundredth step."""

    def __init__(self, arguments):
        import torch
        import model_peer
        self.torch, self.work = torch, arguments.work
        torch.set_num_threads(arguments.threads)
        torch.set_flush_denormal(True)
        torch.manual_seed(arguments.seed)
        (self.images, self.labels), self.test = load(arguments.folder)
        self.total = math.ceil(arguments.epochs * len(self.labels) / BATCH)
        self.warmup = len(self.labels) / BATCH
        self.model = model_peer.resnet().to(memory_format=torch.channels_last)
        for module in self.model.modules():
            if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
                torch.nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)
        plain = [p for p in self.model.parameters() if p.dim() == 1]
        decayed = [p for p in self.model.parameters() if p.dim() > 1]
        self.optimizer = torch.optim.SGD([{"params": decayed, "weight_decay": DECAY}, {"params": plain}], lr=RATE,
                                         momentum=MOMENTUM, nesterov=True)
        self.step, self.order = 0, torch.empty(0, dtype=torch.long)

    def rate(self):
        if self.step < self.warmup:
            return RATE * (self.step + 1) / self.warmup
        return RATE * 0.5 * (1 + math.cos(math.pi * (self.step - self.warmup) / (self.total - self.warmup)))

    def batch(self):
        """The next images of an endless stream of shuffled passes, moved and mirrored."""
        torch = self.torch
        if len(self.order) < BATCH:
            self.order = torch.cat([self.order, torch.randperm(len(self.labels))])
        chosen, self.order = self.order[:BATCH], self.order[BATCH:]
        padded = torch.nn.functional.pad(self.images[chosen], (SHIFT,) * 4)
        out = torch.empty_like(self.images[chosen])
        places = torch.randint(0, 2 * SHIFT + 1, (BATCH, 2)).tolist()
        mirrored = torch.rand(BATCH) < 0.5
        for k, (y, x) in enumerate(places):
            window = padded[k, :, y:y + 32, x:x + 32]
            out[k] = window.flip(2) if mirrored[k] else window
        return self.floats(out), self.labels[chosen]

    def floats(self, images):
        return (images.float() / 255 - 0.5).div(0.5).contiguous(memory_format=self.torch.channels_last)

    def save(self):
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(), "step": self.step,
                 "order": self.order, "random": self.torch.get_rng_state()}
        self.torch.save(state, self.work / "peer.pt.new")
        os.replace(self.work / "peer.pt.new", self.work / "peer.pt")

    def resume(self):
        if not (self.work / "peer.pt").exists():
            return
        state = self.torch.load(self.work / "peer.pt")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.order = state["step"], state["order"]
        self.torch.set_rng_state(state["random"])

    def train(self):
        torch, start, first = self.torch, time.monotonic(), self.step
        with (self.work / "peer.log").open("a") as log:
            while self.step < self.total:
                for group in self.optimizer.param_groups:
                    group["lr"] = self.rate()
                images, labels = self.batch()
                self.optimizer.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(self.model(images), labels)
                loss.backward()
                self.optimizer.step()
                self.step += 1
                if self.step % 20 == 0:
                    each = (time.monotonic() - start) / (self.step - first)
                    print(f"step {self.step}/{self.total} loss {loss.item():.4f} {BATCH / each:.1f} images/s", file=log,
                          flush=True)
                if self.step % 100 == 0:
                    self.save()
        self.save()

    def accuracy(self):
        self.model.eval()
        images, labels = self.test
        with self.torch.no_grad():
            right = sum((self.model(self.floats(images[at:at + 500])).argmax(1) == labels[at:at + 500]).sum().item()
                        for at in range(0, len(labels), 500))
        return 100 * right / len(labels)


def peer(arguments):
    if importlib.util.find_spec("torch") is None:
        sys.exit("this Python has no torch: call cifar10.py by one that has, or name it by TRIREME_PEER_PYTHON and --who both")
    one = Peer(arguments)
    one.resume()
    one.train()
    return one.accuracy()


def peer_elsewhere(arguments):
    """The peer's accuracy, from the Python that has torch."""
    command = [os.environ.get("TRIREME_PEER_PYTHON", sys.executable), __file__, arguments.folder, "--who", "peer", "--work",
               arguments.work, "--epochs", arguments.epochs, "--threads", arguments.threads, "--seed", arguments.seed]
    out = subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(out.splitlines()[-1])["peer"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="the unpacked binary version of CIFAR-10, all of it or a part")
    parser.add_argument("--who", choices=("ours", "peer", "both"), default="both")
    parser.add_argument("--build", type=pathlib.Path, default=HERE.parent.parent / "build" / "release")
    parser.add_argument("--work", type=pathlib.Path, default=HERE.parent.parent / "build" / "bench" / "cifar10")
    parser.add_argument("--epochs", type=float, default=30)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    check_work(arguments)
    found = {}
    if arguments.who in ("ours", "both"):
        found["ours"] = ours(arguments)
    if arguments.who == "peer":
        found["peer"] = peer(arguments)
    elif arguments.who == "both":
        found["peer"] = peer_elsewhere(arguments)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
