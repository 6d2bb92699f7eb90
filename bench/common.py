# SPDX-License-Identifier: Apache-2.0
"""What the parts of scripts/bench share: running, timing, peers, and the table of results."""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("RN_BIN", ROOT / "build/release/bin")).resolve()
DATA = pathlib.Path(os.environ.get("RN_DATA", ROOT / "../shared/data")).resolve()
ENV = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", OMP_NUM_THREADS="2")


def run(cmd, **kw):
    return subprocess.run([str(c) for c in cmd], check=True, env=ENV, **kw)


def timed(cmd):
    """Wall seconds of a command, or of a bash pipeline where it is one text."""
    start = time.perf_counter()
    run(["bash", "-o", "pipefail", "-c", cmd] if isinstance(cmd, str) else cmd, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def json_lines(cmd):
    return [json.loads(line) for line in run(cmd, capture_output=True, text=True).stdout.splitlines()]


def compiled(args, name, *flags):
    """A program of bench/, built once, with the library where it includes some of it."""
    tool = pathlib.Path(args.tmp) / name
    if not tool.exists():
        run(["cc", "-O2", "-D_GNU_SOURCE", *flags, "-o", tool, ROOT / f"bench/{name}.c", BIN.parent / "librn.a",
             "-lopenblas", "-lzstd", "-ljansson", "-lz", "-lm", "-ldl", "-pthread"])
    return tool


# By hand, for the machine it runs on: what a compiler can do.
FAST = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math"]


def python_with(*packages):
    """A Python that has them, in the project's private environment, made on demand; or None."""
    venv = ROOT / ".venv"
    python = venv / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    if subprocess.run([str(python), "-c", f"import {', '.join(packages)}"], capture_output=True).returncode:
        print(f"installing {' and '.join(packages)} into .venv ...", flush=True)
        if subprocess.run([str(python), "-m", "pip", "install", "-q", *packages]).returncode:
            return None
    return python


class Duck:
    """DuckDB in a process of its own, by a Python that has it (None: without), which answers
    while RN's runs come between."""

    def __init__(self, python):
        self.python, self.name = python, None
        self.p = python and subprocess.Popen([str(python), str(ROOT / "bench/duck.py")], text=True,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self.p:
            version = self.p.stdout.readline().strip()
            if not version:
                sys.exit(f"bench: {python} has no duckdb")
            self.name = f"DuckDB {version}"

    def __bool__(self):
        return bool(self.p)

    def time(self, sql, before=None, threads=2):
        """Seconds of the statement (None without DuckDB), after `before`, which does not count."""
        if not self.p:
            return None
        self.p.stdin.write(json.dumps({"sql": sql, "before": before, "threads": threads}) + "\n")
        self.p.stdin.flush()
        answer = json.loads(self.p.stdout.readline() or '{"error": "DuckDB ended"}')
        if "error" in answer:
            sys.exit(f"bench: DuckDB: {answer['error']}")
        return answer["seconds"]

    def close(self):
        if self.p:
            self.p.stdin.close()
            self.p.wait()


def threads(n):
    return f"{n} thread{'s' * (n > 1)}"


def medians(numbers):
    return {name: statistics.median(x) for name, x in numbers.items()}


def interleaved(runs, works):
    """{name: median}: the works ({name: function that gives a number}) in turn, `runs` times."""
    got = {name: [] for name in works}
    for _ in range(runs):
        for name, work in works.items():
            got[name].append(work())
    return medians({name: x for name, x in got.items() if None not in x})


class Results:
    """Rows of the table: what was done, by whom, the number, and what it should be."""

    def __init__(self):
        self.rows, self.shown = [], 0

    def add(self, work, who, value, unit, target=None):
        if value is None:
            return
        row = {"work": work, "who": who, "value": value, "unit": unit}
        if target is not None:
            row.update(target=target, met=value >= target)
        self.rows.append(row)

    def ratio(self, work, who, over, under, target=None):
        """Two numbers of one unit, either of which may be missing."""
        if over and under:
            self.add(work, who, over / under, "x", target)

    def show(self):
        """Print the rows that are new."""
        rows = self.rows[self.shown:]
        self.shown = len(self.rows)
        width = max((len(r["work"]) for r in rows), default=0)
        for r in rows:
            target = "" if "target" not in r else \
                f"   target {r['target']:g}: {'met' if r['met'] else 'MISSED'}"
            print(f"{r['work']:<{width}}  {r['who']:<34} {r['value']:>10.3f} {r['unit']}{target}", flush=True)


def figure(x):
    return f"{x:,.0f}" if x >= 1000 else f"{x:.3g}"


def markdown(rows, date, commit, machine, runs):
    """docs/benchmarks.md: a table of all rows, the work named once."""
    text = [
        "# Benchmarks", "",
        f"Written by `make bench` on {date} at commit {commit}: {machine['cores']} cores of {machine['cpu']}, Linux "
        f"{machine['kernel']}.",
        f"Medians of {runs} runs, RN and its peers in turn; what each part measures is in "
        "[bench/README.md](../bench/README.md).", "",
        "| work | who | | target |", "|---|---|---|---|"]
    last = None
    for r in rows:
        target = "" if "target" not in r else f"{r['target']:.3g}: {'met' if r['met'] else '**missed**'}"
        text.append(f"| {'' if r['work'] == last else r['work']} | {r['who']} | {figure(r['value'])} {r['unit']} "
                    f"| {target} |")
        last = r["work"]
    return "\n".join(text) + "\n"
