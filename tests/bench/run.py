#!/usr/bin/env python3
"""run.py [--build build/release] [--data FOLDER] [--rounds N] [SECTION...]: runs the benchmarks and prints one table.

Sections: machine language gpt models training all_reduce loader images tokenizer profile overhead hidden checkpoint (default: all of them). Only a whole run is written
to tests/bench/results and into docs/performance.md (or any with --publish): figures compare only within one run.
TRIREME_PEER_PYTHON names a Python that has torch, torchvision, h5py and tokenizers; without one the peer's columns say so.
"""
import argparse
import json
import math
import os
import pathlib
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import report  # noqa: E402
from report import short, spread  # noqa: E402
from training import HERE, PEER_PYTHON, Example, Peer, ROOT, Skipped, call, environment, median, read_trace  # noqa: E402

# Multiplications and additions of one image, forward and backward (3 x forward, less the first layer's data gradient).
MEGAFLOP = {"cnn": 26.6, "seed-cnn": 16.4}
KINDS = ((1, 2), (2, 1), (1, 1))  # (ranks, threads of each)


class Bench:
    """Everything the sections share."""

    def __init__(self, arguments):
        self.build = (ROOT / arguments.build).resolve()
        self.rounds = arguments.rounds
        self.scratch = ROOT / "build" / "bench"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.steps = arguments.steps
        self.data = arguments.data or self.find_data()
        self.example = Example(self.build, self.data, self.scratch)
        self.peer = Peer(self.data, self.scratch)
        self.table = report.Table()
        self.limits = {}

    def find_data(self):
        """Fashion-MNIST where it is there, else drawn shapes of the same size."""
        for folder in (ROOT / "data" / "fashion-mnist", ROOT / "data" / "shapes"):
            if (folder / "index.json").exists():
                return folder
        folder = self.scratch / "shapes"
        if not folder.exists():
            call([self.build / "launcher" / "trireme", "data", "generate", "shapes", "--out", folder])
        return folder

    def program(self, name, *arguments, starter=(), env=None):
        """The figures a benchmark program printed, by name."""
        text = call([*starter, self.build / "tests" / "bench" / name, *arguments], env=env)
        results = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return {result["name"]: result for result in results}

    def share(self, figure, limit):
        """A figure as a part of what the machine gave in this run."""
        if limit not in self.limits:
            return ""
        return f"{100 * figure / self.limits[limit]:.0f} % of {limit}"


def machine(bench):
    for name, result in bench.program("machine_bench").items():
        bench.limits[name] = result["median"]
        bench.table.add(name, f"{spread(result)} {result['unit']}")


def language(bench):
    """Kernels of language models against PyTorch's, each side at the better of two ways of waiting."""
    threads = str(os.cpu_count())
    ours = bench.program("language_bench", threads)
    theirs = {}
    if not bench.peer.missing:
        for wait in ("PASSIVE", "ACTIVE"):
            text = call([PEER_PYTHON, HERE / "language_peer.py", threads], env=environment(OMP_WAIT_POLICY=wait))
            for result in map(json.loads, text.splitlines()):
                best = theirs.get(result["name"], result)
                theirs[result["name"]] = min(best, result, key=lambda r: r["median"])
    triad = f"triad {threads} thread(s)"
    moved = {"adamw": 28 * (32 << 20), "gelu forward": 8 * 4096 ** 2, "gelu": 20 * 4096 ** 2}
    for name, result in ours.items():
        cells = {"peer": f"skipped: {bench.peer.missing}"}
        if name in theirs:
            cells = {"peer": f"PyTorch {spread(theirs[name], 1e3)}",
                     "ratio": f"{theirs[name]['median'] / result['median']:.2f}",
                     "wanted": "1.3" if name.startswith("attention") else ""}
        if name in moved:
            cells["limit"] = bench.share(moved[name] / result["median"] / 1e9, triad)
        bench.table.add(f"{name}: ms, {threads} threads", spread(result, 1e3), **cells)


