"""Training runs for the benchmarks: ours, the peer's, and what a trace of ours says."""
import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEER_PYTHON = os.environ.get("TRIREME_PEER_PYTHON", "python3")


def median(values):
    return sorted(values)[len(values) // 2]


def environment(**changes):
    """Ours without the variables of this script, which the programs would take for options; OpenMPI lets root in."""
    out = {k: v for k, v in os.environ.items() if not k.startswith(("TRIREME_", "OMP_"))}
    out.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", **changes)
    return out


def call(command, timeout=600, env=None):
    """Standard output of a command; its last words where it fails."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=env or environment(), timeout=timeout,
                          capture_output=True, text=True, check=False)
    if done.returncode == 77:
        raise Skipped(done.stdout.strip().removeprefix("skipped: "))
    if done.returncode != 0:
        causes = [line for line in done.stderr.splitlines() if "error: " in line] or [done.stderr[-2000:]]
        raise RuntimeError(f"status {done.returncode}, {causes[0]}\n{' '.join(map(str, command))}")
    return done.stdout


def wait_for(condition, job):
    """Until the condition holds; an error where the job ends before."""
    while not condition():
        if job.poll() is not None:
            raise RuntimeError(f"the job ended with {job.returncode} before it came so far")
        time.sleep(0.002)


def ranks_of(mpirun):
    """Process ids of mpirun's children."""
    return [int(pid) for pid in pathlib.Path(f"/proc/{mpirun}/task/{mpirun}/children").read_text().split()]


class Skipped(Exception):
    """This machine cannot run that; the text says why."""


class Example:
    """examples/image_classification, started in the ways the benchmarks need."""

    def __init__(self, build, data, scratch):
        self.program = build / "examples" / "image_classification"
        self.data = data
        self.scratch = scratch

    def train(self, ranks, options, starter=None):
        """Rates (images/s) of each stretch of 10 steps but the first two, and the mean loss of the last ones."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.scratch)) / "run"
        starter = starter if starter is not None else (["mpirun", "-n", ranks, "--bind-to", "none"] if ranks > 1 else [])
        command = [*starter, self.program, "--data", self.data, "--run-dir", folder, "--validation", 0,
                   "--log-every", 10, "--checkpoint-every", "off", *options]
        try:
            call(command)
            return self.read(folder)
        finally:
            shutil.rmtree(folder.parent)

    def seconds_to_resume(self, ranks):
        """From killing one rank with SIGKILL to the record of the first new step of the same command started again."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.scratch)) / "run"
        command = ["mpirun", "-n", str(ranks), "--oversubscribe", "--bind-to", "none", str(self.program), "--data",
                   str(self.data), "--run-dir", str(folder), "--model", "seed-cnn", "--threads", "1", "--validation",
                   "0", "--log-every", "1", "--checkpoint-every", "20", "--max-steps", "100000"]
        start = lambda: subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
        metrics = folder / "metrics.jsonl"
        try:
            job = start()
            wait_for(lambda: metrics.exists() and metrics.read_bytes().count(b'"kind":"step"') > 50, job)
            victim = ranks_of(job.pid)[-1]
            killed = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            job.wait()
            job = start()
            wait_for(lambda: b'"kind":"step"' in metrics.read_bytes().partition(b'"event":"resume"')[2], job)
            seconds = time.monotonic() - killed
            os.kill(ranks_of(job.pid)[0], signal.SIGUSR1)
            job.wait()
            return seconds
        finally:
            shutil.rmtree(folder.parent)

    @staticmethod
    def read(folder):
        with open(folder / "metrics.jsonl", encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        steps = [record for record in records if "samples_per_second" in record]
        losses = [record["loss"] for record in steps][-20:]
        return {"rates": [record["samples_per_second"] for record in steps][2:], "loss": sum(losses) / len(losses)}


class Peer:
    """PyTorch, in a process (or two) of its own."""

    def __init__(self, data, scratch):
        self.data, self.scratch = data, scratch
        probe = subprocess.run([PEER_PYTHON, "-c", "import torch, h5py, numpy; print(torch.__version__)"],
                               capture_output=True, text=True, check=False)
        self.version = probe.stdout.strip()
        # Trying the settings takes minutes: what was found is kept until the versions or the machine change.
        self.kept = scratch / f"peer_settings_{self.version}.json"
        self.chosen = json.loads(self.kept.read_text(encoding="utf-8")) if self.kept.exists() else {}
        self.missing = "" if probe.returncode == 0 else f"no torch ({PEER_PYTHON}: {probe.stderr.strip().splitlines()[-1]})"

    def run(self, model, parts, threads, extra, env):
        """The JSON line of part 0."""
        meeting = tempfile.mktemp(dir=self.scratch)
        base = [PEER_PYTHON, HERE / "pytorch_peer.py", "--data", self.data, "--model", model, "--threads", threads,
                "--parts", parts, "--meeting", meeting, *extra]
        started = [subprocess.Popen([str(word) for word in [*base, "--part", part]], cwd=ROOT, env=environment(**env),
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for part in range(parts)]
        results = [process.communicate(timeout=900) for process in started]
        for process, (_, errors) in zip(started, results):
            if process.returncode != 0:
                raise RuntimeError(f"the peer ended with {process.returncode}:\n{errors[-2000:]}")
        if results[0][1].strip():
            print(results[0][1].strip()[-600:], file=sys.stderr)
        return json.loads(results[0][0].strip().splitlines()[-1])

    def settings(self, model, parts, threads):
        """The fastest of PyTorch's settings here, found once for each kind of run."""
        key = f"{model}, {parts} x {threads}"
        if key not in self.chosen:
            best = None
            for wait in (None, "PASSIVE", "ACTIVE") if threads > 1 else (None, "PASSIVE") if parts > 1 else (None,):
                env = {"OMP_WAIT_POLICY": wait} if wait else {}
                extra = ["--screen"] + (["--compile"] if threads > 1 and wait is None else [])
                found = self.run(model, parts, threads, extra, env)
                top = found["tried"][0]
                for tried in found["tried"]:
                    print(f"  peer {model} {parts}x{threads} wait={wait} {tried}", file=sys.stderr)
                if best is None or top["images_per_s"] > best[0]:
                    best = (top["images_per_s"], found["best"], env)
            self.chosen[key] = best
            self.kept.write_text(json.dumps(self.chosen), encoding="utf-8")
        return self.chosen[key]

    def train(self, model, parts, threads, asked):
        _, settings, env = self.settings(model, parts, threads)
        return self.run(model, parts, threads, [*asked, "--settings", json.dumps(settings)], env)


def union(intervals):
    """Total length of overlapping intervals."""
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def own_times(spans):
    """(span, duration less that of the spans inside it) of one thread's spans."""
    open_spans, out = [], []
    for span in sorted(spans, key=lambda s: (s["ts"], -s["dur"])):
        while open_spans and span["ts"] >= open_spans[-1][0]["ts"] + open_spans[-1][0]["dur"]:
            out.append(tuple(open_spans.pop()))
        if open_spans:
            open_spans[-1][1] -= span["dur"]
        open_spans.append([span, span["dur"]])
    return out + [tuple(entry) for entry in open_spans]


def read_trace(path):
    """Shares of the steps of a --profile trace on the computing thread, and milliseconds a step by span name."""
    with open(path, encoding="utf-8") as file:
        spans = [event for event in json.load(file) if event["ph"] == "X"]
    steps = [event for event in spans if event["name"] == "step"]
    whole = sum(event["dur"] for event in steps)
    inside = [event for event in spans if event["tid"] == steps[0]["tid"]
              and any(s["ts"] <= event["ts"] and event["ts"] + event["dur"] <= s["ts"] + s["dur"] for s in steps)]
    busy = [event for event in inside if event["cat"] in ("kernel", "library")]
    covered = union((event["ts"], event["ts"] + event["dur"]) for event in busy)
    names, kinds = collections.Counter(), collections.Counter()
    for event, own in own_times(inside):
        names[f"{event['cat']} {event['name']}"] += own
        kinds[event["cat"]] += own / whole
    return {"step_ms": whole / len(steps) / 1e3, "outside": 1 - covered / whole, "kinds": kinds,
            "names": [(name, micro / len(steps) / 1e3) for name, micro in names.most_common()]}
