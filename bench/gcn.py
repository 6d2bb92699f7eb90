# SPDX-License-Identifier: Apache-2.0
"""The graph network on Cora, beside PyTorch."""
import time

from common import DATA, FAST, ROOT, compiled, interleaved, json_lines, medians, threads

STEP, WHOLE = "gcn-cora, training step", "gcn-cora, whole process: 200 epochs from CSV to accuracy"
RN, C, PEER = "RN", "C by hand", "PyTorch sparse"
COUNTS = (1, 2)


def bench(args, results):
    cora = DATA / "cora"
    if not cora.exists():
        results.skip(f"gcn: no Cora in {DATA} (set RN_DATA)")
        return
    wall = {}
    sources = [x for s in ("paper.csv", "cites.csv", "has_word.csv.zst")
               for x in ("--source", f"{s.split('.')[0]}={cora / s}")]
    tool = compiled(args, "gcn_c", *FAST)
    commands = {
        RN: lambda t: ["rn-train", ROOT / "examples/gcn-cora/model.json", *sources, "--threads", t, "--json",
                       "--output-dir", args.tmp],
        C: lambda t: [tool, "cora", cora, 200, t]}
    if args.torch:
        commands[PEER] = lambda t: [args.torch, ROOT / "bench/peers/gcn_sparse.py", cora, 200, t]

    def step(who, t):
        """Its wall time is noted, start and end of the process included."""
        start = time.perf_counter()
        r = json_lines(commands[who](t))[-1]
        wall.setdefault((who, t), []).append(time.perf_counter() - start)
        return r["ms_per_epoch"]

    ms = interleaved(args.runs, {(who, t): lambda who=who, t=t: step(who, t) for who in commands for t in COUNTS})
    whole = medians(wall)
    best = {who: min(ms[who, t] for t in COUNTS) for who in commands}
    fastest = {who: min(whole[who, t] for t in COUNTS) for who in commands}
    for who, t in ms:
        results.add(STEP, f"{who}, {threads(t)}", ms[who, t], "ms")
    results.ratio(STEP, f"{C} / RN", best[C], best[RN], 1 / 1.1)
    results.ratio(STEP, f"{PEER} / RN", best.get(PEER), best[RN], 15)
    for who, t in ms:
        if who != C:  # it does not validate
            seconds = whole[who, t]
            results.add(WHOLE, f"{who}, {threads(t)}", seconds, "s",
                        most=0.2 if who == RN and seconds == fastest[RN] else None)
    results.ratio(WHOLE, f"{PEER} / RN", fastest.get(PEER), fastest[RN], 20)