GPT_CASES = ("gpt2-124M B=4 T=64", "gpt2-124M B=1 T=512", "gpt-10M B=8 T=128", "gpt2-124M generation",
             "gpt-10M generation")


def gpt(bench):
    """Whole training steps and generation, a process for each case (its peak memory is its own), peers in turns."""
    threads = str(os.cpu_count())
    for case in GPT_CASES:
        ours = bench.program("gpt_bench", threads, case)
        theirs = {}
        if not bench.peer.missing:
            for wait in ("PASSIVE", "ACTIVE"):
                text = call([PEER_PYTHON, HERE / "gpt_peer.py", threads, case], env=environment(OMP_WAIT_POLICY=wait))
                for result in map(json.loads, text.splitlines()):
                    better = min if result["unit"] == "s" else max
                    theirs[result["name"]] = better(theirs.get(result["name"], result), result, key=lambda r: r["median"])
        for name, result in ours.items():
            cells = {"peer": f"skipped: {bench.peer.missing}" if bench.peer.missing else ""}
            if name in theirs:
                ratio = theirs[name]["median"] / result["median"]
                generation = result["unit"] == "tokens/s"
                cells = {"peer": f"PyTorch {spread(theirs[name])}", "ratio": f"{1 / ratio if generation else ratio:.2f}",
                         "wanted": "1.5" if generation else "1.3"}
            if name.endswith("GFLOP/s"):
                cells = {"limit": bench.share(result["median"], f"sgemm {threads} thread(s)"), "wanted": "75 % of sgemm"}
            if name.endswith("least"):
                cells = {"wanted": "at most 1.2"}
            bench.table.add(f"{name}, {threads} threads", spread(result), **cells)


MODEL_CASES = ("resnet-18 B=32", "resnet-18 B=128", "vgg-11 B=32", "vgg-11 B=128", "lstm B=32 T=64", "lstm B=128 T=64",
               "attention B=16 T=128", "attention B=4 T=512")


def models(bench):
    """Whole training steps of networks of every kind, a process for each case, peers in turns."""
    threads, ratios = str(os.cpu_count()), []
    for case in MODEL_CASES:
        ours = bench.program("model_bench", threads, case)[case]
        cells = {"peer": f"skipped: {bench.peer.missing}"}
        if not bench.peer.missing:
            tried = []
            for wait in ("PASSIVE", "ACTIVE"):
                text = call([PEER_PYTHON, HERE / "model_peer.py", threads, case], env=environment(OMP_WAIT_POLICY=wait),
                            timeout=1800)
                tried.append((json.loads(text.splitlines()[-1]), wait))
            best, wait = min(tried, key=lambda entry: entry[0]["median"])
            ratios.append(best["median"] / ours["median"])
            settings = ", ".join([f"Adam {best['settings']['adam']}"]
                                 + [word for word in ("channels_last", "compile") if best["settings"][word]] + [wait.lower()])
            cells = {"peer": f"PyTorch {spread(best, 1e3)} ({settings})", "ratio": f"{ratios[-1]:.2f}", "wanted": "1"}
        bench.table.add(f"{case} step: ms, {threads} threads", spread(ours, 1e3), **cells)
    if ratios:
        bench.table.add("geometric mean of these", "", "", f"{math.prod(ratios) ** (1 / len(ratios)):.2f}", "1.3")


def training(bench):
    for model in ("cnn", "seed-cnn"):
        for ranks, threads in KINDS:
            ours, theirs = [], []
            # Losses differ by a tenth from seed to seed: a seed a round, and the median of the rounds.
            for seed in range(1, bench.rounds + 1):
                ours.append(bench.example.train(ranks, ["--model", model, "--threads", threads, "--schedule", "constant", "--warmup-epochs", "0", "--seed", seed, "--max-steps", bench.steps]))
                if not bench.peer.missing:
                    theirs.append(bench.peer.train(model, ranks, threads, ["--seed", seed, "--steps", bench.steps]))
            row_of_training(bench, (model, ranks, threads), ours, theirs)
    for kind, (_, settings, env) in bench.peer.chosen.items():
        chosen = ", ".join([f"Adam {settings['adam']}"] + ["channels_last"] * settings["channels_last"]
                           + ["torch.compile"] * settings["compile"] + [f"{k}={v}" for k, v in env.items()])
        bench.table.note(f"PyTorch's best settings for {kind}: {chosen}")


