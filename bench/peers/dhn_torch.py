#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A deep homomorphism network of examples/dhn-* in PyTorch by enumeration, as its authors have it: each closed walk
or ordered clique is a row, made once, and in each layer the products of rows are summed into their roots.

usage: dhn_torch.py DATA_DIR EPOCHS THREADS PATTERNS [GRAPHS]
PATTERNS: of each layer the patterns, C or K and how many nodes they have: C2-5,C2 or K2-5,K2-5 or C8.
Only the first GRAPHS graphs are taken: the longer walks of all do not fit in memory.
"""
from peer import arguments, ints, table, torch, train

import torch.nn.functional as F

folder, epochs, more = arguments()
node, edge, graphs = (table(folder, t) for t in ("node", "edge", "graph"))
graph, y = ints(node["graph_id"]), ints(graphs["label"])
classes = int(y.max()) + 1
y = y[:int(more[1])] if len(more) > 1 else y
n, d, h = int((graph < len(y)).sum()), 10, 20
graph, src, dst = graph[:n], ints(edge["src"]), ints(edge["dst"])
src, dst = src[src < n], dst[src < n]
order = torch.argsort(src * n + dst)
src, dst = src[order], dst[order]
edges = src * n + dst
degree = torch.bincount(src, minlength=n)
start = torch.cumsum(degree, 0) - degree


def connected(a, b):
    key = a * n + b
    return edges[torch.searchsorted(edges, key).clamp(max=len(edges) - 1)] == key


def step(rows):
    """Each row, longer by each neighbour of its last node."""
    times = degree[rows[:, -1]]
    row = torch.repeat_interleave(torch.arange(len(rows)), times)
    within = torch.arange(len(row)) - torch.repeat_interleave(torch.cumsum(times, 0) - times, times)
    return torch.cat([rows[row], dst[start[rows[row, -1]] + within, None]], 1)


def enumerate_rows(kind, size):
    rows = torch.arange(n)[:, None]
    for _ in range(size - 1):
        rows = step(rows)
        for i in range(rows.shape[1] - 2 if kind == "K" else 0):
            rows = rows[connected(rows[:, i], rows[:, -1])]
    return rows[connected(rows[:, -1], rows[:, 0])]


def perceptron(width):
    return torch.nn.Sequential(torch.nn.Linear(width, h), torch.nn.ReLU(), torch.nn.Linear(h, h), torch.nn.ReLU(),
                               torch.nn.Linear(h, d))


def standard(z):
    z = z.sign() * z.abs().log1p()
    return (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()


class Layer(torch.nn.Module):
    def __init__(self, width, patterns):
        super().__init__()
        self.rows = patterns
        self.mu = torch.nn.ModuleList(torch.nn.ModuleList(perceptron(width) for _ in range(r.shape[1]))
                                      for r in patterns)
        self.out = perceptron(d * len(patterns))

    def forward(self, x):
        sums = []
        for mu, rows in zip(self.mu, self.rows):
            m = mu[1](x)[rows[:, 1]]
            for i in range(2, rows.shape[1]):
                m = m * mu[i](x)[rows[:, i]]
            sums.append(mu[0](x) * torch.zeros(n, d).index_add(0, rows[:, 0], m))
        return self.out(standard(torch.cat(sums, 1)))


class Net(torch.nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = torch.nn.ModuleList(Layer(d if i else x.shape[1], p) for i, p in enumerate(layers))
        self.out = torch.nn.Linear(d, classes)

    def forward(self, learning):
        z = x
        for layer in self.layers:
            z = layer(z)
        return self.out(torch.zeros(len(y), d).index_add(0, graph, z))


x = ints(node["type"]).float()[:n, None] if "type" in node else torch.ones(n, 1)
layers = []
for text in more[0].split(","):
    low, _, high = text[1:].partition("-")
    layers.append([enumerate_rows(text[0], size) for size in range(int(low), int(high or low) + 1)])
net = Net(layers)
train(epochs, net, lambda z: F.cross_entropy(z, y), net.parameters(),
      lambda z: (z.argmax(1) == y).float().mean().item(), lr=0.01)
