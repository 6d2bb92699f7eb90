#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the tables of a synthetic benchmark graph (needs numpy).

usage: graph.py KIND FOLDER [NODES EDGES WIDTH CLASSES]
KIND gcn: node.csv (node_id, label, split), edge.csv (src, dst; power-law, no loops), the same as
edge.npy, and x.npy, of ogbn-arxiv's size unless told.  KIND rgcn: node.csv, triple.csv (s, p, o) and
relation.csv, of AIFB's.
The same arguments give the same files.
"""
import pathlib
import sys

import numpy as np


def write(path, header, *columns):
    rows = np.stack(columns, 1)
    np.savetxt(path, rows, fmt="%s", delimiter=",", header=header, comments="")


def write_edges(out, src, dst, chunk=1_000_000):
    """edge.csv, and edge.npy ([2, edges]) for peers, whose readers of text would take minutes."""
    with open(out / "edge.csv", "w") as f:
        f.write("src,dst\n")
        for at in range(0, len(src), chunk):
            pairs = zip(src[at:at + chunk].tolist(), dst[at:at + chunk].tolist())
            f.write("\n".join(f"{s},{d}" for s, d in pairs) + "\n")
    np.save(out / "edge.npy", np.stack((src, dst)).astype(np.int64))


def splits(rng, n, labelled, share):
    """Empty where a node is of no split."""
    split = np.full(n, "", dtype="<U5")
    order = rng.permutation(n)[:labelled]
    cut = int(labelled * share)
    split[order[:cut]] = "train"
    split[order[cut:]] = "test"
    return split


def gcn(out, rng, n=169_343, edges=2_332_486, width=128, classes=40):
    label = rng.integers(0, classes, n)
    write(out / "node.csv", "node_id,label,split", np.arange(n), label, splits(rng, n, n, 0.54))
    # a node's degree falls with its place in a random order
    place = rng.permutation(n)
    src, dst = (place[(n * rng.random(edges) ** k).astype(np.int64)] for k in (1.5, 3))
    dst[src == dst] = (dst[src == dst] + 1) % n
    write_edges(out, src, dst)
    centre = rng.standard_normal((classes, width))
    np.save(out / "x.npy", (centre[label] * 0.3 + rng.standard_normal((n, width))).astype(np.float32))


def rgcn(out, rng, n=8_285, edges=29_043, predicates=90, classes=4):
    s, o = rng.integers(0, n, edges), (n * rng.random(edges) ** 2).astype(np.int64)
    p = (predicates * rng.random(edges) ** 3).astype(np.int64)
    p[:predicates] = np.arange(predicates)  # each has an edge
    write(out / "triple.csv", "s,p,o", s, p, o)
    ways = [[str(q), way] for q in range(predicates) for way in ("out", "in")]
    write(out / "relation.csv", "p,way", *np.array(ways).T)
    split = splits(rng, n, 176, 0.8)
    label = np.where(split == "", "", rng.integers(0, classes, n).astype(str))
    write(out / "node.csv", "node_id,label,split", np.arange(n).astype(str), label, split)


def main():
    kind, out = sys.argv[1], pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    {"gcn": gcn, "rgcn": rgcn}[kind](out, np.random.default_rng(1), *map(int, sys.argv[3:]))


main()