def row_of_training(bench, kind, ours, theirs):
    model, ranks, threads = kind
    rates = report.of_values([median(run["rates"]) for run in ours])
    loss = median([run["loss"] for run in ours])
    cells = {"peer": f"skipped: {bench.peer.missing}"}
    if theirs:
        peer = report.of_values([median(run["rates"]) for run in theirs])
        peer_loss = median([run["loss"] for run in theirs])
        ratio = rates["median"] / peer["median"]
        similar = abs(loss - peer_loss) <= 0.15 * peer_loss
        cells = {"peer": f"PyTorch {spread(peer)}, loss {peer_loss:.3f}", "wanted": "1.3 (goal 2)",
                 "ratio": f"{ratio:.2f}" if similar else f"void: losses {loss:.3f} and {peer_loss:.3f}"}
    reached = rates["median"] * MEGAFLOP[model] / 1e3
    cells["limit"] = bench.share(reached, f"sgemm {ranks * threads} thread(s)")
    bench.table.add(f"{model}: images/s, {ranks} rank(s) x {threads} thread(s), batch 64",
                    f"{spread(rates)}, loss {loss:.3f}", **cells)


def all_reduce(bench):
    found = bench.program("all_reduce_bench", starter=["mpirun", "-n", 2, "--bind-to", "core"],
                          env=environment(OMP_NUM_THREADS="1"))
    for name, window in found.items():
        if " window " not in name:
            continue
        size = name.split(" window ")[1]
        ordinary, mpi = (found[name.replace("window", way)] for way in ("ordinary", "MPI"))
        count, unit = size.split()[:2]
        gigabytes = int(count) * (1 << 20 if unit == "MiB" else 1 << 10) / 1e9
        bench.table.add(f"all-reduce of 2 ranks, {size}", f"window {spread(window, 1e6)} us, "
                        f"ordinary {spread(ordinary, 1e6)} us", f"MPI_Allreduce {spread(mpi, 1e6)} us",
                        f"window {mpi['median'] / window['median']:.2f}, "
                        f"ordinary {mpi['median'] / ordinary['median']:.2f}",
                        "5 (window)" if size == "16 MiB" else "1",
                        bench.share(gigabytes / window["median"], "triad 2 thread(s)"))


def loader(bench):
    found = bench.program("loader_bench", bench.scratch, env=environment(OMP_NUM_THREADS="1"))
    for name, ours in found.items():
        if not name.startswith("loader "):
            continue
        kind = name.removeprefix("loader ")
        floor = found[f"mapping {kind}"]
        height, width, channels = map(int, kind.split()[1].split("x"))
        moved = height * width * channels * (2 if "copy" in kind else 5)
        bench.table.add(f"loader, 1 thread, {kind}: rows/s", spread(ours), f"mmap + loop {spread(floor)}",
                        f"{ours['median'] / floor['median']:.2f}", "0.9",
                        bench.share(ours["median"] * moved / 1e9, "triad 1 thread(s)"))


def images(bench):
    """JPEG files decoded, cut, mirrored and normalised on one core."""
    folder = bench.scratch / "images"
    ours = bench.program("image_bench", folder, env=environment(OMP_NUM_THREADS="1"))["decode and change"]
    cells = {"peer": "skipped: no torchvision"}
    try:
        call([PEER_PYTHON, "-c", "import torchvision"])
    except RuntimeError:
        pass
    else:
        peer = json.loads(call([PEER_PYTHON, HERE / "image_peer.py", folder]).splitlines()[-1])
        cells = {"peer": f"torchvision, PIL {spread(peer)}", "ratio": f"{ours['median'] / peer['median']:.2f}", "wanted": "2"}
    bench.table.add("JPEG 500x375 to crops of 224x224: images/s, 1 core", spread(ours), **cells)


