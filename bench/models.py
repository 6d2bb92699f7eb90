# SPDX-License-Identifier: Apache-2.0
"""Training steps of the examples and of two synthetic models, beside PyTorch and PyTorch Geometric (peers/)."""
import pathlib
import shutil

from common import DATA, FAST, ROOT, compiled, interleaved, json_lines, python_with, threads

SECONDS = 2.0  # of training, about, in each run of RN


class Model:
    """A model of RN, its peers ({name: (arguments, epochs, target of the ratio or None)}), and its data."""

    def __init__(self, name, model, data, peers, flags=(), memory=None, by_hand=None):
        self.name, self.model, self.data, self.peers = name, model, data, peers
        self.flags, self.memory, self.by_hand = flags, memory, by_hand


def example(name, data, peers, *flags):
    return Model(name, ROOT / f"examples/{name}/model.relnn", data, peers, flags)


def walks(most, graphs):
    """Closed walks of up to `most` steps on CSL.  By enumeration they do not fit in memory: the peer has one of the
    patterns, of few graphs."""
    return Model(f"dhn-csl, C2:{most}", ROOT / "examples/dhn-csl/model.relnn", DATA / "csl",
                 {f"PyTorch, enumerated, C{most} of {graphs} of 150 graphs": (["dhn_torch.py", f"C{most}", graphs], 2, 10)},
                 ["--set", f"most={most}"])


def models(tmp):
    hyper = DATA / "hypergraph"
    karate = ROOT / "examples/karate"
    return [
        Model("karate", karate / "model.json", karate, {"PyG": (["karate_pyg.py"], 100, None)}),
        example("gcn-cora", DATA / "cora", {"PyG, dense": (["gcn_pyg.py", 1433], 20, 100)}),
        example("gcn-citeseer", DATA / "citeseer", {"PyG, dense": (["gcn_pyg.py", 3703], 10, None)}),
        example("link-cora", DATA / "cora", {"PyG": (["link_pyg.py"], 10, None)}),
        *[example(f"gcn-{name}", DATA / name, {"PyG": (["graphs_pyg.py"], 20, None)})
          for name in ("csl", "exp", "sr25")],
        example("hgt-dblp-1l", DATA / "dblp", {"PyG": (["hgt_pyg.py", 1], 5, 3)}),
        example("hgt-dblp-2l", DATA / "dblp", {"PyG": (["hgt_pyg.py", 2], 5, 3)}),
        example("hgt-dblp-best", DATA / "dblp", {"PyG": (["hgt_pyg.py", 2, "best"], 5, 3)}),
        *[example(f"hgnn-{name}-{data}", hyper / f"{name}_{data}",
                  {"PyTorch": (["hgnn_torch.py", "torch", words], 20, 3),
                   "PyG": (["hgnn_torch.py", "pyg", words], 20, None)})
          for name, data, words in (("coauthorship", "cora", 1433), ("cocitation", "cora", 1433),
                                    ("cocitation", "citeseer", 3703))],
        example("hygnn-coauthorship-cora", hyper / "coauthorship_cora", {"PyTorch": (["hygnn_torch.py"], 20, 3)}),
        walks(8, 15), walks(10, 1),
        example("dhn-exp", DATA / "exp", {"PyTorch, enumerated": (["dhn_torch.py", "C2-5,C2"], 5, None)}),
        example("dhn-sr25", DATA / "sr25", {"PyTorch, enumerated": (["dhn_torch.py", "K2-5,K2-5"], 20, None)}),
        Model("rgcn", ROOT / "examples/rgcn/model.relnn", ROOT / "examples/rgcn",
              {"PyG, 4 bases": (["rgcn.py", "pyg", 4], 50, None)}),
        Model("rgcn, AIFB's size", "rgcn", tmp / "rgcn", {"PyTorch": (["rgcn.py", "torch"], 5, 3),
                                                          "PyG, 30 bases": (["rgcn.py", "pyg"], 5, 1)}),
        Model("gcn, ogbn-arxiv's size", "gcn", tmp / "gcn", {"PyTorch": (["gcn_large.py", "torch"], 3, 4),
                                                             "PyG": (["gcn_large.py", "pyg"], 3, None)},
              memory="PyTorch", by_hand="large"),
    ]


