#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure RN on a CUDA device beside its peers there: one run, interleaved, medians and ratios.

usage: bench/gpu.py [--only PART,...] [--runs N] [--no-torch] [--save [FILE]] [--self-check]
Parts: kernels (segment sums and products beside cuSPARSE, cuBLAS and a copy), examples, graphs (GCNs of
ogbn-arxiv's size, of 1 M nodes and 20 M edges, of ogbn-products' size), staged (a process per stage beside
one).  Peers are PyTorch and PyTorch Geometric, as a user of them would write the model, where they are
installed with CUDA.  --save writes FILE, or bench/results/DATE-COMMIT-gpu.json, after each part.  Without a device it says so and
ends with status 0.  --self-check runs every part of RN alone on tiny data, on the emulated device where
there is one and else on the cpu: for tests, its times mean nothing.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import common  # noqa: E402
import models  # noqa: E402
from common import BIN, DATA, ENV, ROOT, interleaved, json_lines  # noqa: E402

SECONDS = 2.0  # of training, about, in each run of RN
PATIENCE = 300  # seconds for a run of a peer
ROOM = 8 << 30  # bytes that the largest graph takes as tables, and more
GRAPHS = [("gcn, ogbn-arxiv's size", ()), ("gcn, 1 M nodes, 20 M edges", (1_000_000, 20_000_000, 128, 40)),
          ("gcn, ogbn-products' size", (2_449_029, 61_859_140, 100, 47))]
ARXIV, PRODUCTS = GRAPHS[0], GRAPHS[2]
# What is to be reached on an H200: milliseconds of an epoch, how often a peer's epoch (fit, of as many epochs as in
# models.py) holds RN's, the share of a peer's memory.
TARGETS = {"gcn-cora": {"ms": 0.06, "epoch": 15}, "hgt-dblp-1l": {"fit": 5}, "hgt-dblp-2l": {"fit": 5},
           ARXIV[0]: {"epoch": 1.5, "memory": 0.6}, PRODUCTS[0]: {"epoch": 1.5, "memory": 0.6}}
TINY = [("gcn, tiny", (200, 1000, 8, 3))]


def why_no_device():
    """The words of a program that asks for one; None where it can be had."""
    p = subprocess.run([BIN / "rn-train", "--version"], capture_output=True, text=True, env=ENV)
    cuda = [line for line in p.stdout.splitlines() if line.startswith("cuda: ")]
    return (cuda[0][6:] if cuda else "no rn-train here") if not cuda or cuda[0].startswith("cuda: no") else None