def tokenizer(bench):
    """On the text of this repository, which everyone has."""
    text = bench.scratch / "text"
    pages = sorted(page for folder in ("core", "comm", "datasets", "launcher", "tests", "docs") for page in (ROOT / folder).rglob("*")
                   if page.suffix in (".md", ".hpp", ".cpp"))
    # Where a text spells a special token, the peer takes it for one; pages about tokenizers do.
    text.write_text("".join(page.read_text() for page in pages).replace("<|", "< |"))
    file = bench.scratch / "tokenizer.json"
    call([bench.build / "launcher" / "trireme", "data", "train-tokenizer", text, "--vocabulary", 16384, "--out", file])
    found = bench.program("tokenizer_bench", file, text)
    peer, missing = tokenizers_peer(file, text)
    for name, what in (("first", "words not yet met"), ("again", "words known")):
        ours = found[name]
        cells = {"peer": f"skipped: {missing}"}
        if peer:
            same = found["tokens"]["median"] == peer["tokens"]["median"]
            cells = {"peer": f"tokenizers {spread(peer[name])}", "wanted": "1",
                     "ratio": f"{ours['median'] / peer[name]['median']:.2f}" if same else "void: other tokens"}
        bench.table.add(f"tokenizer, 1 thread, {what}: MB/s", spread(ours), **cells)


def tokenizers_peer(file, text):
    """The library's figures, or why there are none."""
    python = os.environ.get("TRIREME_PEER_PYTHON")
    if not python:
        return None, "TRIREME_PEER_PYTHON names no Python"
    try:
        call([python, "-c", "import tokenizers"])
    except Exception:
        return None, "no tokenizers"
    out = call([python, pathlib.Path(__file__).parent / "tokenizers_peer.py", file, text])
    results = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return {result["name"]: result for result in results}, ""


def profile(bench):
    for model in ("cnn", "seed-cnn"):
        for ranks, threads in ((1, 2), (2, 1)):
            trace = pathlib.Path(tempfile.mkdtemp(dir=bench.scratch)) / "trace.json"
            bench.example.train(ranks, ["--model", model, "--threads", threads, "--schedule", "constant", "--warmup-epochs", "0", "--max-steps", 60, "--profile", trace])
            found = read_trace(trace)
            kinds = found["kinds"]
            bench.table.add(f"{model}: outside kernels and libraries, {ranks} x {threads}",
                            f"{100 * found['outside']:.1f} % of {found['step_ms']:.2f} ms: "
                            f"own code {100 * (kinds['phase'] + kinds['op']):.1f}, communication and waiting for the "
                            f"other rank {100 * kinds['communication']:.1f}, data {100 * kinds['data']:.1f}",
                            "", "", "5 %")
            bench.table.note(f"{model} {ranks} x {threads}, own ms a step: "
                             + ", ".join(f"{name} {ms:.2f}" for name, ms in found["names"][:14]))


def step_times(bench, ranks, options, starter=None):
    """Seconds of a step with and without communication, runs in turns."""
    batch = int(options[options.index("--batch") + 1])
    times = {"on": [], "off": []}
    for _ in range(bench.rounds):
        for state, flag in (("on", "--communicate"), ("off", "--no-communicate")):
            rates = bench.example.train(ranks, [*options, flag], starter)["rates"]
            times[state].append(batch / median(rates))
    return report.of_values(times["on"]), report.of_values(times["off"])


def overhead(bench):
    for model in ("cnn", "seed-cnn"):
        on, off = step_times(bench, 2, ["--model", model, "--threads", 1, "--schedule", "constant", "--warmup-epochs", "0", "--max-steps", bench.steps, "--batch", 64])
        bench.table.add(f"{model}: ms a step, 2 ranks on one host, batch 64", spread(on, 1e3),
                        f"without communication {spread(off, 1e3)}", f"{on['median'] / off['median']:.3f}",
                        "at most 1.05")


