#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One closed-walk pattern of a deep homomorphism network in PyTorch by enumeration: every walk of K steps on CSL is
a row, and its product is summed into its root.  (The DHN authors enumerate likewise.)

usage: dhn_torch.py DATA_DIR EPOCHS THREADS K [GRAPHS]
Only the first GRAPHS graphs are taken: beyond K = 6 the walks of all of them do not fit in memory.
"""
from peer import arguments, ints, table, torch, train

folder, epochs, more = arguments()
k, graphs = int(more[0]), int(more[1]) if len(more) > 1 else 150
node, edge = table(folder, "node"), table(folder, "edge")
graph = ints(node["graph_id"])
n = int((graph < graphs).sum())
columns = list(edge)[-2:]
src, dst = (ints(edge[c]) for c in columns)
src, dst = src[src < n], dst[src < n]
order = torch.argsort(src, stable=True)
src, dst = src[order], dst[order]
degree = torch.bincount(src, minlength=n)
start = torch.cumsum(degree, 0) - degree

walks = torch.arange(n)[:, None]
for _ in range(k - 1):
    last = walks[:, -1]
    times = degree[last]
    row = torch.repeat_interleave(torch.arange(len(walks)), times)
    within = torch.arange(len(row)) - torch.repeat_interleave(torch.cumsum(times, 0) - times, times)
    walks = torch.cat([walks[row], dst[start[last[row]] + within, None]], 1)
edges = torch.sort(src * n + dst).values
back = walks[:, -1] * n + walks[:, 0]
walks = walks[edges[torch.searchsorted(edges, back).clamp(max=len(edges) - 1)] == back]


class Net(torch.nn.Module):
    def __init__(self, d=10, h=20):
        super().__init__()
        self.mu = torch.nn.ModuleList(torch.nn.Sequential(
            torch.nn.Linear(1, h), torch.nn.ReLU(), torch.nn.Linear(h, h), torch.nn.ReLU(),
            torch.nn.Linear(h, d)) for _ in range(k))
        self.out = torch.nn.Linear(d, 10)

    def forward(self, learning):
        one = torch.ones(n, 1)
        m = self.mu[0](one)[walks[:, 0]]
        for i in range(1, k):
            m = m * self.mu[i](one)[walks[:, i]]
        m = torch.zeros(n, m.shape[1]).index_add(0, walks[:, 0], m)
        return self.out(torch.sign(m) * torch.log1p(m.abs()))


net = Net()
train(epochs, net, lambda z: (z * z).mean(), net.parameters(), lr=0.01)
