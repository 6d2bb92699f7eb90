#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The HyGNN of examples/hygnn-coauthorship-cora in PyTorch, with PyTorch Geometric's softmax.

usage: hygnn_torch.py DATA_DIR EPOCHS THREADS
"""
from peer import arguments, bag, ints, mask, table, torch, train

import torch.nn.functional as F
from torch_geometric.utils import scatter, softmax


class Attention(torch.nn.Module):
    def __init__(self, d, q):
        super().__init__()
        self.value, self.key, self.query = (torch.nn.Linear(d, w) for w in (d, q, q))
        self.scale = q ** -0.5

    def forward(self, x, y, source, target):
        a = (self.key(x)[source] * self.query(y)[target]).sum(-1) * self.scale
        a = softmax(F.leaky_relu(a, 0.01), target, num_nodes=len(y))
        return scatter(a[:, None] * self.value(x)[source], target, 0, len(y), "sum")


class HyGNN(torch.nn.Module):
    def __init__(self, words, authors, classes, d=128, q=64):
        super().__init__()
        self.paper = torch.nn.Linear(words, d)
        self.author = torch.nn.Parameter(torch.ones(1, d))
        self.up, self.down = Attention(d, q), Attention(d, q)
        self.out = torch.nn.Linear(2 * d, classes)
        self.authors = authors

    def forward(self, x, paper, author):
        p = self.paper(F.dropout(x, 0.5, self.training))
        s = self.up(p, self.author.expand(self.authors, -1), paper, author)
        e = self.down(s, p, author, paper)
        return self.out(F.dropout(torch.cat([e, p], 1), 0.5, self.training))


folder, epochs, _ = arguments()
node, inside, words, chosen = (table(folder, t) for t in ("node", "in_edge", "has_word", "train_node"))
y = ints(node["label"])
x = bag(ints(words["node_id"]), ints(words["word_id"]), (len(y), 1433))
x /= x.sum(1, keepdim=True).clamp(min=1)
paper, author = ints(inside["node_id"]), ints(inside["edge_id"])
training = torch.zeros(len(y), dtype=torch.bool)
training[ints(chosen["node_id"])[mask(chosen["split_no"], "1")]] = True
model = HyGNN(1433, int(author.max()) + 1, int(y.max()) + 1)


def forward(learning):
    model.train(learning)
    return model(x, paper, author)


train(epochs, forward, lambda z: F.cross_entropy(z[training], y[training]), model.parameters(),
      lambda z: (z.argmax(1) == y)[~training].float().mean().item(), lr=0.005, weight_decay=5e-4)
