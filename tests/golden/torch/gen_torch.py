#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the golden files that tests/cli/torch.bats compares RN with.

PyTorch and scikit-learn are the oracles and are needed here only; the tests need
neither.  All is computed in float64 from inputs and weights that are exact in
float32, so that what a comparison shows is RN's own rounding.

    python gen_torch.py        in any folder; the files go beside this one

A golden file is blocks: a line `= HEADER`, then rows of numbers.  `#` begins a
comment.  A weight is [in, out], as RN keeps it (PyTorch: [out, in]).
"""
import csv
import math
import pathlib

import sklearn
import sklearn.metrics as skm
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
KARATE = HERE.parents[2] / "examples" / "karate"
D = torch.float64
torch.set_default_dtype(D)
torch.manual_seed(5)

BIG = 3e38  # near float32's largest


# ---- writing --------------------------------------------------------------------------------


def exact(t):
    """The nearest float32 values, as float64."""
    return torch.as_tensor(t, dtype=torch.float32).to(D)


def number(x, digits):
    x = float(x)
    if math.isnan(x):
        return "nan"
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    return f"{x + 0.0:.{digits}g}"  # no -0


def rows_of(t, digits=10):
    """A vector is a column."""
    t = torch.as_tensor(t, dtype=D).detach()
    t = t.reshape(-1, 1) if t.dim() < 2 else t.reshape(t.shape[0], -1)
    return "".join(" ".join(number(x, digits) for x in row) + "\n" for row in t)


class Blocks:
    def __init__(self, name, what):
        self.f = open(HERE / name, "w")
        version = torch.__version__.split("+")[0]
        self.f.write(f"# {what}\n# gen_torch.py wrote this with PyTorch {version} and scikit-learn "
                     f"{sklearn.__version__}.\n")

    def add(self, header, values, digits=10):
        self.f.write(f"= {header}\n{rows_of(values, digits)}")


def table(name, columns):
    """A CSV file; floats are written so that they read back as they are."""
    with open(HERE / name, "w", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(columns)
        for row in zip(*columns.values()):
            w.writerow(number(x, 9) if isinstance(x, float) else x for x in row)


# ---- forward and gradient of functions ---------------------------------------------------------

GRID = exact([0, 1e-40, 1e-10, -1e-10, 1e-4, -1e-4, 0.1, -0.1, 0.5, -0.5, 0.625, 1, -1, 1.5, -1.5,
              2, -2, 2.5, -3, 4, -5, 8, -9, 9.5, 12, -14, 19.5, -20, 20.5, 30, -30, 60])
EXTREME = exact([88, -87, 89, -89, 100, -103, -110, 1e4, -1e4, 1e10, -1e10, 1e19, -1e19, BIG, -BIG,
                 math.inf, -math.inf])
WIDE = exact([[0, 0, 0, 0, 0], [1, 2, 3, 4, 5], [0.3, -0.7, 1.9, -2.4, 0.1],
              [100, 99, -100, 0, 50], [1e4, -1e4, 1e4, 0, 1], [88, 89, 90, -90, 3],
              [1e-6, -1e-6, 2e-6, 0, 3e-6], [7, 7, 7, -7, -7]])
POSITIVE = exact([1e-10, 1e-4, 0.01, 0.1, 0.5, 0.7, 1, 1.4142, 1.5, 2, 2.5, 5, 20, 60, 1000, 1e6])
MIX = exact([1, -0.5, 0.25, 2, -1.5])

# RN's expression, PyTorch's, and the absolute error that cancellation near 1 costs a float32,
# PyTorch's float32 as well: in values 1 + erf(x) and 1 + tanh(x), in derivatives 1 - y.
NEAR_ONE = 4e-7
SLOPE_ERROR = {"GELU": 1e-6, "gelu": 1e-6, "Tanh": 1.2e-7, "tanh": 1.2e-7, "Sigmoid": 1.2e-7,
               "sigmoid": 1.2e-7, "ELU": 1.2e-7, "elu": 1.2e-7}
ELEMENTWISE = [
    ("Identity()(z)", lambda x: x * 1, 0),
    ("ReLU(z)", F.relu, 0), ("ReLU()(z)", F.relu, 0), ("relu(z)", F.relu, 0),
    ("LeakyReLU(z)", F.leaky_relu, 0), ("LeakyReLU(0.2)(z)", lambda x: F.leaky_relu(x, 0.2), 0),
    ("leaky_relu(z)", F.leaky_relu, 0),
    ("ELU(z)", F.elu, 0), ("ELU(alpha=0.5)(z)", lambda x: F.elu(x, 0.5), 0), ("elu(z)", F.elu, 0),
    ("GELU(z)", F.gelu, NEAR_ONE), ("gelu(z)", F.gelu, NEAR_ONE),
    ('GELU(approximate="tanh")(z)', lambda x: F.gelu(x, approximate="tanh"), NEAR_ONE),
    ("SiLU(z)", F.silu, 0), ("silu(z)", F.silu, 0),
    ("Tanh(z)", torch.tanh, 0), ("tanh(z)", torch.tanh, 0),
    ("Sigmoid(z)", torch.sigmoid, 0), ("sigmoid(z)", torch.sigmoid, 0),
    ("Softplus(z)", F.softplus, 0), ("softplus(z)", F.softplus, 0),
    ("Softplus(2)(z)", lambda x: F.softplus(x, 2), 0),
    ("Softplus(0.5, threshold=10)(z)", lambda x: F.softplus(x, 0.5, 10), 0),
    ("exp(z)", torch.exp, 0), ("log(z)", torch.log, 0), ("log1p(z)", torch.log1p, 0),
    ("sqrt(z)", torch.sqrt, 0), ("abs(z)", torch.abs, 0), ("sign(z)", torch.sign, 0),
    ("round(z)", torch.round, 0), ("erf(z)", torch.erf, 0),
    ("clamp(z, -1.25, 2.25)", lambda x: torch.clamp(x, -1.25, 2.25), 0),
    ("minimum(z, 0.6)", lambda x: torch.minimum(x, torch.full_like(x, 0.6)), 0),
    ("maximum(z, 0.6)", lambda x: torch.maximum(x, torch.full_like(x, 0.6)), 0),
    ("z ** 2", lambda x: x ** 2, 0), ("z ** 3", lambda x: x ** 3, 0),
    ("z ** -1", lambda x: x ** -1, 0), ("z ** 0.7", lambda x: x ** 0.7, 0),
    ("pow(z, 1.5)", lambda x: torch.pow(x, 1.5), 0), ("2 ** z", lambda x: 2 ** x, 0),
    ("1 / z", lambda x: 1 / x, 0), ("-z / 3 + 1", lambda x: -x / 3 + 1, 0),
    ("z * exp(-abs(z))", lambda x: x * torch.exp(-x.abs()), 0),
    ("(z == 1) + 2 * z", lambda x: (x == 1).to(D) + 2 * x, 0),
]
LAST = -1
OVER_FEATURES = [
    ("Softmax(z)", lambda x: F.softmax(x, LAST)), ("Softmax(dim=1)(z)", lambda x: F.softmax(x, 1)),
    ("LogSoftmax(z)", lambda x: F.log_softmax(x, LAST)),
    ("log_softmax(dim=-1)(z)", lambda x: F.log_softmax(x, LAST)),
    ("rowsum(z)", lambda x: x.sum(1, keepdim=True)),
    ("rowmean(z)", lambda x: x.mean(1, keepdim=True)),
    ("rowmax(z)", lambda x: x.max(1, keepdim=True).values),
    ("dot(z, tanh(z))", lambda x: (x * torch.tanh(x)).sum(1, keepdim=True)),
    ("z @ transpose(z)", lambda x: (x * x).sum(1, keepdim=True)),
    ("slice(1, 4)(z)", lambda x: x[:, 1:4]),
    ("Concat(z, -2 * z)", lambda x: torch.cat([x, -2 * x], 1)),
]
# Modules that may have parameters are not evaluated outside of a training.
NORMS = [
    ("LayerNorm(5, elementwise_affine=False)(z)", lambda x: F.layer_norm(x, (5,))),
    ("LayerNorm(5, 0.5, False)(z)", lambda x: F.layer_norm(x, (5,), eps=0.5)),
]


def gradient(f, x, weight=1.0):
    x = x.clone().requires_grad_()
    (f(x) * weight).sum().backward()
    return x.grad


def functions():
    fwd = Blocks("forward.txt", "Values: = INPUT ABSOLUTE-ERROR EXPRESSION")
    grad = Blocks("gradient.txt", "Derivatives: = INPUT ABSOLUTE-ERROR EXPRESSION")
    grid = torch.cat([GRID, EXTREME])
    low = -1e30  # below every value: the L1 loss then has the gradient 1 / rows
    table("grid.csv", {"id": range(len(grid)), "x": grid.tolist()})
    table("smooth.csv", {"id": range(len(GRID)), "x": GRID.tolist(), "low": [low] * len(GRID)})
    table("positive.csv", {"id": range(len(POSITIVE)), "x": POSITIVE.tolist(),
                           "low": [low] * len(POSITIVE)})
    cols = {f"x{i}": WIDE[:, i].tolist() for i in range(5)}
    cols |= {f"w{i}": [MIX[i].item()] * len(WIDE) for i in range(5)}
    table("wide.csv", {"id": range(len(WIDE))} | cols | {"low": [low] * len(WIDE)})
    mix = "Concat(" + ", ".join(f"[w{i}]" for i in range(5)) + ")"
    for expr, f, near in ELEMENTWISE:
        fwd.add(f"grid {near:g} {expr}", f(grid).to(torch.float32))  # what is too large is inf
        src, x = ("smooth", GRID) if f(GRID).isfinite().all() else ("positive", POSITIVE)
        near = SLOPE_ERROR.get(expr.split("(")[0], 0)
        grad.add(f"{src} {near:g} {expr}", gradient(f, x).to(torch.float32))
    for expr, f in OVER_FEATURES + NORMS:
        y = f(WIDE)
        if (expr, f) in OVER_FEATURES:
            fwd.add(f"wide 0 {expr}", y)
        if y.shape[1] == 1:
            grad.add(f"wide 0 view(1)({expr})", gradient(f, WIDE))
        elif y.shape[1] == 5:
            grad.add(f"wide 0 dot({expr}, {mix})", gradient(f, WIDE, MIX))


# ---- losses -------------------------------------------------------------------------------------


def losses():
    out = Blocks("loss.txt", "Losses of rows, mean, the mean's gradient: = WHAT INPUT KIND TARGET")
    z = exact([[0, 0, 0], [1, 2, 3], [3, 2, 1], [100, -100, 0], [-100, 100, 0], [1e4, 0, -1e4],
               [0.1, 0.2, 0.3], [-5, -5.5, 80]])
    c = torch.tensor([0, 2, 2, 1, 1, 0, 1, 2])
    v = exact([0, 0.5, -0.5, 20, -20, 120, -120, 1e4])
    b = torch.tensor([1, 0, 1, 0, 1, 1, 0, 1])
    y = exact([0, 0.25, 1e-3, 19.5, 20, 120, -119, -1e4])
    table("logits.csv", {"id": range(8)} | {f"x{i}": z[:, i].tolist() for i in range(3)} |
          {"class": c.tolist(), "word": ["dog" if k == 2 else "cat" if k else "ant" for k in c]})
    table("value.csv", {"id": range(8), "x": v.tolist(), "bit": b.tolist(), "real": y.tolist()})
    for src, kind, targets, x, f in [
            ("logits", "cross-entropy", ("class", "word"), z,
             lambda x: F.cross_entropy(x, c, reduction="none")),
            ("value", "bce", ("bit",), v,
             lambda x: F.binary_cross_entropy_with_logits(x, b.to(D), reduction="none")),
            ("value", "mse", ("real",), v, lambda x: F.mse_loss(x, y, reduction="none")),
            ("value", "l1", ("real",), v, lambda x: F.l1_loss(x, y, reduction="none"))]:
        for t in targets:
            out.add(f"row {src} {kind} {t}", f(x))
            out.add(f"mean {src} {kind} {t}", f(x).mean())
            out.add(f"gradient {src} {kind} {t}", gradient(lambda x: f(x).mean(), x))


def module_losses():
    """The modules, over the tables of losses() and over probabilities."""
    out = Blocks("module_loss.txt", "Losses of rows, the mean's gradient: = WHAT INPUT EXPRESSION")
    z = exact([[0, 0, 0], [1, 2, 3], [3, 2, 1], [100, -100, 0], [-100, 100, 0], [1e4, 0, -1e4],
               [0.1, 0.2, 0.3], [-5, -5.5, 80]])
    c = torch.tensor([0, 2, 2, 1, 1, 0, 1, 2])
    v = exact([0, 0.5, -0.5, 20, -20, 120, -120, 1e4]).reshape(-1, 1)
    b = torch.tensor([1, 0, 1, 0, 1, 1, 0, 1]).to(D).reshape(-1, 1)
    y = exact([0, 0.25, 1e-3, 19.5, 20, 120, -119, -1e4]).reshape(-1, 1)
    p = exact([0, 0, 1, 1, 0.5, 0.25, 0.875, 1e-20]).reshape(-1, 1)
    t = torch.tensor([0, 1, 0, 1, 1, 0, 1, 1]).to(D).reshape(-1, 1)
    table("prob.csv", {"id": range(8), "x": p.flatten().tolist(), "bit": t.flatten().long().tolist()})
    ids = torch.arange(8).to(D)
    three = torch.stack([c.to(D), ids, -ids], 1)
    soft = F.softmax(three / 4, 1)
    for src, x, expr, f in [
            ("logits", z, "CrossEntropyLoss()(z, [class])", lambda x: F.cross_entropy(x, c, reduction="none")),
            ("logits", z, "CrossEntropyLoss()(z, relu([class]))",
             lambda x: F.cross_entropy(x, c, reduction="none")),
            ("logits", z, "CrossEntropyLoss(label_smoothing=0.2)(z, [class])",
             lambda x: F.cross_entropy(x, c, reduction="none", label_smoothing=0.2)),
            ("logits", z, "CrossEntropyLoss()(z, Softmax(Concat([class], [id], -[id]) / 4))",
             lambda x: F.cross_entropy(x, soft, reduction="none")),
            ("logits", z, "CrossEntropyLoss(label_smoothing=0.2)(z, Softmax(Concat([class], [id], -[id]) / 4))",
             lambda x: F.cross_entropy(x, soft, reduction="none", label_smoothing=0.2)),
            ("logits", z, "NLLLoss()(LogSoftmax(z), [class])",
             lambda x: F.nll_loss(F.log_softmax(x, 1), c, reduction="none")),
            ("logits", z, "MSELoss()(z, Concat([class], [id], -[id]))",
             lambda x: F.mse_loss(x, three, reduction="none").mean(1)),
            ("value", v, "BCEWithLogitsLoss()(z, [bit])",
             lambda x: F.binary_cross_entropy_with_logits(x, b, reduction="none")),
            ("value", v, "BCEWithLogitsLoss(pos_weight=3)(z, [bit])",
             lambda x: F.binary_cross_entropy_with_logits(x, b, reduction="none",
                                                          pos_weight=torch.tensor([3.0]))),
            ("prob", p, "BCELoss()(z, [bit])",
             lambda x: F.binary_cross_entropy(x, t, reduction="none")),
            ("value", v, "MSELoss()(z, [real])", lambda x: F.mse_loss(x, y, reduction="none")),
            ("value", v, "L1Loss()(z, [real])", lambda x: F.l1_loss(x, y, reduction="none")),
            ("value", v, "SmoothL1Loss()(z, [real])",
             lambda x: F.smooth_l1_loss(x, y, reduction="none")),
            ("value", v, "SmoothL1Loss(beta=0.25)(z, [real])",
             lambda x: F.smooth_l1_loss(x, y, reduction="none", beta=0.25)),
            ("value", v, "HuberLoss(delta=0.3)(z, [real])",
             lambda x: F.huber_loss(x, y, reduction="none", delta=0.3)),
            ("value", v, "MarginRankingLoss(margin=0.5)(z, [real], 1 - 2 * [bit])",
             lambda x: F.margin_ranking_loss(x, y, 1 - 2 * b, margin=0.5, reduction="none"))]:
        out.add(f"row {src} {expr}", f(x))
        out.add(f"gradient {src} {expr}", gradient(lambda x: f(x).mean(), x).to(torch.float32))


# ---- training -----------------------------------------------------------------------------------


def train(params, loss, opt, epochs):
    """params: name -> tensor, changed in place.  The loss of each epoch, before its step."""
    curve = []
    for _ in range(epochs):
        opt.zero_grad()
        x = loss()
        x.backward()
        opt.step()
        curve.append(x.item())
    return torch.tensor(curve)


OPTIMIZERS = [  # RN's options, and the same in PyTorch; `groups` replaces weight_decay by name
    ("--optimizer sgd --lr 0.1", torch.optim.SGD, dict(lr=0.1), {}),
    ("--optimizer sgd --lr 0.05 --momentum 0.9", torch.optim.SGD, dict(lr=0.05, momentum=0.9), {}),
    ("--optimizer sgd --lr 0.05 --momentum 0.9 --weight-decay 0.1", torch.optim.SGD,
     dict(lr=0.05, momentum=0.9, weight_decay=0.1), {}),
    ("--optimizer adam --lr 0.01", torch.optim.Adam, dict(lr=0.01), {}),
    ("--optimizer adam --lr 0.05 --weight-decay 0.1", torch.optim.Adam,
     dict(lr=0.05, weight_decay=0.1), {}),
    ("--optimizer adam --lr 0.01 --beta1 0.8 --beta2 0.95 --eps 0.001", torch.optim.Adam,
     dict(lr=0.01, betas=(0.8, 0.95), eps=0.001), {}),
    ("--optimizer adam --lr 0.02 --weight-decay 0.01 --decay hid.*=0.2,out.bias=0",
     torch.optim.Adam, dict(lr=0.02, weight_decay=0.01),
     {"hid.weight": 0.2, "hid.bias": 0.2, "out.bias": 0}),
    ("--optimizer adamw --lr 0.05 --weight-decay 0.1", torch.optim.AdamW,
     dict(lr=0.05, weight_decay=0.1), {}),
    ("--optimizer adamw --lr 0.02 --weight-decay 0 --decay *.weight=0.5", torch.optim.AdamW,
     dict(lr=0.02, weight_decay=0), {"hid.weight": 0.5, "out.weight": 0.5}),
]


def optimizer(cls, args, decay, params):
    return cls([{"params": [p], **({"weight_decay": decay[n]} if n in decay else {})}
                for n, p in params.items()], **args)


def fresh(start):
    return {n: t.clone().requires_grad_() for n, t in start.items()}


def points():
    n = 20
    x, k = exact(torch.randn(n, 4).round(decimals=3)), torch.randint(0, 6, (n,))
    score = torch.tanh(x[:, 0]) + 0.5 * x[:, 1] * x[:, 2]
    c = (score > 0.3).long() + (score > -0.4).long()
    b = (score + 0.3 * torch.randn(n) > 0).long()
    y = exact((score + 0.1 * torch.randn(n)).round(decimals=3))
    table("points.csv", {"id": range(n)} | {f"x{i}": x[:, i].tolist() for i in range(4)} |
          {"k": k.tolist(), "class": c.tolist(), "bit": b.tolist(), "real": y.tolist()})
    return x, k, c, b, y


KINDS = {"cross-entropy": ("class", F.cross_entropy),
         "bce": ("bit", F.binary_cross_entropy_with_logits), "mse": ("real", F.mse_loss),
         "l1": ("real", F.l1_loss)}


def weight(*shape):
    return exact((torch.randn(*shape) * 0.5).round(decimals=4))


def mlps(x, c, b, y):
    """Linear, Tanh, Linear with every loss and optimizer."""
    start = Blocks("mlp_start.txt", "First weights: = OUTPUTS PARAMETER")
    out = Blocks("mlp.txt", "10 epochs: = loss KIND OPTIONS, = PARAMETER-AFTERWARDS KIND OPTIONS")
    starts = {}
    for k in (1, 3):
        starts[k] = {"hid.weight": weight(4, 5), "hid.bias": weight(5),
                     "out.weight": weight(5, k), "out.bias": weight(k)}
        for name, t in starts[k].items():
            start.add(f"{k} {name}", t, 9)
    for kind, (target, f) in KINDS.items():
        label = {"class": c, "bit": b.to(D).reshape(-1, 1), "real": y.reshape(-1, 1)}[target]
        some = OPTIMIZERS if target == "class" else OPTIMIZERS[2::3]
        for options, cls, args, decay in some:
            p = fresh(starts[3 if target == "class" else 1])

            def loss():
                h = torch.tanh(x @ p["hid.weight"] + p["hid.bias"])
                return f(h @ p["out.weight"] + p["out.bias"], label)

            curve = train(p, loss, optimizer(cls, args, decay, p), 10)
            out.add(f"loss {kind} {options}", curve)
            for name, t in p.items():
                out.add(f"{name} {kind} {options}", t)


def layers(x, k, y):
    """Modules with parameters: 10 steps of SGD on the squared error."""
    lin = "Linear(4, 3, name='a')(z)"
    cases = [
        ("Linear(4, 1, name='a')(z)", dict(a_weight=(4, 1), a_bias=(1,)),
         lambda p: F.linear(x, p["a_weight"].T, p["a_bias"])),
        ("Linear(4, 1, False, name='a')(z)", dict(a_weight=(4, 1)),
         lambda p: F.linear(x, p["a_weight"].T)),
        (f"rowsum(LayerNorm(3, name='n')({lin}) ** 2)",
         dict(a_weight=(4, 3), a_bias=(3,), n_weight=(3,), n_bias=(3,)),
         lambda p: (F.layer_norm(F.linear(x, p["a_weight"].T, p["a_bias"]), (3,), p["n_weight"],
                                 p["n_bias"]) ** 2).sum(1, keepdim=True)),
        (f"rowsum(LayerNorm(3, eps=0.1, bias=False, name='n')({lin}) ** 2)",
         dict(a_weight=(4, 3), a_bias=(3,), n_weight=(3,)),
         lambda p: (F.layer_norm(F.linear(x, p["a_weight"].T, p["a_bias"]), (3,), p["n_weight"],
                                 eps=0.1) ** 2).sum(1, keepdim=True)),
        (f"Bilinear(4, 3, 1, name='b')(z, Tanh({lin}))",
         dict(a_weight=(4, 3), a_bias=(3,), b_weight=(4, 1, 3), b_bias=(1,)),
         lambda p: F.bilinear(x, torch.tanh(F.linear(x, p["a_weight"].T, p["a_bias"])),
                              p["b_weight"].permute(1, 0, 2), p["b_bias"])),
        ("dot(Embedding(6, 4, name='t')([k]), z)", dict(t_weight=(6, 4)),
         lambda p: (F.embedding(k, p["t_weight"]) * x).sum(1, keepdim=True)),
        ("dot(NodeLookup(6, 4, True, name='t')([k]), tanh(z))", dict(t_weight=(6, 4)),
         lambda p: (F.embedding(k, p["t_weight"]) * torch.tanh(x)).sum(1, keepdim=True)),
        ("z @ Tensor(4, 1, name='t')", dict(t_weight=(4, 1)), lambda p: x @ p["t_weight"]),
        (f"rowsum(Softmax({lin}) * GELU(Linear(4, 3, name='b')(z)))",
         dict(a_weight=(4, 3), a_bias=(3,), b_weight=(4, 3), b_bias=(3,)),
         lambda p: (F.softmax(F.linear(x, p["a_weight"].T, p["a_bias"]), 1) *
                    F.gelu(F.linear(x, p["b_weight"].T, p["b_bias"]))).sum(1, keepdim=True)),
    ]
    out = Blocks("layer.txt", "10 epochs of SGD: = loss|start:PARAMETER|end:PARAMETER EXPRESSION")
    for expr, shapes, f in cases:
        first = {n: weight(*s) for n, s in shapes.items()}
        p = fresh(first)
        curve = train(p, lambda: F.mse_loss(f(p), y.reshape(-1, 1)),
                      torch.optim.SGD(p.values(), lr=0.02), 10)
        out.add(f"loss {expr}", curve)
        for n in p:
            name = n.replace("_", ".")
            out.add(f"start:{name} {expr}", first[n], 9)
            out.add(f"end:{name} {expr}", p[n])


def initial():
    """Spread of what a new module draws, of thousands of numbers each."""
    nn, init = torch.nn, torch.nn.init
    out = Blocks("init.txt", "Standard deviation, largest: = ROWS LAW PARAMETER EXPRESSION")
    layer = nn.Linear(4, 4000)
    plain = "rowsum(Linear(4, 4000, name='a')(z))"
    cases = [(4, "uniform", "a.weight", plain, layer.weight),
             (4000, "uniform", "a.bias", plain, layer.bias)]
    for name, law, draw in [("glorot", "uniform", init.xavier_uniform_),
                            ("xavier_uniform", "uniform", init.xavier_uniform_),
                            ("xavier_normal", "normal", init.xavier_normal_),
                            ("kaiming_uniform", "uniform", init.kaiming_uniform_),
                            ("kaiming_normal", "normal", init.kaiming_normal_)]:
        cases.append((4, law, "a.weight", f"rowsum(Linear(4, 4000, init='{name}', name='a')(z))",
                      draw(torch.empty(4000, 4))))
    layer = nn.Bilinear(4, 4, 1000)
    plain = "rowsum(Bilinear(4, 4, 1000, name='b')(z, z))"
    cases += [(4, "uniform", "b.weight", plain, layer.weight),
              (1000, "uniform", "b.bias", plain, layer.bias), (2000, "normal", "t.weight",
               "rowsum(Embedding(2000, 8, name='t')([k]))", nn.Embedding(2000, 8).weight)]
    for rows, law, param, expr, w in cases:
        w = w.detach()
        out.add(f"{rows} {law} {param} {expr}", torch.tensor([[w.std(), w.abs().max()]]), 3)


def gcn():
    """Kipf and Welling's network on the karate club, one-hot features, no dropout."""
    with open(KARATE / "member.csv", newline="") as f:
        members = list(csv.DictReader(f))
    with open(KARATE / "tie.csv", newline="") as f:
        ties = [(int(r["a"]), int(r["b"])) for r in csv.DictReader(f)]
    n = len(members)
    at = {int(m["member"]): i for i, m in enumerate(members)}
    adj = torch.eye(n)
    for a, b in ties:
        adj[at[a], at[b]] += 1
        adj[at[b], at[a]] += 1
    d = adj.sum(1).rsqrt()
    adj = d[:, None] * adj * d[None, :]
    clubs = sorted({m["club"] for m in members})
    label = torch.tensor([clubs.index(m["club"]) for m in members])
    rows = torch.tensor([m["split"] == "train" for m in members])
    x = torch.zeros(n, n + 1)
    for i, m in enumerate(members):
        x[i, int(m["member"])] = 1
    start = {"h1.weight": weight(n + 1, 8), "h2.weight": weight(8, 2), "h2.bias": weight(2)}
    p = fresh(start)

    def logits():
        h = torch.relu(adj @ (x @ p["h1.weight"]))
        return adj @ (h @ p["h2.weight"] + p["h2.bias"])

    opt = optimizer(torch.optim.Adam, dict(lr=0.02), {"h1.weight": 5e-4}, p)
    curve = train(p, lambda: F.cross_entropy(logits()[rows], label[rows]), opt, 20)
    out = Blocks("gcn.txt", "The karate club: = loss|logits|start:PARAMETER|end:PARAMETER")
    out.add("loss", curve)
    out.add("logits", logits())
    for name in p:
        out.add(f"start:{name}", start[name], 9)
        out.add(f"end:{name}", p[name])


