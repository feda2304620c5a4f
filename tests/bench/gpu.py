#!/usr/bin/env python3
"""Benchmarks of training on one GPU: GPT-2 of three sizes, and memory-bound kernels, beside PyTorch at its best settings
where TRIREME_PEER_PYTHON names a Python that has it. Prints one table and keeps it in the build folder. Takes at most
about five minutes on a Hopper GPU; says `skipped: no GPU` where there is none. --device cpu --tiny checks the script.

MFU is tokens/s x FLOP per token / peak. FLOP per token: 6 x (weights of products) + 12 x layers x T x width (attention,
whole square), as language_model counts it. Peak: dense bf16 (or TF32 for f32) of the GPU's data sheet."""
import argparse
import glob
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CASES = ["gpt2-124M B=4 T=1024", "gpt2-124M B=64 T=1024", "gpt2-350M B=64 T=1024", "gpt2-1558M B=16 T=1024"]
TINY = ["tiny B=2 T=16"]
# FLOP/s, dense, of NVIDIA's data sheets.
PEAKS = {("H100", "bf16"): 989e12, ("H200", "bf16"): 989e12, ("A100", "bf16"): 312e12,
         ("H100", "f32"): 494.5e12, ("H200", "f32"): 494.5e12, ("A100", "f32"): 156e12}


class Skipped(Exception):
    """Cannot be run here; the text says why."""


def has_gpu():
    if glob.glob("/dev/nvidia[0-9]*"):
        return True
    try:
        return subprocess.run(["nvidia-smi", "-L"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def gpu_name():
    try:
        out = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True,
                             check=True).stdout
        return out.splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


def peak_of(name, dtype):
    return next((peak for (model, kind), peak in PEAKS.items() if model in name and kind == dtype), 0)


def figures(command, limit):
    """The JSON lines a program prints, by name."""
    try:
        done = subprocess.run([str(word) for word in command], cwd=HERE, capture_output=True, text=True, check=False,
                              timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise Skipped(f"not done after {limit:.0f} s") from error
    if done.returncode == 77:
        raise Skipped(done.stdout.strip().removeprefix("skipped: "))
    if done.returncode != 0:
        causes = [line for line in done.stderr.splitlines() if "rror" in line] or [done.stderr[-300:]]
        raise Skipped(f"status {done.returncode}: {causes[-1][:160]}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for line in done.stderr.splitlines():
        if "no graph" in line:
            print(line, file=sys.stderr)
    return {line["name"]: line for line in lines if "name" in line}


def rate(value):
    return f"{value / 1e3:.1f}k" if value >= 1e4 else f"{value:.0f}"


def row_of(case, ours, peer, peak):
    """One line of the table; `peer` is figures or the text that says why there are none."""
    tokens = ours[case + " tokens"]
    cells = [case, f"{rate(tokens['median'])} ({rate(tokens['min'])}-{rate(tokens['max'])})"]
    if isinstance(peer, str):
        cells += [f"skipped: {peer}", "-"]
    else:
        theirs = peer[case + " tokens"]["median"]
        cells += [rate(theirs), f"{tokens['median'] / theirs:.2f}"]
    flops = tokens["median"] * ours[case + " flops"]["median"]
    cells.append(f"{100 * flops / peak:.1f} %" if peak else f"{flops / 1e12:.3g} TFLOP/s")
    step, kernels = ours[case + " step"]["median"], ours.get(case + " kernels")
    cells.append(f"{100 * (step - kernels['median']) / step:.1f} %" if kernels else "-")
    return cells


def kernel_rows(found):
    copied = found["kernel copy"]["median"]
    return [[name.removeprefix("kernel "), f"{one['median']:.0f} GB/s", f"{100 * one['median'] / copied:.0f} %"]
            for name, one in found.items() if name.startswith("kernel ")]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


class Bench:
    def __init__(self, arguments):
        self.arguments = arguments
        self.program = pathlib.Path(arguments.build).resolve() / "tests" / "bench" / "gpu_bench"
        self.python = os.environ.get("TRIREME_PEER_PYTHON", "python3")
        self.end = time.monotonic() + arguments.minutes * 60

    def left(self):
        return max(1.0, min(120.0, self.end - time.monotonic()))

    def ours(self, case):
        return figures([self.program, self.arguments.device, self.arguments.dtype, case], self.left())

    def peer(self, case):
        try:
            return figures([self.python, HERE / "gpu_peer.py", self.arguments.device, self.arguments.dtype, case],
                           self.left())
        except Skipped as reason:
            return str(reason)

    def training(self, cases, peak):
        rows = []
        for case in cases:
            try:
                rows.append(row_of(case, self.ours(case), self.peer(case), peak))
            except Skipped as reason:
                rows.append([case, f"FAILED: {reason}", "-", "-", "-", "-"])
        rows.append(["ResNet-50", "skipped: no ResNet-50 yet", "-", "-", "-", "-"])
        return rows

    def run(self):
        name = gpu_name() if self.arguments.device != "cpu" else "CPU"
        cases = TINY if self.arguments.tiny else CASES
        peak = peak_of(name, self.arguments.dtype)
        rows = self.training(cases, peak)
        try:
            kernels = kernel_rows(self.ours("kernels tiny" if self.arguments.tiny else "kernels"))
        except Skipped as reason:
            kernels = [[f"FAILED: {reason}", "-", "-"]]
        head = ["case", "tokens/s (min-max)", "PyTorch", "ratio", "MFU", "outside kernels"]
        text = (f"{name or 'unknown GPU'}, {self.arguments.dtype}; MFU of {peak / 1e12:.0f} TFLOP/s\n\n"
                f"{table(head, rows)}\n\n{table(['kernel', 'bandwidth', 'of a copy'], kernels)}\n")
        return text, not any("FAILED" in cell for row in rows + kernels for cell in row)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(ROOT / "build" / "release"))
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", default="bf16", choices=["bf16", "f32"])
    parser.add_argument("--tiny", action="store_true", help="a model and kernels of no size, to check this script")
    parser.add_argument("--minutes", type=float, default=5, help="what is not done by then is left out")
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not has_gpu():
        print("skipped: no GPU")
        return 0
    text, whole = Bench(arguments).run()
    print(text)
    out = pathlib.Path(os.environ.get("OUT", pathlib.Path(arguments.build) / "bench"))
    out.mkdir(parents=True, exist_ok=True)
    (out / "gpu_bench.md").write_text(text)
    print(f"written to {out / 'gpu_bench.md'}")
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
