# SPDX-License-Identifier: Apache-2.0
"""Training steps of the examples and of two synthetic models, beside PyTorch and PyTorch Geometric (peers/)."""
import pathlib
import shutil
import time

import machine
from common import DATA, FAST, ROOT, compiled, explained, interleaved, json_lines, medians, threads

SECONDS = 0.5  # of training, about, in each run of RN
COUNTS = (1, 2)


class Model:
    """A model of RN, its peers ({name: (arguments, epochs, target of the ratio or None)}), and its data.
    fit: so many epochs are measured as a whole, too, and the targets are those of that; limit: so many seconds
    may a process take that trains limit_epochs; memory: the peer whose peak memory counts, and the most MB;
    shares: of what the machine can do."""

    def __init__(self, name, model, data, peers, flags=(), fit=None, limit=None, limit_epochs=None, memory=None,
                 by_hand=None, shares=False):
        self.name, self.model, self.data, self.peers = name, model, data, peers
        self.flags, self.fit, self.limit, self.limit_epochs = flags, fit, limit, limit_epochs
        self.memory, self.by_hand, self.shares = memory, by_hand, shares


def example(name, data, peers, **more):
    return Model(name, ROOT / f"examples/{name}/model.relnn", data, peers, **more)


def walks(most, graphs, **more):
    """Closed walks of up to `most` steps on CSL.  By enumeration they do not fit in memory: the peer has one of the
    patterns, of few graphs, where RN has all of both."""
    return Model(f"dhn-csl, C2 to C{most} of all 150 graphs", ROOT / "examples/dhn-csl/model.relnn", DATA / "csl",
                 {f"PyTorch, enumerated, only C{most}, of {graphs} of 150 graphs":
                  (["dhn_torch.py", f"C{most}", graphs], 2, 10)}, flags=["--set", f"most={most}"], **more)


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
        example("hgt-dblp-1l", DATA / "dblp", {"PyG": (["hgt_pyg.py", 1], 5, 3)}, fit=100),
        example("hgt-dblp-2l", DATA / "dblp", {"PyG": (["hgt_pyg.py", 2], 5, 3)}, fit=100),
        example("hgt-dblp-best", DATA / "dblp", {"PyG": (["hgt_pyg.py", 2, "best"], 5, 3)}),
        *[example(f"hgnn-{name}-{data}", hyper / f"{name}_{data}",
                  {"PyTorch": (["hgnn_torch.py", "torch", words], 20, 3),
                   "PyG": (["hgnn_torch.py", "pyg", words], 20, None)})
          for name, data, words in (("coauthorship", "cora", 1433), ("cocitation", "cora", 1433),
                                    ("cocitation", "citeseer", 3703))],
        example("hygnn-coauthorship-cora", hyper / "coauthorship_cora", {"PyTorch": (["hygnn_torch.py"], 20, 3)}),
        walks(8, 15), walks(10, 1, limit=10, limit_epochs=10),
        example("dhn-exp", DATA / "exp", {"PyTorch, enumerated": (["dhn_torch.py", "C2-5,C2"], 5, None)}),
        example("dhn-sr25", DATA / "sr25", {"PyTorch, enumerated": (["dhn_torch.py", "K2-5,K2-5"], 20, None)}),
        Model("rgcn", ROOT / "examples/rgcn/model.relnn", ROOT / "examples/rgcn",
              {"PyG, 4 bases": (["rgcn.py", "pyg", 4], 50, None)}),
        Model("rgcn, AIFB's size", "rgcn", tmp / "rgcn",
              {"PyTorch": (["rgcn.py", "torch"], 5, 3), "PyG, 30 bases": (["rgcn.py", "pyg"], 5, 1)}, fit=50, shares=True),
        Model("gcn, ogbn-arxiv's size", "gcn", tmp / "gcn",
              {"PyTorch": (["gcn_large.py", "torch"], 3, 4), "PyG": (["gcn_large.py", "pyg"], 3, None)},
              memory=("PyTorch", 1000), by_hand="large", shares=True),
    ]


def synthetic(python, model):
    """Where the model's program is, beside its tables, which are made on first use."""
    if not model.data.exists():
        json_lines([python, ROOT / "bench/graph.py", model.model, model.data])
        shutil.copy(ROOT / f"bench/models/{model.model}.relnn", model.data / "model.relnn")
    return model.data / "model.relnn"


class Measured:
    """A model's runs: {(who, threads): numbers} of what is measured."""

    def __init__(self, args, model):
        self.args, self.model, self.epochs, self.best = args, model, {}, {}
        self.program = model.model if isinstance(model.model, pathlib.Path) else synthetic(args.torch, model)
        self.memory, self.fits, self.wall = {}, {}, {}

    def ours(self, t):
        m = self.model
        epochs = m.fit or m.limit_epochs or self.epochs.get(t, 3)
        start = time.perf_counter()
        r = json_lines(["rn-train", self.program, "--threads", t, "--epochs", epochs, "--json", "--output-dir",
                        self.args.tmp, *m.flags])[-1]
        self.wall.setdefault(("RN", t), []).append(time.perf_counter() - start)
        self.epochs[t] = max(3, min(200, int(1e3 * SECONDS / r["ms_per_epoch"])))
        self.memory.setdefault("RN", []).append(r["peak_bytes"])
        self.fits.setdefault(("RN", t), []).append(r["seconds_fit"])
        return r["ms_per_epoch"]

    def peer(self, name, t, epochs=None):
        (script, *more), few, _ = self.model.peers[name]
        return json_lines([self.args.torch, ROOT / "bench/peers" / script, self.model.data, epochs or few, t, *more])[-1]

    def theirs(self, name, t):
        r = self.peer(name, t)
        self.memory.setdefault(name, []).append(r["peak_bytes"])
        return r["ms_per_epoch"]

    def by_hand(self, t):
        tool = compiled(self.args, "gcn_c", *FAST)
        return json_lines([tool, self.model.by_hand, self.model.data, 5, t])[-1]["ms_per_epoch"]

    def run(self):
        """A peer has as many threads as suit it best, which one run of each number tells: {(who, threads): ms}
        of these trials, and the medians."""
        for t in COUNTS:
            self.ours(t)
        self.fits, self.wall = {}, {}
        trials = {(name, t): self.theirs(name, t) for name in self.model.peers for t in COUNTS}
        self.best = {name: min(COUNTS, key=lambda t, n=name: trials[n, t]) for name in self.model.peers}
        works = {("RN", t): lambda t=t: self.ours(t) for t in COUNTS}
        if self.model.by_hand:
            works.update({("C by hand", t): lambda t=t: self.by_hand(t) for t in COUNTS})
        works.update({(n, t): lambda n=n, t=t: self.theirs(n, t) for n, t in self.best.items()})
        return trials, interleaved(self.args.runs, works)