def synthetic(python, model):
    """Where the model's program is, beside its tables, which are made on first use."""
    if not model.data.exists():
        json_lines([python, ROOT / "bench/graph.py", model.model, model.data])
        shutil.copy(ROOT / f"bench/models/{model.model}.relnn", model.data / "model.relnn")
    return model.data / "model.relnn"


def bench_one(args, results, python, model):
    program = model.model if isinstance(model.model, pathlib.Path) else synthetic(python, model)
    memory = {}

    def ours():
        r = json_lines(["rn-train", program, "--threads", 2, "--epochs", ours.epochs, "--json", "--output-dir",
                        args.tmp, *model.flags])[-1]
        ours.epochs = max(3, min(200, int(1e3 * SECONDS / r["ms_per_epoch"])))
        memory.setdefault("RN", []).append(r["peak_bytes"])
        return r["ms_per_epoch"]

    def theirs(name, t=None):
        (script, *more), epochs, _ = model.peers[name]
        r = json_lines([python, ROOT / "bench/peers" / script, model.data, epochs, t or best[name], *more])[-1]
        memory.setdefault(name, []).append(r["peak_bytes"])
        return r["ms_per_epoch"]

    ours.epochs = 3
    ours()
    # A peer has as many threads as suit it best: two may be slower than one.
    best = {name: min((1, 2), key=lambda t, n=name: theirs(n, t)) for name in model.peers}
    works = {"RN": ours, **{name: lambda n=name: theirs(n) for name in model.peers}}
    if model.by_hand:
        tool = compiled(args, "gcn_c", *FAST)
        works["C"] = lambda: json_lines([tool, model.by_hand, model.data, 5, 2])[-1]["ms_per_epoch"]
    ms = interleaved(args.runs, works)
    work = f"{model.name}, training step"
    results.add(work, "RN, 2 threads", ms["RN"], "ms")
    if model.by_hand:
        results.add(work, "C by hand, 2 threads", ms["C"], "ms")
        results.ratio(work, "C by hand / RN", ms["C"], ms["RN"], 1 / 1.15)
    for name, (_, _, target) in model.peers.items():
        results.add(work, f"{name}, {threads(best[name])}", ms[name], "ms")
        results.ratio(work, f"{name} / RN", ms[name], ms["RN"], target)
    peak = {name: max(x) for name, x in memory.items()}
    for name, x in peak.items():
        results.add(f"{model.name}, peak memory", name, x / 1e6, "MB")
    if model.memory:
        results.ratio(f"{model.name}, peak memory", f"{model.memory} / RN", peak[model.memory], peak["RN"], 1 / 0.6)


def aggregate(args, results):
    """Segment sums over 20 M edges, RN's kernel and one by hand in turn."""
    work = "segment sums, 1 M nodes, 20 M edges"
    for r in json_lines([compiled(args, "spmm", *FAST), 1_000_000, 20_000_000, 2, args.runs]):
        results.add(f"{work}, width {r['width']}", "RN, 2 threads", r["ms"], "ms")
        results.add(f"{work}, width {r['width']}", "C by hand, 2 threads", r["hand_ms"], "ms")
        results.add(f"{work}, width {r['width']}", "C by hand / RN", r["ratio"], "x", 0.9)


def bench(args, results):
    python = None if args.no_torch else python_with("torch", "torch_geometric", "numpy")
    if not python:
        print("skipped: models: PyTorch or PyTorch Geometric (not installed)")
        return
    for model in models(pathlib.Path(args.tmp)):
        if isinstance(model.model, pathlib.Path) and not model.data.exists():
            print(f"skipped: {model.name}: no {model.data} (set RN_DATA)")
            continue
        bench_one(args, results, python, model)
        results.show()
