"""The table of a benchmark run: collecting rows, the conditions, and the files the table goes to."""
import datetime
import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BEGIN, END = "<!-- begin: make bench -->", "<!-- end: make bench -->"


def first_line(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return "not found"
    return ((done.stdout or done.stderr).strip().splitlines() or ["?"])[0]


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = re.findall(r"model name\s*: (.*)", file.read())
    return names[0].strip() if names else platform.machine()


def short(value):
    """Three significant digits or more, without exponents."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def spread(samples, scale=1.0):
    """'median [least to most]' of a measured figure."""
    return (f"{short(samples['median'] * scale)} "
            f"[{short(samples['min'] * scale)} to {short(samples['max'] * scale)}]")


def of_values(values):
    ordered = sorted(values)
    return {"median": ordered[len(ordered) // 2], "min": ordered[0], "max": ordered[-1]}


class Table:
    """Rows of (what, ours, peer, ratio, wanted, share of the machine's limit)."""

    def __init__(self):
        self.rows, self.notes = [], []

    def add(self, what, ours, peer="", ratio="", wanted="", limit=""):
        self.rows.append((what, ours, peer, ratio, wanted, limit))
        print(" | ".join(cell for cell in self.rows[-1] if cell), flush=True)

    def note(self, text):
        self.notes.append(text)
        print(text, flush=True)

    def text(self):
        heads = ("what", "ours: median [least to most]", "peer", "ratio", "wanted", "share of the machine's limit")
        lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines + [""] + [f"- {note}" for note in self.notes]) + "\n"


def conditions(build, versions):
    """What the figures were measured on and with."""
    load = os.getloadavg()
    lines = [
        f"date {datetime.date.today().isoformat()}; {cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}; "
        f"load average at the start {load[0]:.1f}",
        f"{first_line('g++', '--version')}; build {build.relative_to(ROOT)}; {first_line('mpirun', '--version')}; "
        f"commit {first_line('git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD')}",
        *versions,
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n"


def host_kind():
    return re.sub(r"[^a-z0-9]+", "-", f"{cpu_model()} {os.cpu_count()} cores".lower()).strip("-")


def publish(text):
    """Writes the dated result and puts it into docs/performance.md; returns the result's path."""
    path = ROOT / "tests" / "bench" / "results" / f"{datetime.date.today().isoformat()}-{host_kind()}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"# make bench, {datetime.date.today().isoformat()}\n\n{text}", encoding="utf-8")
    page = ROOT / "docs" / "performance.md"
    whole = page.read_text(encoding="utf-8")
    head, rest = whole.split(BEGIN, 1)
    page.write_text(f"{head}{BEGIN}\n{text}{END}{rest.split(END, 1)[1]}", encoding="utf-8")
    return path