# ---- metrics ------------------------------------------------------------------------------------


def metrics():
    n = 40
    out = Blocks("metric.txt", "= FILE KIND TARGET METRIC")
    c = torch.randint(0, 4, (n,))
    c[c == 3] = torch.randint(0, 3, ((c == 3).sum(),))  # a class that is only predicted
    z = exact((torch.randn(n, 4) + 1.5 * F.one_hot(c, 4)).round(decimals=2))
    s = exact((torch.randn(n) + torch.randint(0, 2, (n,))).round(decimals=0) / 2)  # many ties
    b = (torch.rand(n) < torch.sigmoid(s)).long()
    y = exact((s + torch.randn(n)).round(decimals=2))
    table("scored4.csv", {"id": range(n)} | {f"x{i}": z[:, i].tolist() for i in range(4)} |
          {"label": c.tolist()})
    two = torch.stack([-s, s], 1)
    table("scored2.csv", {"id": range(n)} | {f"x{i}": two[:, i].tolist() for i in range(2)} |
          {"label": b.tolist()})
    table("scored1.csv", {"id": range(n), "x0": s.tolist(), "label": b.tolist(),
                          "real": y.tolist()})
    p = z.argmax(1)
    for m, v in [("accuracy", skm.accuracy_score(c, p)),
                 ("f1", skm.f1_score(c, p, average="macro")),
                 ("f1_macro", skm.f1_score(c, p, average="macro")),
                 ("f1_micro", skm.f1_score(c, p, average="micro"))]:
        out.add(f"scored4 cross-entropy label {m}", v)
    p = two.argmax(1)  # a tie is the first class
    for m, v in [("accuracy", skm.accuracy_score(b, p)),
                 ("f1_macro", skm.f1_score(b, p, average="macro")),
                 ("roc_auc", skm.roc_auc_score(b, s))]:
        out.add(f"scored2 cross-entropy label {m}", v)
    p = (s >= 0).long()
    for m, v in [("accuracy", skm.accuracy_score(b, p)),
                 ("f1_macro", skm.f1_score(b, p, average="macro")),
                 ("roc_auc", skm.roc_auc_score(b, s))]:
        out.add(f"scored1 bce label {m}", v)
    for m, v in [("mae", skm.mean_absolute_error(y, s)),
                 ("rmse", math.sqrt(skm.mean_squared_error(y, s)))]:
        out.add(f"scored1 mse real {m}", v)


