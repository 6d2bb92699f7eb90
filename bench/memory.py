# SPDX-License-Identifier: Apache-2.0
"""What an edge costs in memory: training with more and with fewer edges; of RN alone."""
import pathlib
import random
import shutil

from common import DATA, ROOT, explained, json_lines, python_with, run

NODES, EDGES, WIDTH = 169_343, 2_332_486, 256  # of the large GCN
TIMES = 4


def measure(args, program, *options):
    """Bytes of the process at its peak, and of an epoch alone: what its machine has, indices and constants included."""
    r = json_lines(["rn-train", program, "--threads", 2, "--epochs", 3, "--json", "--output-dir", args.tmp, *options])
    return r[-1]["peak_bytes"], explained(program, *options)["bytes"]


def compare(results, work, edges, got, width):
    """got: of each number of edges, what measure gave.  The embedding of an edge would be `width` floats; indices and
    scalars may take a fourth of that."""
    for n, (process, epoch) in zip(edges, got):
        results.add(work, f"RN, an epoch, {n:,} edges", epoch / 1e6, "MB")
        results.add(work, f"RN, the process at its peak, {n:,} edges", process / 1e6, "MB")
    process, epoch = ((many - few) / (edges[1] - edges[0]) for few, many in zip(*got))
    results.add(work, f"RN, an epoch, each edge more (an embedding: {4 * width} B)", epoch, "B", most=width)
    results.add(work, "RN, the process, each edge more: reading and joining tables", process, "B")


def gcn(args, results, python):
    edges, got = (EDGES, TIMES * EDGES), []
    for n in edges:
        folder = pathlib.Path(args.tmp) / f"memory-{n}"
        json_lines([python, ROOT / "bench/graph.py", "gcn", folder, NODES, n, 128, 40])
        shutil.copy(ROOT / "bench/models/gcn.relnn", folder / "model.relnn")
        got.append(measure(args, folder / "model.relnn"))
        shutil.rmtree(folder)
    compare(results, "gcn, ogbn-arxiv's nodes, memory", edges, got, WIDTH)


def hgt(args, results):
    """HGT on DBLP, and with random terms for its papers.  Of two layers the first needs the edges from terms to
    papers, and none the ones back: authors, who have labels, are linked with papers alone."""
    original, more = DATA / "dblp/has_term.csv.zst", pathlib.Path(args.tmp) / "has_term.csv"
    text = run(["zstd", "-dcq", original], capture_output=True, text=True).stdout
    rows = [tuple(map(int, row.split(","))) for row in text.splitlines()[1:]]
    papers, terms = (1 + max(column) for column in zip(*rows))
    draw, added = random.Random(1), 12 * len(rows)
    with open(more, "w") as f:
        f.write(text if text.endswith("\n") else text + "\n")
        f.writelines(f"{draw.randrange(papers)},{draw.randrange(terms)}\n" for _ in range(added))
    program = ROOT / "examples/hgt-dblp-2l/model.relnn"
    got = [measure(args, program), measure(args, program, "--source", f"HasTerm={more}")]
    more.unlink()
    compare(results, "hgt-dblp-2l by edges from terms to papers, memory", (len(rows), len(rows) + added), got, 64)


def bench(args, results):
    if (DATA / "dblp").exists():
        hgt(args, results)
    else:
        results.skip(f"memory: no DBLP in {DATA} (set RN_DATA)")
    python = python_with("numpy")
    if python:
        gcn(args, results, python)
    else:
        results.skip("memory: ogbn-arxiv's size (no numpy)")
