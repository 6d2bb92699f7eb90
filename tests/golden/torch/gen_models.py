#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files that tests/cli/torch.bats compares the networks of the examples with.

The programs are those of the examples, with small tables and narrow layers.  For each there is
a folder of tables and a text file with initial weights, outputs, the loss, and its gradients, by
PyTorch in float64 from weights that are exact in float32.  PyTorch is needed here only.

    python gen_models.py       in any folder; the files go to models/ beside this one

Weights are [in, out] and have RN's names; a network asks for them by name and shape.
"""
import csv
import pathlib

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent / "models"
torch.set_default_dtype(torch.float64)


class Weights:
    """Random ones, made when first asked for; in float32, those of the last network."""
    last = {}

    def __init__(self):
        self.all = {}

    def __call__(self, name, *shape):
        if name not in self.all:
            if torch.get_default_dtype() == torch.float32:
                t = self.last[name].detach().to(torch.float32)
            else:
                t = (torch.randn(*shape) * 0.5).round(decimals=4).to(torch.float32).to(torch.float64)
            self.all[name] = t.requires_grad_()
        assert self.all[name].shape == shape, name
        return self.all[name]

    def linear(self, name, x, out, bias=True):
        z = x @ self(f"{name}.weight", x.shape[-1], out)
        return z + self(f"{name}.bias", out) if bias else z


def table(folder, name, columns):
    (HERE / folder).mkdir(parents=True, exist_ok=True)
    with open(HERE / folder / f"{name}.csv", "w", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(columns)
        w.writerows(zip(*columns.values()))


def rows_of(t):
    t = t.detach()
    t = t.reshape(-1, 1) if t.dim() < 2 else t.reshape(t.shape[0], -1)
    return "".join(" ".join(f"{x + 0.0:.10g}" for x in row) + "\n" for row in t.tolist())


def golden(name, w, ids, logits, rows, label):
    """Blocks start:PARAMETER, outputs (behind the ids), loss, gradient:PARAMETER; float32: see twice."""
    loss = F.cross_entropy(logits[rows], label[rows])
    loss.backward()
    if torch.get_default_dtype() == torch.float32:
        off = max(float((t.grad - w.last[p].grad).abs().max() / w.last[p].grad.abs().max())
                  for p, t in w.all.items() if w.last[p].grad.abs().max() > 1e-7)
        with open(HERE / f"{name}.txt", "a") as f:
            f.write(f"= float32\n{off:.2g}\n")
        return
    Weights.last = w.all
    with open(HERE / f"{name}.txt", "w") as f:
        f.write(f"# gen_models.py wrote this with PyTorch {torch.__version__.split('+')[0]}.\n")
        f.write("= loss\n" + rows_of(loss))
        f.write("= outputs\n" + rows_of(torch.cat([torch.tensor(ids)[:, None], logits], 1)))
        for p, t in w.all.items():
            f.write(f"= start:{p}{inner(t)}\n" + rows_of(t))
        for p, t in w.all.items():
            g = torch.zeros_like(t) if t.grad is None else t.grad
            f.write(f"= gradient:{p}{inner(t)}\n" + rows_of(g))


def inner(t):
    """What torch.bats needs to know of a parameter of rank 3, beside its rows: the second size."""
    return f":{t.shape[1]}" if t.dim() == 3 else ""


def dense(n, m, pairs, values=None):
    """The n x m matrix with these entries."""
    a = torch.zeros(n, m)
    for k, (i, j) in enumerate(pairs):
        a[i, j] += 1 if values is None else values[k]
    return a


def pairs(n, m, count):
    """So many different ones; the last row and the last column stay empty."""
    at = torch.randperm((n - 1) * (m - 1))[:count].tolist()
    return sorted((k // (m - 1), k % (m - 1)) for k in at)


def columns(pairs, a, b):
    return {a: [p[0] for p in pairs], b: [p[1] for p in pairs]}


def twice(network, seed):
    """Also how far off PyTorch's own gradients are in float32, of the largest in their parameter: where
    sums are standardised, what they are scaled by all but cancels."""
    for dtype in torch.float64, torch.float32:
        torch.set_default_dtype(dtype)
        torch.manual_seed(seed)
        network()
    torch.set_default_dtype(torch.float64)


# ---- heterogeneous graph transformer ---------------------------------------------------------

SIZE = {"Author": 6, "Paper": 8, "Term": 5, "Conference": 3}
WORDS = {"Author": 5, "Paper": 7}
SPLIT = ["train", "train", "val", "train", "test", "train"]
CLASS = [0, 1, 2, 2, 0, 1]
D, HEADS, CLASSES = 4, 2, 3


def dblp():
    """The tables, and what the network takes from them."""
    author_word, paper_word = pairs(6, 6, 11), pairs(8, 8, 20)
    count = torch.randint(1, 4, (20,)).tolist()
    writes, has_term, published = pairs(8, 6, 12), pairs(8, 5, 14), [(p, p % 2) for p in range(7)]
    term = (torch.randn(5, 3) * 10).round().div(8)
    table("dblp", "author", {"author_id": range(6), "name": "abcdef", "label": CLASS, "split": SPLIT})
    table("dblp", "paper", {"paper_id": range(8), "title": "abcdefgh"})
    table("dblp", "term", {"term_id": range(5)} | {f"f{i}": term[:, i].tolist() for i in range(3)})
    table("dblp", "conference", {"conf_id": range(3), "name": "abc"})
    table("dblp", "author_word", columns(author_word, "author_id", "word_id"))
    table("dblp", "paper_word", columns(paper_word, "paper_id", "word_id") | {"count": count})
    table("dblp", "writes", columns(writes, "paper_id", "author_id"))
    table("dblp", "has_term", columns(has_term, "paper_id", "term_id"))
    table("dblp", "published_in", columns(published, "paper_id", "conf_id"))
    x = {"Author": dense(6, 5, author_word), "Paper": dense(8, 7, paper_word, count), "Term": term,
         "Conference": torch.ones(3, 1)}
    edges = {"PaperAuthor": ("Paper", "Author", writes),
             "AuthorPaper": ("Author", "Paper", [(a, p) for p, a in writes]),
             "TermPaper": ("Term", "Paper", [(t, p) for p, t in has_term]),
             "ConferencePaper": ("Conference", "Paper", [(c, p) for p, c in published])}
    return x, edges


def hgt(name, layers, norm, x, edges):
    w = Weights()
    dh = D // HEADS

    def hidden(kind, layer):
        if not layer:
            return F.relu(w.linear(f"H<{kind},0>", x[kind], D))
        agg = torch.cat([attention(kind, layer, i) for i in range(1, HEADS + 1)], 1)
        gate = torch.sigmoid(w(f"Skip<{layer},{kind}>.weight", 1))
        z = gate * w.linear(f"A<{layer},{kind}>", F.gelu(agg), D) + (1 - gate) * hidden(kind, layer - 1)
        if norm:
            n = f"Norm<{layer},{kind},1>"
            z = F.layer_norm(z, (D,), w(f"{n}.weight", D), w(f"{n}.bias", D))
        return z

    def attention(kind, layer, i):
        """One head: a softmax over all edges into a row, of whatever type."""
        score, message, target = [], [], []
        for r, (source, to, e) in edges.items():
            if to != kind:
                continue
            h = hidden(source, layer - 1)
            s, t = torch.tensor([p[0] for p in e]), torch.tensor([p[1] for p in e])
            q = w.linear(f"Q<{layer},{kind},{i}>", hidden(kind, layer - 1), dh)
            k = w.linear(f"WAtt<{layer},{r},{i}>", w.linear(f"K<{layer},{source},{i}>", h, dh), dh, False)
            v = w.linear(f"WMsg<{layer},{r},{i}>", w.linear(f"V<{layer},{source},{i}>", h, dh), dh, False)
            score.append((q[t] * k[s]).sum(1) * w(f"Mu<{layer},{r},{i}>.weight", 1) / dh ** 0.5)
            message.append(v[s])
            target.append(t)
        score, message, target = torch.cat(score), torch.cat(message), torch.cat(target)
        out = []
        for n in range(SIZE[kind]):
            at = target == n
            out.append(torch.softmax(score[at], 0) @ message[at] if at.any() else torch.zeros(dh))
        return torch.stack(out)

    logits = w.linear("Logits", hidden("Author", layers), CLASSES)
    rows = torch.tensor([s == "train" for s in SPLIT])
    golden(name, w, range(6), logits, rows, torch.tensor(CLASS))


# ---- hypergraphs -------------------------------------------------------------------------------


def hypergraph():
    n, m = 9, 5
    inside, has = pairs(m, n, 15), pairs(n, 7, 22)
    label = torch.randint(0, 3, (n,))
    train = [0, 2, 3, 5, 8]
    table("hypergraph", "node", {"node_id": range(n), "label": label.tolist(), "split": ["train"] * n})
    table("hypergraph", "in_edge", columns(inside, "edge_id", "node_id"))
    table("hypergraph", "has_word", columns(has, "node_id", "word_id"))
    table("hypergraph", "train_node", {"split_no": [1] * 5 + [2] * 2, "node_id": train + [1, 4]})
    x = dense(n, 6, has)
    x = x / x.sum(1, keepdim=True).clamp(1, 1e9)
    return x, dense(m, n, inside), torch.tensor(train), label


def hgnn(x, inside, train, label):
    w = Weights()
    inside = inside[inside.sum(1) > 0]
    h = torch.cat([inside, torch.eye(len(x))]).T
    node, edge = h.sum(1).rsqrt(), 1 / h.sum(0)
    propagate = node[:, None] * h * edge @ h.T * node
    z = propagate @ w.linear("H1", x, 4)
    z = propagate @ w.linear("H2", F.relu(z), 3)
    golden("hgnn", w, range(len(x)), z, train, label)


def hygnn(x, inside, train, label):
    w = Weights()
    d, q = 4, 3
    p = w.linear("P", x, d)
    authors = inside.sum(1) > 0
    some = inside[authors]
    weight = torch.where(some > 0, 0.0, -torch.inf)  # [author, paper]
    same = w("X.weight", d).expand(len(some), d)
    a = F.leaky_relu(w.linear("W3", same, q) @ w.linear("W2", p, q).T / q ** 0.5, 0.01)
    e = torch.softmax(a + weight, 1) @ w.linear("W1", p, d)
    b = F.leaky_relu(w.linear("W5", e, q) @ w.linear("W6", p, q).T / q ** 0.5, 0.01)
    written = some.sum(0) > 0
    out = torch.zeros(len(p), d)
    out[written] = (torch.softmax((b + weight)[:, written], 0).T @ w.linear("W4", e, d))
    z = w.linear("Logits", torch.cat([out, p], 1), 3)
    golden("hygnn", w, range(len(x)), z, train, label)


# ---- graph classification -----------------------------------------------------------------------


def graphs(folder, sizes, edges, ids, extra):
    """Graphs with so many nodes and edges: adjacency of all, and the graph of each node."""
    of = torch.tensor([g for g, n in enumerate(sizes) for _ in range(n)])
    adj = torch.zeros(len(of), len(of))
    at = 0
    for n, m in zip(sizes, edges):
        may = [(i, j) for i in range(n) for j in range(i)]
        for k in torch.randperm(len(may))[:m].tolist():
            i, j = may[k]
            adj[at + i, at + j] = adj[at + j, at + i] = 1
        at += n
    kind = torch.randint(0, 2, (len(of),))
    node = {"node_id": range(len(of)), "graph_id": [ids[g] for g in of]}
    table(folder, "node", node | ({"type": kind.tolist()} if "pair_id" in extra else {}))
    table(folder, "edge", columns(adj.nonzero().tolist(), "src", "dst"))
    table(folder, "graph", {"graph_id": ids, "label": [k % 2 for k in range(len(ids))]} | extra)
    return adj, of, kind.to(torch.get_default_dtype())[:, None], torch.tensor([k % 2 for k in range(len(ids))])


def standard(x, rows):
    x = torch.sign(x) * torch.log1p(x.abs())
    mean = x[rows].mean(0)
    return (x - mean) / torch.sqrt(((x[rows] - mean) ** 2).mean(0) + 1e-5)


def mlp(w, names, x, h, d):
    for name, out in zip(names, (h, h, d)):
        x = w.linear(name, x, out)
        x = F.relu(x) if name != names[-1] else x
    return x


def walks(adj, maps):
    """Per channel the diagonal of D_0 A D_1 A ... A."""
    out = []
    for c in range(maps[0].shape[1]):
        m = torch.diag(maps[0][:, c]) @ adj
        for x in maps[1:]:
            m = m @ torch.diag(x[:, c]) @ adj
        out.append(m.diagonal())
    return torch.stack(out, 1)


def pool(z, of):
    return torch.zeros(int(of.max()) + 1, z.shape[1]).index_add(0, of, z)


H = ["H.linear1", "H.linear2", "H.linear3"]


def dhn_csl():
    adj, of, _, label = graphs("csl", [5, 4, 6, 5], [7, 4, 8, 6], range(4),
                               {"skip": [2] * 4, "fold": [1, 2, 0, 3]})
    w, d, h, most = Weights(), 3, 4, 4
    z = []
    for p in range(2, most + 1):
        maps = [mlp(w, [f"Lin{k}<{p},{i}>" for k in (1, 2, 3)], torch.ones(len(of), 1), h, d)
                for i in range(p)]
        z.append(walks(adj, maps))
    fit = of != 2
    z = mlp(w, H, standard(torch.cat(z, 1), fit), h, d)
    golden("dhn-csl", w, range(4), w.linear("Logits", pool(z, of), 10), torch.tensor([0, 1, 3]), label)


def dhn_exp():
    ids = [0, 1, 120, 121, 228, 229, 240, 241]  # tested, two to choose by, trained
    adj, of, kind, label = graphs("exp", [5, 4, 4, 5, 6, 5, 4, 5], [6, 4, 5, 6, 8, 7, 4, 7], ids,
                                  {"pair_id": [0, 0, 1, 1, 2, 2, 3, 3], "fold": [0, 0, 1, 1, 1, 1, 2, 2]})
    w, d, h = Weights(), 3, 4
    trained = torch.tensor([4, 5, 6, 7])
    x, fit = kind, of >= 4
    for layer, most in ((1, 4), (2, 2)):
        z = []
        for p in range(2, most + 1):
            z.append(walks(adj, [mlp(w, [f"Lin{k}<{layer},{p},{i}>" for k in (1, 2, 3)], x, h, d)
                                 for i in range(p)]))
        name = f"H<{layer}>"
        x = mlp(w, [f"In<{layer}>", f"{name}.linear1", f"{name}.linear2"],
                standard(torch.cat(z, 1), fit), h, d)
    z = standard(pool(x, of), trained)
    golden("dhn-exp", w, ids, w.linear("Logits", z, 2), trained, label)


def dhn_sr25():
    adj, of, _, label = graphs("sr25", [6, 6, 7], [13, 12, 17], range(3), {})
    w, d, h = Weights(), 3, 4
    x = torch.ones(len(of), 1)
    sums = {2: "ra,ac->rc", 3: "ra,ab,rb,ac,bc->rc", 4: "ra,ab,rb,bd,rd,ad,ac,bc,dc->rc",
            5: "ra,ab,rb,bd,rd,ad,de,re,ae,be,ac,bc,dc,ec->rc"}
    each = [(of == g).nonzero()[:, 0] for g in range(int(of.max()) + 1)]
    for layer in (1, 2):
        z = []
        for p in range(2, 6):
            maps = [mlp(w, [f"Lin{k}<{layer},{p},{i}>" for k in (1, 2, 3)], x, h, d) for i in range(p)]
            rooted = [torch.einsum(sums[p], *[adj[g][:, g]] * (p * (p - 1) // 2), *[m[g] for m in maps[1:]])
                      for g in each]
            z.append(maps[0] * torch.cat(rooted))
        name = f"H<{layer}>"
        x = mlp(w, [f"{name}.linear{k}" for k in (1, 2, 3)],
                standard(torch.cat(z, 1), torch.ones(len(of), dtype=bool)), h, d)
    z = standard(pool(x, of), torch.arange(3))
    golden("dhn-sr25", w, range(3), w.linear("Logits", z, 15), torch.arange(3), label)


# ---- relational graph convolution -----------------------------------------------------------------


def rgcn():
    n, d, bases, classes = 8, 3, 2, 3
    triples = {r: pairs(n, n, 9) for r in ("likes", "knows")}
    label = [0, 1, 2, 1, 0, 2, 1, 0]
    split = ["train", "test", "train", "train", "test", "train", "train", "train"]
    table("rdf", "triple", {"subject": [s for e in triples.values() for s, _ in e],
                            "predicate": [r for r, e in triples.items() for _ in e],
                            "object": [o for e in triples.values() for _, o in e]})
    table("rdf", "relation", {"predicate": ["likes", "likes", "knows", "knows"],
                              "direction": ["out", "in", "out", "in"]})
    table("rdf", "node", {"node_id": range(n), "kind": ["person"] * n, "label": label, "split": split})
    w = Weights()

    def into(layer, basis, self, out):
        z = self
        for r, e in triples.items():
            for way in ("out", "in"):
                a = dense(n, n, [(t, s) if way == "out" else (s, t) for s, t in e])
                a = a / a.sum(1, keepdim=True).clamp(min=1)
                mix = w(f"Mix<{layer},{r},{way}>.weight", 1, bases)
                z = z + a @ (mix @ basis.reshape(n, bases, out)).reshape(n, out)
        return z

    h = F.relu(into(1, w("Basis<1>.weight", n, bases * d), w("Self<1>.weight", n, d), d))
    z = into(2, w.linear("Basis<2>", h, bases * classes, False), w.linear("Self<2>", h, classes), classes)
    rows, label = torch.tensor([s == "train" for s in split]), torch.tensor(label)
    golden("rgcn", w, range(n), z, rows, label)
    return n, triples, rows, label


def rgcn_per(n, triples, rows, label):
    """The network of rgcn_per.relnn: a matrix for each value of a column."""
    edges = {}
    for r, e in triples.items():
        edges[r], edges[f"{r} of"] = e, [(t, s) for s, t in e]
    table("rdf", "edge", {"s": [s for e in edges.values() for s, _ in e],
                          "r": [r for r, e in edges.items() for _ in e],
                          "t": [t for e in edges.values() for _, t in e]})
    w = Weights()
    mean = []  # by relation, in the order of the edges
    for e in edges.values():
        a = dense(n, n, [(t, s) for s, t in e])
        mean.append(a / a.sum(1, keepdim=True).clamp(min=1))
    mean = torch.stack(mean)
    x = w("X.weight", n, 4)
    each = torch.einsum("rb,bio->rio", w("Agg<1>.coef", 4, 2), w("Agg<1>.basis", 2, 4, 3))
    h = F.relu(w.linear("H", x, 3) + torch.einsum("rts,si,rio->to", mean, x, each))
    z = w.linear("Logits", h, 3) + torch.einsum("rts,si,rio->to", mean, h, w("Agg<2>.weight", 4, 3, 3))
    golden("rgcn-per", w, range(n), z, rows, label)


# ---- graph convolution --------------------------------------------------------------------------


def gcn():
    """The network of gcn-cora, without dropout."""
    n = 9
    cites = [(s, t) for s, t in pairs(n, n, 11) if s != t]
    cites = sorted({e for s, t in cites for e in ((s, t), (t, s))})
    has = pairs(n, 7, 22)
    label = torch.randint(0, 3, (n,))
    split = ["train", "val", "train", "train", "test", "train", "train", "val", "train"]
    table("citations", "paper", {"paper_id": range(n), "label": label.tolist(), "split": split})
    table("citations", "cites", columns(cites, "src", "dst"))
    table("citations", "has_word", columns(has, "paper_id", "word_id"))
    w = Weights()
    x = dense(n, 6, has)
    x = x / x.sum(1, keepdim=True).clamp(1, 1e9)
    a = dense(n, n, cites) + torch.eye(n)
    d = a.sum(1).rsqrt()
    a = d[:, None] * a * d
    z = a @ w.linear("h2", F.relu(a @ w.linear("h1", x, 4, False)), 3, False)
    golden("gcn", w, range(n), z, torch.tensor([s == "train" for s in split]), label)


def main():
    torch.manual_seed(7)
    x, edges = dblp()
    hgt("hgt-1l", 1, False, x, edges)
    hgt("hgt-2l", 2, False, x, edges)
    hgt("hgt-2l-norm", 2, True, x, edges)
    h = hypergraph()
    hgnn(*h)
    hygnn(*h)
    # seeds where PyTorch's own gradients in float32 are near those in float64
    for network, seed in (dhn_csl, 5), (dhn_exp, 73), (dhn_sr25, 13):
        twice(network, seed)
    torch.manual_seed(1)
    gcn()
    torch.manual_seed(1)
    rgcn_per(*rgcn())


if __name__ == "__main__":
    main()
