#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The GCN of examples/gcn-cora and gcn-citeseer with PyTorch Geometric, as its tutorial has it: dense features.

usage: gcn_pyg.py DATA_DIR EPOCHS THREADS WORDS
"""
from peer import arguments, bag, ints, mask, table, torch, train

import torch.nn.functional as F
from torch_geometric.nn import GCNConv


class GCN(torch.nn.Module):
    def __init__(self, width, hidden, classes):
        super().__init__()
        self.conv1 = GCNConv(width, hidden, bias=False)
        self.conv2 = GCNConv(hidden, classes, bias=False)

    def forward(self, x, edge_index):
        x = F.dropout(x, 0.5, self.training)
        x = self.conv1(x, edge_index).relu()
        x = F.dropout(x, 0.5, self.training)
        return self.conv2(x, edge_index)


folder, epochs, more = arguments()
paper, words, cites = (table(folder, t) for t in ("paper", "has_word", "cites"))
y = ints(paper["label"])
x = bag(ints(words["paper_id"]), ints(words["word_id"]), (len(y), int(more[0])))
x /= x.sum(1, keepdim=True).clamp(min=1)
edge_index = torch.stack([ints(cites["src"]), ints(cites["dst"])])
training, test = mask(paper["split"], "train"), mask(paper["split"], "test")
model = GCN(x.shape[1], 16, int(y.max()) + 1)


def forward(learning):
    model.train(learning)
    return model(x, edge_index)


train(epochs, forward, lambda z: F.cross_entropy(z[training], y[training]),
      model.parameters(), lambda z: (z.argmax(1) == y)[test].float().mean().item(),
      lr=0.01, weight_decay=5e-4)
