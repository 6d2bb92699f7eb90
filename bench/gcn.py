# SPDX-License-Identifier: Apache-2.0
"""The graph network on Cora, beside PyTorch."""
import time

from common import DATA, FAST, ROOT, compiled, interleaved, json_lines, medians, python_with, threads

STEP, WHOLE = "gcn-cora, training step", "gcn-cora, 200 epochs from CSV to accuracy"
PEER = "PyTorch sparse, 2 threads"


def bench(args, results):
    cora = DATA / "cora"
    if not cora.exists():
        print(f"skipped: gcn: no Cora in {DATA} (set RN_DATA)")
        return
    python = None if args.no_torch else python_with("torch", "numpy")
    if not python:
        print("skipped: PyTorch (not installed)")
    wall, torch = {}, []
    sources = [x for s in ("paper.csv", "cites.csv", "has_word.csv.zst")
               for x in ("--source", f"{s.split('.')[0]}={cora / s}")]

    def ours(t):
        start = time.perf_counter()
        r = json_lines(["rn-train", ROOT / "examples/gcn-cora/model.json", *sources, "--threads", t, "--json",
                        "--output-dir", args.tmp])[-1]
        wall.setdefault(t, []).append(time.perf_counter() - start)
        return r["ms_per_epoch"]

    def theirs():
        r = json_lines([python, ROOT / "bench/peers/gcn_sparse.py", cora, 200, 2])[-1]
        torch.append(r["seconds_total"])
        return r["ms_per_epoch"]

    tool = compiled(args, "gcn_c", *FAST)

    def hand(t):
        return json_lines([tool, "cora", cora, 200, t])[-1]["ms_per_epoch"]

    works = {t: lambda t=t: ours(t) for t in (1, 2)}
    works.update({("C", t): lambda t=t: hand(t) for t in (1, 2)})
    if python:
        works[PEER] = theirs
    ms = interleaved(args.runs, works)
    for t in (1, 2):
        results.add(STEP, f"RN, {threads(t)}", ms[t], "ms")
    for t in (1, 2):
        results.add(STEP, f"C by hand, {threads(t)}", ms["C", t], "ms")
    results.ratio(STEP, "C by hand / RN", min(ms["C", 1], ms["C", 2]), min(ms[1], ms[2]), 1 / 1.1)
    whole = medians(wall)
    for t in (1, 2):
        results.add(WHOLE, f"RN, {threads(t)}", whole[t], "s")
    if python:
        total = medians({PEER: torch})[PEER]
        results.add(STEP, PEER, ms[PEER], "ms")
        results.add(WHOLE, PEER, total, "s")
        results.ratio(STEP, "PyTorch / RN", ms[PEER], min(ms[1], ms[2]), 15)
        results.ratio(WHOLE, "PyTorch / RN", total, min(whole.values()), 20)
