#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The HGNN of examples/hgnn-* in PyTorch with sparse matrices; or with PyTorch Geometric's HypergraphConv.

usage: hgnn_torch.py DATA_DIR EPOCHS THREADS torch|pyg WORDS
"""
from peer import arguments, bag, ints, mask, table, torch, train

import torch.nn.functional as F

folder, epochs, more = arguments()
node, inside, words, chosen = (table(folder, t) for t in ("node", "in_edge", "has_word", "train_node"))
y = ints(node["label"])
n, classes, hidden, width = len(y), int(y.max()) + 1, 32, int(more[1])
x = bag(ints(words["node_id"]), ints(words["word_id"]), (n, width))
x /= x.sum(1, keepdim=True).clamp(min=1)
v, e = ints(inside["node_id"]), ints(inside["edge_id"])
edges = int(e.max()) + 1
v, e = torch.cat([v, torch.arange(n)]), torch.cat([e, edges + torch.arange(n)])
edges += n
dv, de = torch.bincount(v, minlength=n).float(), torch.bincount(e, minlength=edges).float()
training = torch.zeros(n, dtype=torch.bool)
training[ints(chosen["node_id"])[mask(chosen["split_no"], "1")]] = True

if more[0] == "pyg":
    from torch_geometric.nn import HypergraphConv

    class HGNN(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = HypergraphConv(width, hidden)
            self.conv2 = HypergraphConv(hidden, classes)

        def forward(self, x, edge_index):
            x = F.dropout(x, 0.5, self.training)
            x = self.conv1(x, edge_index).relu()
            return self.conv2(F.dropout(x, 0.5, self.training), edge_index)

    model = HGNN()
    index = torch.stack([v, e])

    def forward(learning):
        model.train(learning)
        return model(x, index)
else:
    w1, w2 = torch.nn.Linear(width, hidden), torch.nn.Linear(hidden, classes)
    model = torch.nn.ModuleList([w1, w2])
    scatter = torch.sparse_coo_tensor(torch.stack([v, e]), dv[v].rsqrt(), (n, edges)).coalesce().to_sparse_csr()
    gather = torch.sparse_coo_tensor(torch.stack([e, v]), dv[v].rsqrt() / de[e],
                                     (edges, n)).coalesce().to_sparse_csr()

    def forward(learning):
        h = scatter @ (gather @ w1(F.dropout(x, 0.5, learning)))
        return scatter @ (gather @ w2(F.dropout(h.relu(), 0.5, learning)))


train(epochs, forward, lambda z: F.cross_entropy(z[training], y[training]), model.parameters(),
      lambda z: (z.argmax(1) == y)[~training].float().mean().item(), lr=0.01, weight_decay=5e-4)