def device_name():
    try:
        p = subprocess.run(["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
                           capture_output=True, text=True)
    except FileNotFoundError:
        return "unknown"
    return p.stdout.splitlines()[0].strip() if p.stdout else "unknown"


def train(args, program, *options, graph="side"):
    """The result of a training run on the device; graph: of RN_CUDA_GRAPH."""
    return json_lines(["env", f"RN_CUDA_GRAPH={graph}", "rn-train", program, "--device", args.device, "--json", "-q", "--output-dir", args.tmp,
                       *options])[-1]


def peer(args, script, data, epochs, more):
    """A peer's result on the device; None where it cannot run there."""
    try:
        p = subprocess.run([str(args.python), str(ROOT / "bench/peers" / script), str(data), str(epochs), "2",
                            *map(str, more)], env=dict(ENV, RN_PEER_DEVICE="cuda"), capture_output=True, text=True,
                           timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        print(f"skipped: {script}: it took more than {PATIENCE} s")
        return None
    if p.returncode:
        print(f"skipped: {script}: {(p.stderr.strip().splitlines() or ['it failed'])[-1][:200]}")
        return None
    return json.loads(p.stdout.splitlines()[-1])


def compare(args, results, name, program, data, peers, options=(), runs=None, fit_epochs=None, small=False):
    """A model on the device, beside its peers ({name: (arguments, epochs)}).  fit_epochs: RN's, where fits of so many
    are compared, which begin with what is done once; else as many as take SECONDS.  small: whose kernels are, which
    also run one after the other.  What is run but once is large: each process reads its tables for a minute."""
    got = {}

    def note(who, r):
        if r:
            got.setdefault(who, []).append(r)
        return r and r["ms_per_epoch"]

    if args.self_check or runs == 1:
        epochs = 3 if args.self_check else 30
    else:
        first = train(args, program, "--epochs", 5, *options)
        epochs = fit_epochs or max(5, min(500, int(1e3 * SECONDS / max(first["ms_per_epoch"], 1e-3))))
    works = {"RN": lambda: note("RN", train(args, program, "--epochs", epochs, *options))}
    if args.math and small:
        works["RN, in line"] = lambda: note("RN, in line", train(args, program, "--epochs", epochs, *options, graph="line"))
    if args.math and runs != 1:
        works["RN, tf32"] = lambda: note("RN, tf32", train(args, program, "--epochs", epochs, "--math", "tf32", *options))
    for who, (arguments, count) in peers.items():
        works[who] = lambda w=who, a=arguments, n=count: note(w, peer(args, a[0], data, n, a[1:]))
    interleaved(runs or args.runs, works)
    ms, fit, peak = {}, {}, {}
    target = TARGETS.get(name, {})
    for who, runs in got.items():
        ms[who] = statistics.median(r["ms_per_epoch"] for r in runs)
        results.add(f"{name}, epoch", who, ms[who], "ms", most=target.get("ms") if who == "RN" else None)
        fit[who] = 1e3 * statistics.median(r["seconds_fit"] / n_epochs(r, epochs, peers, who) for r in runs)
        results.add(f"{name}, fit, of an epoch", who, fit[who], "ms")
        peak[who] = max(r.get("peak_device_bytes", r.get("device_bytes", 0)) for r in runs) / 1e6 or None
        results.add(f"{name}, peak memory of the device", who, peak[who], "MB")
    for who in peers:
        results.ratio(f"{name}, epoch", f"{who} / RN", ms.get(who), ms["RN"], target.get("epoch"))
        results.ratio(f"{name}, fit, of an epoch", f"{who} / RN", fit.get(who), fit["RN"], target.get("fit"))
        if peak.get(who) and peak["RN"]:
            results.add(f"{name}, peak memory of the device", f"RN / {who}", peak["RN"] / peak[who], "x",
                        most=target.get("memory"))
    keep(args, results)


def n_epochs(r, epochs, peers, who):
    return peers[who][1] if who in peers else r.get("epochs", epochs)


# ---- parts ------------------------------------------------------------------------------------


def spec(args):
    """A small model for the self-check: nothing of it has to be downloaded."""
    out = pathlib.Path(args.tmp)
    (out / "points.csv").write_text("id,a,y\n" + "".join(f"{i},{i % 7 / 7},{i % 2}\n" for i in range(40)))
    model = {"rn": 1, "sources": {"points": {"from": "points.csv", "key": ["id"]}},
             "stages": [{"name": "x", "op": "encode", "in": "points", "expr": "raw(a)"},
                        {"name": "h", "op": "linear", "in": "x", "out": 4},
                        {"name": "act", "op": "map", "in": "h", "expr": "tanh(z)"},
                        {"name": "o", "op": "linear", "in": "act", "out": 2},
                        {"name": "loss", "op": "loss", "in": "o", "kind": "cross-entropy", "target": "y"}],
             "run": [{"fit": {"loss": "loss", "epochs": 3}}]}
    (out / "model.json").write_text(json.dumps(model))
    return out / "model.json"


def by_make(args, folder, epochs):
    """One run of an example as its Makefile has it; None where it cannot run, which is told."""
    target = "train" if (folder / "model.relnn").exists() else "json"
    p = subprocess.run(["make", "-s", "-C", str(folder), target, "RUNS=1", f"DEVICE={args.device}", f"BIN={BIN}",
                        f"OUT={args.tmp}/out", f"RN_DATA={DATA}", f"MORE=--epochs {epochs} --quiet"], env=ENV,
                       capture_output=True, text=True)
    lines = [line for line in p.stdout.splitlines() if line.startswith("{")]
    if p.returncode or not lines:
        print(f"skipped: {folder.name}: {(p.stderr.strip().splitlines() or ['it printed nothing'])[-1][:200]}")
        return None
    return json.loads(lines[-1])


def alone(args, results, folder):
    """An example that has no peer here."""
    runs = [r for r in (by_make(args, folder, 3 if args.self_check else 100) for _ in range(args.runs)) if r]
    for what, key, scale, unit in (("epoch", "ms_per_epoch", 1, "ms"), ("fit of 100 epochs", "seconds_fit", 1, "s"),
                                   ("peak memory of the device", "peak_device_bytes", 1e-6, "MB")):
        values = [scale * r[key] for r in runs if key in r]
        results.add(f"{folder.name}, {what}", "RN", statistics.median(values) if values else None, unit)
    results.show()


def examples(args, results):
    if args.self_check:
        compare(args, results, "a small network", spec(args), None, {})
        alone(args, results, ROOT / "examples/karate")
        return
    with_peers = {m.model.parent.name for m in models.models(pathlib.Path(args.tmp)) if isinstance(m.model, pathlib.Path)}
    python = args.python or args.numpy
    for model in sorted(models.models(pathlib.Path(args.tmp)), key=lambda m: m.name not in TARGETS):
        if model.name.startswith("gcn, "):
            continue  # of the graphs
        program = model.model
        if isinstance(program, pathlib.Path):
            if not model.data.exists():
                print(f"skipped: {model.name}: no {model.data} (set RN_DATA)")
                continue
        elif python:
            program = models.synthetic(python, model)
        else:
            print(f"skipped: {model.name}: no numpy")
            continue
        peers = {who: (p[0], model.fit or max(p[1], 20)) for who, p in model.peers.items()} if args.python else {}
        compare(args, results, model.name, program, model.data, peers, model.flags, fit_epochs=model.fit, small=True)
    for makefile in sorted(ROOT.glob("examples/*/Makefile")):
        if makefile.parent.name not in with_peers:
            alone(args, results, makefile.parent)


def make_graph(args, size):
    """The tables of a graph and its GCN, in a folder."""
    out = pathlib.Path(args.tmp) / "graph"
    shutil.rmtree(out, ignore_errors=True)
    json_lines([args.numpy, ROOT / "bench/graph.py", "gcn", out, *size])
    program = (ROOT / "bench/models/gcn.relnn").read_text()
    if size:
        program = program.replace("width = 128", f"width = {size[2]}").replace("classes = 40", f"classes = {size[3]}")
    (out / "model.relnn").write_text(program)
    return out


def graphs(args, results):
    if not args.numpy:
        print("skipped: graphs: no numpy")
        return
    for name, size in TINY if args.self_check else GRAPHS:
        out = make_graph(args, size)
        peers = {"PyTorch": (["gcn_large.py", "torch"], 20), "PyG": (["gcn_large.py", "pyg"], 20)} if args.python else {}
        # each process reads the tables first: of large ones once is enough, its epochs are many
        compare(args, results, name, out / "model.relnn", out, peers, runs=1 if size and size[1] > 10_000_000 else None)


def nvcc():
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")


def built(args, name, *command):
    """A program of bench/."""
    tool = pathlib.Path(args.tmp) / pathlib.Path(name).stem
    common.run([command[0], "-O2", "-o", tool, ROOT / "bench" / name, *command[1:]])
    return tool


def beside_kernels(args, sizes):
    """What NVIDIA's libraries need for the same, as device_cuda.cu prints it; nothing where it cannot be had."""
    if args.self_check:
        return []
    if not nvcc():
        print("skipped: cuSPARSE, cuBLAS: no nvcc")
        return []
    # RN_CUDA_DIR: a toolkit's libraries, and their headers, where nvcc is without them
    other = os.environ.get("RN_CUDA_DIR")
    libraries = pathlib.Path(other) / "lib" if other else pathlib.Path(nvcc()).resolve().parent.parent / "lib64"
    try:
        tool = built(args, "device_cuda.cu", nvcc(), *([f"-isystem={other}/include"] if other else []), f"-L{libraries}",
                     "-Xlinker", f"-rpath={libraries}", "-lcusparse", "-lcublas")
        return json_lines([tool, *sizes])
    except subprocess.CalledProcessError as e:
        print(f"skipped: cuSPARSE, cuBLAS: {e} {(e.stderr or '').strip()[-200:]}")
        return []


def kernels(args, results):
    n, m, runs = (300, 2000, 2) if args.self_check else (*PRODUCTS[1][:2], 20)
    # RN_BENCH_FLAGS: where its libraries are, if the compiler does not know
    tool = built(args, "device.c", os.environ.get("CC", "cc"), "-D_GNU_SOURCE", *common.FLAGS, BIN.parent / "librn.a",
                 "-lzstd", "-ljansson", "-lz", "-lm", "-ldl", "-pthread", f"-Wl,-rpath,{BIN.parent / 'lib'}")
    mine = json_lines([tool, args.device, n, m, runs])
    theirs = {(r["work"], r.get("width"), r.get("k"), r.get("m")): r for r in beside_kernels(args, (n, m, runs))}
    copy = theirs.get(("copy", None, None, None), {}).get("gb_per_s")
    results.add("copy of memory", "the device", copy, "GB/s")
    for r in mine:
        beside = theirs.get((r["work"], r.get("width"), r.get("k"), r.get("m")), {}).get("ms")
        if r["work"] == "spmm":
            name, who = f"segment sums, {n:,} nodes, {m:,} edges, width {r['width']}", "cuSPARSE"
            # what is moved if a row is read for each edge, and what must be: each row once
            speed = (m * (4 * r["width"] + 8) + 4 * n * r["width"]) / r["ms"] / 1e6
            least = (8 * m + 4 * n + 8 * n * r["width"]) / r["ms"] / 1e6
            results.add(name, "RN, a row for each edge", speed, "GB/s")
            results.add(name, "RN, each row once", least, "GB/s")
            results.ratio(name, "RN, each row once / copy", least if copy else None, copy, 0.6)
        else:
            name, who = f"product, {r['n']:,} x {r['k']} x {r['m']}", "cuBLAS, float"
            results.add(name, "RN", 2e-6 * r["n"] * r["k"] * r["m"] / r["ms"], "GFLOP/s")
        results.add(name, "RN", r["ms"], "ms")
        results.add(name, who, beside, "ms")
        results.ratio(name, f"{who} / RN", beside, r["ms"], 0.8 if r["work"] == "spmm" else None)


def by_placement(args, results, name, program, epochs, options=(), most=None):
    """An epoch of a process for each of the stages, beside one of one process."""
    probe = subprocess.run([BIN / "rn-train", program, "--device", args.device, "--placement", "staged", "--epochs", "1",
                            "-q", *options, "--output-dir", args.tmp], env=ENV, capture_output=True, text=True)
    if probe.returncode:
        print(f"skipped: staged: {(probe.stderr.strip().splitlines() or ['it failed'])[-1][:200]}")
        return

    def epoch(placement):
        return train(args, program, "--placement", placement, "--epochs", epochs, *options)["ms_per_epoch"]

    ms = interleaved(args.runs, {p: lambda p=p: epoch(p) for p in ("fused", "staged")})
    for placement, value in ms.items():
        results.add(f"{name}, epoch, by placement", placement, value, "ms")
    if ms["staged"] and ms["fused"]:
        results.add(f"{name}, epoch, by placement", "staged / fused", ms["staged"] / ms["fused"], "x", most=most)
    keep(args, results)


def staged(args, results):
    cora = [] if args.self_check else [
        x for name in ("paper.csv", "cites.csv", "has_word.csv.zst")
        for x in ("--source", f"{name.split('.')[0]}={DATA / 'cora' / name}")]
    if not args.self_check and not (DATA / "cora").exists():
        print(f"skipped: staged: no Cora in {DATA} (set RN_DATA)")
    else:
        by_placement(args, results, "gcn-cora", spec(args) if args.self_check else ROOT / "examples/gcn-cora/model.json",
                     3 if args.self_check else 200, cora)
    if not args.numpy:
        print("skipped: staged: no numpy for a graph")
        return
    name, size = TINY[0] if args.self_check else ARXIV
    by_placement(args, results, name, make_graph(args, size) / "model.relnn", 3 if args.self_check else 50, most=1.3)


PARTS = {"kernels": kernels, "examples": examples, "graphs": graphs, "staged": staged}


# ---- all --------------------------------------------------------------------------------------


def options():
    p = argparse.ArgumentParser(usage=argparse.SUPPRESS, description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", metavar="PART,...", default=",".join(PARTS))
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--no-torch", action="store_true")
    p.add_argument("--save", nargs="?", const="", metavar="FILE")
    p.add_argument("--self-check", action="store_true")
    args = p.parse_args()
    args.only = args.only.split(",")
    for part in args.only:
        if part not in PARTS:
            p.error(f"there is no part '{part}': {' '.join(PARTS)}")
    if args.runs < 1:
        p.error("--runs wants 1 or more")
    return args


def python_with(code):
    """A Python here in which the code runs: this one, or that of .venv; None: neither."""
    for python in (sys.executable, ROOT / ".venv/bin/python"):
        if os.path.exists(python) and not subprocess.run([str(python), "-c", code], capture_output=True).returncode:
            return python
    return None


def choose_device(args):
    """Where it runs; false: nowhere."""
    args.device, args.math = "cuda", not args.self_check
    if args.self_check:
        emulated = BIN.parent / "emulated"
        if (emulated / "librn_cuda.so").exists():
            ENV["LD_LIBRARY_PATH"] = str(emulated)
        else:
            args.device = "cpu"
        args.runs = 1
        return True
    why = why_no_device()
    if why:
        print(f"SKIP: no CUDA device: {why}")
    return not why


def save(args, rows):
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                            capture_output=True, text=True).stdout.strip() or "unknown"
    date = datetime.date.today().isoformat()
    parts = "" if args.only == list(PARTS) else "-" + "-".join(args.only)
    out = pathlib.Path(args.save) if args.save else ROOT / "bench/results" / f"{date}-{commit}-gpu{parts}.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"date": date, "commit": commit, "device": device_name(),
                               "machine": {"cores": os.cpu_count(), "kernel": platform.release()},
                               "runs": args.runs, "rows": rows}, indent=1) + "\n")
    return out


def in_memory():
    """A folder in memory with room for the graphs; None: there is none."""
    shm = "/dev/shm"
    return shm if os.path.isdir(shm) and shutil.disk_usage(shm).free > ROOM else None


def keep(args, results):
    """What is measured is shown, and written where it shall be, whatever becomes of what follows."""
    results.show()
    if args.save is not None:
        args.written = save(args, results.rows)


def main():
    args = options()
    if not (BIN / "rn-train").exists():
        sys.exit(f"gpu: no programs in {BIN}: run make first")
    if not choose_device(args):
        return
    cuda = "import torch, torch_geometric; assert torch.cuda.is_available()"
    args.python = None if args.no_torch or args.self_check else python_with(cuda)
    args.numpy = python_with("import numpy")
    if not args.python and not args.self_check:
        print("skipped: PyTorch and PyTorch Geometric (not installed with CUDA)")
    results = common.Results()
    args.written = None
    with tempfile.TemporaryDirectory(dir=in_memory()) as args.tmp:
        for part in args.only:
            PARTS[part](args, results)
            keep(args, results)
    if args.written:
        print(f"written to {args.written}")


main()
