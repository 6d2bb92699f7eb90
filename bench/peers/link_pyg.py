#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The GAE of examples/link-cora with PyTorch Geometric's GCNConv: links, and 25 drawn ones for each.

usage: link_pyg.py DATA_DIR EPOCHS THREADS
"""
from peer import arguments, bag, ints, table, torch, train

import torch.nn.functional as F
from torch_geometric.nn import GCNConv


class GAE(torch.nn.Module):
    def __init__(self, width, hidden=32, d=16):
        super().__init__()
        self.conv1 = GCNConv(width, hidden, bias=False)
        self.conv2 = GCNConv(hidden, d, bias=False)

    def forward(self, x, edge_index):
        return self.conv2(self.conv1(x, edge_index).relu(), edge_index)


folder, epochs, _ = arguments()
words, cites = (table(folder, t) for t in ("has_word", "cites"))
n = len(table(folder, "paper")["paper_id"])
x = bag(ints(words["paper_id"]), ints(words["word_id"]), (n, 1433))
s, t = ints(cites["src"]), ints(cites["dst"])
links = torch.stack([s, t])[:, s < t]
links = links[:, torch.randperm(links.shape[1])]
kept = links[:, links.shape[1] * 15 // 100:]  # the others are for validation and test
edge_index = torch.cat([kept, kept.flip(0)], 1)
yes = torch.cat([edge_index, torch.arange(n).repeat(2, 1)], 1)
no = torch.stack([yes[0].repeat_interleave(25), torch.randint(n, (25 * yes.shape[1],))])
model = GAE(1433)


def loss(z):
    positive, negative = ((z[p[0]] * z[p[1]]).sum(1) for p in (yes, no))
    return (F.binary_cross_entropy_with_logits(positive, torch.ones_like(positive)) +
            F.binary_cross_entropy_with_logits(negative, torch.zeros_like(negative))) / 2


train(epochs, lambda learning: model(x, edge_index), loss, model.parameters(), lr=0.01)