def least(numbers, who):
    return min((x for (w, _), x in numbers.items() if w == who), default=None)


def bench_one(args, results, model):
    limits = machine.limits(args, results) if model.shares else None
    m = Measured(args, model)
    trials, ms = m.run()
    work, ours = f"{model.name}, training step", least(ms, "RN")
    for (who, t), x in ms.items():
        results.add(work, f"{who}, {threads(t)}", x, "ms")
    for (who, t), x in trials.items():
        if (who, t) not in ms:
            results.add(work, f"{who}, {threads(t)}, one run", x, "ms")
    results.ratio(work, "C by hand / RN", least(ms, "C by hand"), ours, 1 / 1.15)
    for name, (_, _, target) in model.peers.items():
        results.ratio(work, f"{name} / RN", least(ms, name), ours, None if model.fit else target)
    if limits:
        shares(results, work, ours, limits, *costs(m))
    if model.fit:
        fits(results, m)
    if model.limit:
        whole = medians(m.wall)
        for (who, t), x in whole.items():
            results.add(f"{model.name}, whole process, {model.limit_epochs} epochs", f"{who}, {threads(t)}", x, "s",
                        most=model.limit if x == min(whole.values()) else None)
    peaks(results, m)


def costs(m):
    """FLOPs and bytes of a step, as rn-explain counts them."""
    fit = explained(m.program, *m.model.flags)
    return fit["flops"], sum(s["bytes"] for s in fit["stages"])


def shares(results, work, ms, limits, flops, size):
    """Of the best rates that were measured on this machine."""
    results.share(work, "RN, its FLOPs/s of OpenBLAS's at 169,343 x 256 x 256", flops / ms / 1e6,
                  max(limits.gflops[machine.LARGE, t] for t in COUNTS))
    results.share(work, "RN, its bytes/s of triad's", size / ms / 1e6, max(limits.gb["triad", t] for t in COUNTS))


def fits(results, m):
    """All epochs as a whole; the peers once, as that takes minutes."""
    work, ours = f"{m.model.name}, fit of {m.model.fit} epochs", medians(m.fits)
    for (who, t), x in ours.items():
        results.add(work, f"{who}, {threads(t)}", x, "s")
    for name, (_, _, target) in m.model.peers.items():
        seconds = m.peer(name, m.best[name], m.model.fit)["seconds_fit"]
        results.add(work, f"{name}, {threads(m.best[name])}, one run", seconds, "s")
        results.ratio(work, f"{name} / RN", seconds, min(ours.values()), target)


def peaks(results, m):
    work, peer, most = f"{m.model.name}, peak memory", *(m.model.memory or (None, None))
    peak = {name: max(x) for name, x in m.memory.items()}
    for name, x in peak.items():
        results.add(work, name, x / 1e6, "MB", most=most if name == "RN" else None)
    if peer:
        results.ratio(work, f"{peer} / RN", peak[peer], peak["RN"], 1 / 0.6)


def aggregate(args, results):
    """Segment sums over 20 M edges, RN's kernel and one by hand in turn."""
    nodes, edges = 1_000_000, 20_000_000
    limits = machine.limits(args, results)
    triad = max(limits.gb["triad", t] for t in COUNTS)
    for r in json_lines([compiled(args, "spmm", *FAST), nodes, edges, 2, args.runs]):
        work = f"segment sums, 1 M nodes, 20 M edges, width {r['width']}"
        results.add(work, "RN, 2 threads", r["ms"], "ms")
        results.add(work, "C by hand, 2 threads", r["hand_ms"], "ms")
        results.add(work, "C by hand / RN", r["ratio"], "x", 0.9)
        # an index and a weight for each edge, where each segment starts, all rows once in and once out
        compulsory = (8 * edges + 4 * nodes + 8 * nodes * r["width"]) / r["ms"] / 1e6
        results.add(work, "RN, a row read for each edge", r["gb_per_s"], "GB/s")
        results.share(work, "the same, of triad's bytes/s", r["gb_per_s"], triad)
        results.share(work, "RN, compulsory bytes, of triad's bytes/s", compulsory, triad)


def bench(args, results):
    if not args.torch:
        return
    for model in models(pathlib.Path(args.tmp)):
        if not any(name in model.name for name in args.models):
            continue
        if isinstance(model.model, pathlib.Path) and not model.data.exists():
            results.skip(f"{model.name}: no {model.data} (set RN_DATA)")
            continue
        bench_one(args, results, model)
        results.show()
