#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The HGT of examples/hgt-dblp-* with PyTorch Geometric's HGTConv, as its example has it.

usage: hgt_pyg.py DATA_DIR EPOCHS THREADS LAYERS [best]
best: with hgt-dblp-best's dropout of the features, and a vector for each conference.
"""
from peer import arguments, bag, ints, mask, table, torch, train

import torch.nn.functional as F
from torch_geometric.data import HeteroData
from torch_geometric.nn import HGTConv, Linear


class HGT(torch.nn.Module):
    def __init__(self, data, hidden, classes, heads, layers):
        super().__init__()
        self.lin = torch.nn.ModuleDict({t: Linear(-1, hidden) for t in data.node_types})
        self.convs = torch.nn.ModuleList(HGTConv(hidden, hidden, data.metadata(), heads) for _ in range(layers))
        self.out = Linear(hidden, classes)

    def forward(self, x, edge_index):
        if best:
            x = {t: F.dropout(v, 0.5, self.training and t in ("author", "paper")) for t, v in x.items()}
        x = {t: self.lin[t](v).relu() for t, v in x.items()}
        for conv in self.convs:
            x = conv(x, edge_index)
        return self.out(x["author"])


folder, epochs, more = arguments()
best = more[1:] == ["best"]
author, writes, term, published = (table(folder, t) for t in ("author", "writes", "has_term", "published_in"))
author_word, paper_word, features = (table(folder, t) for t in ("author_word", "paper_word", "term"))
y = ints(author["label"])
papers = len(table(folder, "paper")["paper_id"])
data = HeteroData()
data["author"].x = bag(ints(author_word["author_id"]), ints(author_word["word_id"]), (len(y), 334))
data["paper"].x = bag(ints(paper_word["paper_id"]), ints(paper_word["word_id"]), (papers, 4231),
                      ints(paper_word["count"]))
data["term"].x = torch.tensor([[float(v) for v in features[f"f{i}"]] for i in range(50)]).T.contiguous()
conferences = len(table(folder, "conference")["conf_id"])
data["conference"].x = torch.eye(conferences) if best else torch.ones(conferences, 1)
for t, to, key, rows in (("author", "author", "author_id", writes), ("term", "term", "term_id", term),
                         ("conference", "conf", "conf_id", published)):
    there = torch.stack([ints(rows["paper_id"]), ints(rows[key])])
    data["paper", f"to_{to}", t].edge_index = there
    data[t, f"{to}_of", "paper"].edge_index = there.flip(0)
training, test = mask(author["split"], "train"), mask(author["split"], "test")
model = HGT(data, 64, 4, 2, int(more[0]))
with torch.no_grad():
    model(data.x_dict, data.edge_index_dict)


def forward(learning):
    model.train(learning)
    return model(data.x_dict, data.edge_index_dict)


train(epochs, forward, lambda z: F.cross_entropy(z[training], y[training]), model.parameters(),
      lambda z: (z.argmax(1) == y)[test].float().mean().item(), lr=0.005, weight_decay=0.001)
