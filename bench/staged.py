# SPDX-License-Identifier: Apache-2.0
"""The staged placement beside the fused one: epochs, hand-over, start-up."""
import json
import pathlib
import subprocess

from common import BIN, DATA, ENV, ROOT, compiled, interleaved, json_lines, medians, python_with, threads
from models import models, synthetic

ROUND, START = "staged, 8 stages of one row, an epoch of", "staged, 8 stages, start to first forward"
STAGES = 8


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
    spec, starts = chain(pathlib.Path(args.tmp)), []
    ring = compiled(args, "ring")

    def epoch(t):
        result, stages = train(args, spec, "--placement", "staged", "--threads", t)
        starts.append(1e3 * max(s["seconds_start"] for s in stages))
        return 1e3 * result["ms_per_epoch"]

    us = interleaved(args.runs, {**{t: lambda t=t: epoch(t) for t in (1, 2)},
                                 "ring": lambda: json_lines([ring, "-w", "futex"])[0]["us"]})
    for t in (1, 2):
        results.add(ROUND, f"RN, {threads(t)}", us[t], "us")
    results.add(ROUND, "16 hand-overs alone", us["ring"], "us")
    results.ratio(ROUND, "8 x 2 x 10 us / RN", 20 * STAGES, min(us[1], us[2]), 1)
    results.ratio(ROUND, "RN / 16 hand-overs alone", min(us[1], us[2]), us["ring"])
    start = medians({"start": starts})["start"]
    results.add(START, "RN", start, "ms")
    results.ratio(START, "60 ms / RN", 60, start, 1)


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
        print(f"skipped: staged: no Cora in {DATA} (set RN_DATA)")
    python = python_with("numpy")
    if not python:
        print("skipped: staged: ogbn-arxiv's size (no numpy)")
        return
    arxiv = next(m for m in models(pathlib.Path(args.tmp)) if m.model == "gcn")
    beside_fused(args, results, f"{arxiv.name}, staged", synthetic(python, arxiv), 1 / 1.25)