def hidden(bench):
    """Across two hosts with a link of 1 Gbit/s; a batch whose backward pass is longer than the communication."""
    hosts = [ROOT / "cluster" / "virtual" / "two_hosts.sh", "--rate", "1gbit", "--"]
    model, batch, gradients = "cnn", 256, 422154 * 4
    alone = bench.program("all_reduce_bench", gradients, 4 << 20, starter=hosts,
                          env=environment(OMP_NUM_THREADS="1"))["all_reduce in buckets"]
    on, off = step_times(bench, 2, ["--model", model, "--threads", 1, "--binding", "none", "--schedule", "constant", "--warmup-epochs", "0", "--max-steps", 120,
                                    "--batch", batch], starter=hosts)
    exposed = on["median"] - off["median"]
    bench.table.add(f"{model}: communication hidden, 2 hosts at 1 Gbit/s, batch {batch}",
                    f"{100 * (1 - exposed / alone['median']):.0f} %: step {spread(on, 1e3)} ms",
                    f"without {spread(off, 1e3)} ms, communication alone {spread(alone, 1e3)} ms", "", "85 %")


def checkpoint(bench):
    mebibytes = 384
    found = bench.program("checkpoint_bench", bench.scratch, mebibytes, env=environment(OMP_NUM_THREADS="1"))
    for name, peer, wanted in (("save", "raw write + fsync", "0.95"), ("load", "raw read", "0.95"),
                               ("load cold", "raw read", "0.95"), ("stall", "memcpy", "at most 1.2")):
        ours, floor = found[name], found[f"{name} floor"]
        ratio = ours["median"] / floor["median"] if name == "stall" else floor["median"] / ours["median"]
        bench.table.add(f"checkpoint of {mebibytes} MiB: {name}", f"{spread(ours, 1e3)} ms",
                        f"{peer} {spread(floor, 1e3)} ms", f"{ratio:.2f}", wanted)
    bench.table.add("checkpoint: bytes of files / state", f"{found['file bytes / state bytes']['median']:.4f}", "", "",
                    "about 1")
    times = report.of_values([bench.example.seconds_to_resume(4) for _ in range(bench.rounds)])
    bench.table.add("kill of a rank to first new step, 4 ranks", f"{spread(times)} s", "", "", "at most 5 s")


SECTIONS = (machine, language, gpt, models, training, all_reduce, loader, images, tokenizer, profile, overhead, hidden, checkpoint)


def run_section(bench, section):
    try:
        section(bench)
        return True
    except Skipped as reason:
        bench.table.note(f"{section.__name__}: skipped: {reason}")
        return True
    except Exception as error:  # one broken section must not cost the others' figures
        traceback.print_exc()
        bench.table.note(f"{section.__name__}: failed: {str(error).splitlines()[0]}")
        return False


def main():
    names = [section.__name__ for section in SECTIONS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*names, []], metavar="SECTION", help=", ".join(names))
    parser.add_argument("--build", default="build/release", help="folder of the built programs")
    parser.add_argument("--data", type=pathlib.Path, help="data set folder")
    parser.add_argument("--rounds", type=int, default=3, help="training runs of each kind, in turns with the peer's")
    parser.add_argument("--steps", type=int, default=400, help="steps of each training run")
    parser.add_argument("--publish", action="store_true", help="write the result though not all sections ran")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    version = call([bench.build / "launcher" / "trireme", "--version"]).splitlines()
    versions = [", ".join(" ".join(line.split()) for line in version if not line.endswith(":")),
                f"data {os.path.relpath(bench.data, ROOT)}; PyTorch {bench.peer.version or bench.peer.missing}"]
    conditions = report.conditions(bench.build, versions)
    chosen = [section for section in SECTIONS if not arguments.sections or section.__name__ in arguments.sections]
    results = [run_section(bench, section) for section in chosen]
    text = f"{conditions}\n{bench.table.text()}"
    print(f"\n{text}")
    if len(chosen) == len(SECTIONS) or arguments.publish:
        print(f"written to {os.path.relpath(report.publish(text), ROOT)} and docs/performance.md")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
