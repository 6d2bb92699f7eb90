# SPDX-License-Identifier: Apache-2.0
"""What this machine can do, by probe.c: memory bandwidth and products; other parts give shares of it."""
from common import FAST, compiled, json_lines, threads

LARGE = (169_343, 256, 256)  # the large GCN's product of most FLOPs
PRODUCTS = (LARGE, (169_343, 128, 256), (169_343, 256, 40), (2048, 2048, 2048))


class Limits:
    """gb[what, threads]: GB/s; gflops[shape, threads]."""

    def __init__(self, lines):
        self.gb = {(r["what"], r["threads"]): r["gb_per_s"] for r in lines if "gb_per_s" in r}
        self.gflops = {((r["m"], r["k"], r["n"]), r["threads"]): r["gflop_per_s"] for r in lines if "gflop_per_s" in r}


def limits(args, results):
    """Limits, measured once in a run."""
    if not hasattr(args, "limits"):
        sizes = [x for shape in PRODUCTS for x in shape]
        args.limits = Limits(json_lines([compiled(args, "probe", *FAST), args.runs, *sizes]))
        show(args.limits, results)
    return args.limits


def show(m, results):
    for (what, t), gb in m.gb.items():
        results.add(f"this machine, {what} of memory", threads(t), gb, "GB/s")
    for (shape, t), gflops in m.gflops.items():
        results.add(f"this machine, OpenBLAS, {' x '.join(f'{x:,}' for x in shape)}", threads(t), gflops, "GFLOP/s")


def bench(args, results):
    limits(args, results)
