# SPDX-License-Identifier: Apache-2.0
"""The staged placement beside the fused one: epochs, hand-over, start-up."""
import json
import pathlib
import subprocess
import time

from common import BIN, DATA, ENV, FAST, ROOT, compiled, interleaved, json_lines, medians, python_with, threads
from models import models, synthetic

ROUND = "staged, 8 stages of one row, an epoch of"
START = "staged, 8 stages of one row, from no process to a trained epoch and the end of all"
STAGES, COUNTS = 8, (1, 2)


def chain(tmp):
    """Eight stages that compute next to nothing: a product of 1 by 1 each, and the loss."""
    (tmp / "one.csv").write_text("id,a,y\n0,0.5,1\n")
    stages = [{"name": "x", "op": "encode", "in": "one", "expr": "raw(a)"}]
    for i in range(1, STAGES):
        stages.append({"name": f"h{i}", "op": "linear", "in": stages[-1]["name"], "out": 1})
    stages.append({"name": "loss", "op": "loss", "in": stages[-1]["name"], "kind": "mse", "target": "y"})
    spec = {"rn": 1, "sources": {"one": {"from": "one.csv", "key": ["id"]}}, "stages": stages,
            "run": [{"fit": {"loss": "loss", "epochs": 5000, "lr": 1e-4}}]}
    (tmp / "chain.json").write_text(json.dumps(spec))
    return tmp / "chain.json"


def train(args, *options):
    """The summary, and what each stage process did."""
    p = subprocess.run([BIN / "rn-train", *map(str, options), "--json", "-q", "--stats=json", "--output-dir", args.tmp],
                       check=True, env=ENV, capture_output=True, text=True)
    stats = [json.loads(line) for line in p.stderr.splitlines() if line.startswith("{")]
    return json.loads(p.stdout.splitlines()[-1]), stats[-1].get("stages", []) if stats else []


def hand_over(stages):
    """The share of the training in which one stage was handing on to the next."""
    training = stages[0]["seconds"] - max(s["seconds_start"] for s in stages)
    return 100 * stages[0]["seconds_hand_over"] / training


def empty_round(args, results):
    spec, greeted = chain(pathlib.Path(args.tmp)), {}
    ring = compiled(args, "ring", *FAST)

    def staged(t, *options):
        result, stages = train(args, spec, "--placement", "staged", "--threads", t, *options)
        if len({s["pid"] for s in stages}) != STAGES:
            raise SystemExit(f"bench: {spec} has {len(stages)} stages, not {STAGES}")
        return result, stages

    def epoch(t):
        return 1e3 * staged(t)[0]["ms_per_epoch"]

    def start(t):
        """It ends later than at the first forward pass: that, one epoch and the end of all processes are in it."""
        begin = time.perf_counter()
        stages = staged(t, "--epochs", 1)[1]
        greeted.setdefault(t, []).append(1e3 * max(s["seconds_start"] for s in stages))
        return 1e3 * (time.perf_counter() - begin)

    us = interleaved(args.runs, {**{t: lambda t=t: epoch(t) for t in COUNTS},
                                 **{("start", t): lambda t=t: start(t) for t in COUNTS},
                                 "ring": lambda: json_lines([ring, "-w", "futex"])[0]["us"]})
    best = min(us[t] for t in COUNTS)
    for t in COUNTS:
        results.add(ROUND, f"RN, {threads(t)}", us[t], "us", most=20 * STAGES if us[t] == best else None)
    results.add(ROUND, "16 hand-overs alone", us["ring"], "us")
    results.ratio(ROUND, "RN / 16 hand-overs alone", best, us["ring"])
    wall = {t: us["start", t] for t in COUNTS}
    for t in COUNTS:
        results.add(START, f"RN, {threads(t)}", wall[t], "ms", most=60 if wall[t] == min(wall.values()) else None)
    for t, ms in medians(greeted).items():
        results.add(START, f"of it in the coordinator to the last greeting, {threads(t)}", ms, "ms")


def beside_fused(args, results, work, program, target, *options):
    shares, ms = {}, {}

    def epoch(placement, t):
        result, stages = train(args, program, "--placement", placement, "--threads", t, *options)
        if stages:
            shares.setdefault(t, []).append(hand_over(stages))
        return result["ms_per_epoch"]

    ms = interleaved(args.runs, {(p, t): lambda p=p, t=t: epoch(p, t) for t in (1, 2) for p in ("fused", "staged")})
    for (placement, t), x in ms.items():
        results.add(work, f"RN {placement}, {threads(t)}", x, "ms")
    for t, x in medians(shares).items():
        results.add(work, f"hand-over, {threads(t)}", x, "%")
    for t in (1, 2):
        results.ratio(work, f"fused / staged, {threads(t)}", ms["fused", t], ms["staged", t], target if t == 2 else None)


def bench(args, results):
    empty_round(args, results)
    results.show()
    if (DATA / "cora").exists():
        beside_fused(args, results, "gcn-cora, staged", ROOT / "examples/gcn-cora/model.json", None,
                     *(x for s in ("paper.csv", "cites.csv", "has_word.csv.zst")
                       for x in ("--source", f"{s.split('.')[0]}={DATA / 'cora' / s}")))
        results.show()
    else:
        results.skip(f"staged: no Cora in {DATA} (set RN_DATA)")
    python = python_with("numpy")
    if not python:
        results.skip("staged: ogbn-arxiv's size (no numpy)")
        return
    arxiv = next(m for m in models(pathlib.Path(args.tmp)) if m.model == "gcn")
    beside_fused(args, results, f"{arxiv.name}, staged", synthetic(python, arxiv), 1 / 1.25)