def steps(x, y):
    """Batch normalisation with its running statistics, schedules and clipping: 10 epochs."""
    out = Blocks("step.txt", "10 epochs: = loss|start:PARAMETER|end:PARAMETER OPTIONS | EXPRESSION")
    lin = "Linear(4, 1, name='a')(z)"
    flat = dict(a_weight=(4, 1), a_bias=(1,))
    sgd = torch.optim.SGD
    sched = torch.optim.lr_scheduler
    norm = "Linear(3, 1, name='b')(BatchNorm1d(3{}, name='n')(Linear(4, 3, name='a')(z)))"
    deep = dict(a_weight=(4, 3), a_bias=(3,), n_weight=(3,), n_bias=(3,), b_weight=(3, 1), b_bias=(1,))
    plain = {k: s for k, s in deep.items() if not k.startswith("n_")}

    def linear(p):
        return F.linear(x, p["a_weight"].T, p["a_bias"])

    def normed(run, **args):
        def f(p):
            h = F.batch_norm(linear(p), run["n_running_mean"], run["n_running_var"],
                             p.get("n_weight"), p.get("n_bias"), training=True, **args)
            return F.linear(h, p["b_weight"].T, p["b_bias"])
        return f

    def fresh_run():
        return {"n_running_mean": torch.zeros(3), "n_running_var": torch.ones(3)}

    run1, run2 = fresh_run(), fresh_run()
    cases = [
        ("--optimizer sgd --lr 0.02", norm.format(""), deep, normed(run1), run1, {}),
        ("--optimizer sgd --lr 0.02", norm.format(", 0.01, momentum=0.3, affine=False"), plain,
         normed(run2, eps=0.01, momentum=0.3), run2, {}),
        ("--optimizer sgd --lr 0.05 --schedule step --period 3 --gamma 0.5", lin, flat, linear, {},
         dict(sched=lambda o: sched.StepLR(o, 3, 0.5))),
        ("--optimizer sgd --lr 0.05 --momentum 0.9 --schedule exponential --gamma 0.8", lin, flat,
         linear, {}, dict(momentum=0.9, sched=lambda o: sched.ExponentialLR(o, 0.8))),
        ("--optimizer adamw --lr 0.05 --weight-decay 0.1 --schedule cosine", lin, flat, linear, {},
         dict(adamw=True, sched=lambda o: sched.CosineAnnealingLR(o, 10))),
        ("--optimizer sgd --lr 0.05 --schedule cosine --period 5 --warmup 4", lin, flat, linear, {},
         dict(sched=lambda o: sched.LambdaLR(o, lambda e: min(1, (e + 1) / 4) *
                                             (1 + math.cos(math.pi * e / 5)) / 2))),
        ("--optimizer sgd --lr 0.05 --clip 0.5", lin, flat, linear, {}, dict(clip=0.5)),
        ("--optimizer adam --lr 0.05 --clip-value 0.1 --clip 1", lin, flat, linear, {},
         dict(adam=True, clip=1.0, value=0.1)),
    ]
    for options, expr, shapes, f, run, how in cases:
        lr = float(options.split("--lr ")[1].split()[0])
        p = fresh({n: weight(*s) for n, s in shapes.items()})
        first = {n: t.detach().clone() for n, t in p.items()}
        opt = (torch.optim.AdamW(p.values(), lr=lr, weight_decay=0.1) if how.get("adamw") else
               torch.optim.Adam(p.values(), lr=lr) if how.get("adam") else
               sgd(p.values(), lr=lr, momentum=how.get("momentum", 0)))
        plan = how["sched"](opt) if "sched" in how else None
        curve = []
        for _ in range(10):
            opt.zero_grad()
            loss = F.mse_loss(f(p), y.reshape(-1, 1))
            loss.backward()
            if "clip" in how:
                torch.nn.utils.clip_grad_norm_(p.values(), how["clip"])
            if "value" in how:
                torch.nn.utils.clip_grad_value_(p.values(), how["value"])
            opt.step()
            if plan:
                plan.step()
            curve.append(loss.item())
        out.add(f"loss {options} | {expr}", torch.tensor(curve))
        for n, t in {**p, **run}.items():
            name = n.replace("_", ".", 1)
            if n in first:
                out.add(f"start:{name} {options} | {expr}", first[n], 9)
            out.add(f"end:{name} {options} | {expr}", t)


def main():
    functions()
    losses()
    module_losses()
    x, k, c, b, y = points()
    mlps(x, c, b, y)
    layers(x, k, y)
    initial()
    gcn()
    metrics()
    steps(x, y)


if __name__ == "__main__":
    main()
