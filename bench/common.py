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
FLAGS = os.environ.get("RN_BENCH_FLAGS", "").split()  # for the compiler: where libraries are, or what RN was built with
DATA = pathlib.Path(os.environ.get("RN_DATA", ROOT / "../shared/data")).resolve()
ENV = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", OMP_NUM_THREADS="2")


def pin():
    """This process, and with it all that it starts, on the first two processors that it may use; gives them."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores)
    return cores


def cores_text(cores):
    return f"processor{'s' * (len(cores) > 1)} {' and '.join(map(str, cores))}"


def run(cmd, **kw):
    return subprocess.run([str(c) for c in cmd], check=True, env=ENV, **kw)


def timed(cmd):
    """Wall seconds of a command, or of a bash pipeline where it is one text."""
    start = time.perf_counter()
    run(["bash", "-o", "pipefail", "-c", cmd] if isinstance(cmd, str) else cmd, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def json_lines(cmd):
    return [json.loads(line) for line in run(cmd, capture_output=True, text=True).stdout.splitlines()]


def explained(program, *options):
    """What rn-explain tells of the first fit, as it runs."""
    out = run(["rn-explain", program, "--optimized", "--json", *options], capture_output=True, text=True).stdout
    return json.loads(out)["fits"][0]


def compiled(args, name, *flags):
    """A program of bench/, built once, with the library where it includes some of it."""
    tool = pathlib.Path(args.tmp) / name
    if not tool.exists():
        blas = ["-lopenblas"] if "#include <cblas.h>" in (ROOT / f"bench/{name}.c").read_text() else []
        run(["cc", "-O2", "-D_GNU_SOURCE", *flags, *FLAGS, "-o", tool, ROOT / f"bench/{name}.c", BIN.parent / "librn.a",
             *blas, "-lzstd", "-ljansson", "-lz", "-lm", "-ldl", "-pthread"])
    return tool


# By hand, for the machine it runs on: what a compiler can do.
FAST = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math"]


def python_with(*packages):
    """A Python that has them, in the project's private environment, made on demand; or None."""
    venv = ROOT / ".venv"
    python = venv / "bin/python"
    if not python.exists() and subprocess.run([sys.executable, "-m", "venv", str(venv)]).returncode:
        return None
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
    """Rows of the table: what was done, by whom, the number, and what it should be; and what was left out."""

    def __init__(self):
        self.rows, self.shown, self.skipped = [], 0, []

    def add(self, work, who, value, unit, target=None, most=None):
        """target: what the number should be at least, most: at most."""
        if value is None:
            return
        row = {"work": work, "who": who, "value": value, "unit": unit}
        if target is not None:
            row.update(target=target, met=value >= target)
        elif most is not None:
            row.update(most=most, met=value <= most)
        self.rows.append(row)

    def ratio(self, work, who, over, under, target=None):
        """Two numbers of one unit, either of which may be missing."""
        if over and under:
            self.add(work, who, over / under, "x", target)

    def share(self, work, who, part, whole):
        """The first as a share of the second, either of which may be missing."""
        if part and whole:
            self.add(work, who, 100 * part / whole, "%")

    def skip(self, why):
        self.skipped.append(why)
        print(f"skipped: {why}", flush=True)

    def show(self):
        """Print the rows that are new."""
        rows = self.rows[self.shown:]
        self.shown = len(self.rows)
        width = max((len(r["work"]) for r in rows), default=0)
        for r in rows:
            target = "" if "met" not in r else f"   target {goal(r)}: {'met' if r['met'] else 'MISSED'}"
            print(f"{r['work']:<{width}}  {r['who']:<34} {r['value']:>10.3f} {r['unit']}{target}", flush=True)


def goal(row):
    return f"{row['target']:.3g}" if "target" in row else f"at most {row['most']:.4g}"


def figure(x):
    return f"{x:,.0f}" if x >= 1000 else f"{x:.3g}"


def markdown(run):
    """docs/benchmarks.md: how it was run, and a table of all rows, the work named once."""
    machine, load = run["machine"], run["load_average"]
    text = [
        "# Benchmarks", "",
        f"Written by `make bench` on {run['date']} at commit {run['commit']}"
        f"{' and changes that are not committed' if run['changed'] else ''}: {machine['cores']} cores of "
        f"{machine['cpu']}, Linux {machine['kernel']}.",
        f"Medians of {run['runs']} runs, RN and its peers in turn, all of them on {cores_text(machine['used'])}; the load "
        f"average was {load[0]:.2f} before and {load[1]:.2f} at the end; it took {run['minutes']:.0f} minutes.",
        "What each part measures is in [bench/README.md](../bench/README.md).", ""]
    if run["skipped"]:
        text += ["Left out:", *(f"- {why}" for why in run["skipped"]), ""]
    text += ["| work | who | | target |", "|---|---|---|---|"]
    last = None
    for r in run["rows"]:
        target = "" if "met" not in r else f"{goal(r)}: {'met' if r['met'] else '**missed**'}"
        text.append(f"| {'' if r['work'] == last else r['work']} | {r['who']} | {figure(r['value'])} {r['unit']} "
                    f"| {target} |")
        last = r["work"]
    return "\n".join(text) + "\n"
