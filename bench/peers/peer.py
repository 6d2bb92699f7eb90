# SPDX-License-Identifier: Apache-2.0
"""What the peers' models share: reading the tables, the training loop, and what is printed."""
import csv
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import time
import warnings

START = time.perf_counter()
warnings.filterwarnings("ignore")
sys.dont_write_bytecode = True

import torch  # noqa: E402

# RN_PEER_DEVICE=cuda: tensors are made there unless told otherwise.
DEVICE = os.environ.get("RN_PEER_DEVICE", "cpu")
if DEVICE != "cpu":
    torch.set_default_device(DEVICE)


def settle():
    """What was asked of the device is done."""
    if DEVICE != "cpu":
        torch.cuda.synchronize()


def unpacked(path):
    """The text of a .zst file: by the program, or on a machine that lacks it by Arrow."""
    if shutil.which("zstd"):
        return subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout.decode()
    import pyarrow

    return pyarrow.input_stream(path, compression="zstd").read().decode()


def table(folder, name):
    """The columns of NAME.csv or NAME.csv.zst, as lists of text."""
    path = os.path.join(folder, name + ".csv")
    if os.path.exists(path):
        text = open(path).read()
    else:
        text = unpacked(path + ".zst")
    rows = list(csv.reader(io.StringIO(text)))
    return dict(zip(rows[0], zip(*rows[1:])))


def ints(column):
    return torch.tensor([int(x) if x else -1 for x in column])


def codes(column):
    """Texts as numbers from 0, in the order of the texts (numbers by size); -1 where there is none."""
    known = sorted(set(column) - {""}, key=lambda x: (len(x), x) if x.isdigit() else (0, x))
    number = {x: i for i, x in enumerate(known)}
    return torch.tensor([number.get(x, -1) for x in column])


def mask(column, value):
    return torch.tensor([x == value for x in column])


def bag(rows, columns, shape, counts=None):
    """A dense bag of words."""
    x = torch.zeros(shape)
    x.index_put_((rows, columns), torch.ones(len(rows)) if counts is None else counts.float(), accumulate=True)
    return x


def arguments():
    """DATA EPOCHS THREADS of the command line, and what comes behind them."""
    folder, epochs, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    return folder, epochs, sys.argv[4:]


def peak_bytes():
    """The most resident memory of this process: ru_maxrss begins with what its parent had."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def train(epochs, forward, loss_of, parameters, evaluate=None, each=None, **optimizer):
    """Adam on loss_of(forward(True)); `each` sees forward(False) after every epoch, `evaluate` at the end.
    Prints one JSON object; an epoch is the training step alone."""
    opt = torch.optim.Adam(list(parameters), **optimizer)
    steps = []
    bound = time.perf_counter()
    for _ in range(epochs):
        t = time.perf_counter()
        opt.zero_grad()
        loss = loss_of(forward(True))
        loss.backward()
        opt.step()
        settle()
        steps.append(time.perf_counter() - t)
        if each:
            with torch.no_grad():
                each(forward(False))
    fit = time.perf_counter() - bound
    result = {"ms_per_epoch": 1e3 * sorted(steps)[len(steps) // 2], "seconds_fit": fit, "loss": loss.item()}
    if evaluate:
        with torch.no_grad():
            result["test"] = evaluate(forward(False))
    result.update(seconds_total=time.perf_counter() - START,
                  parameters=sum(p.numel() for g in opt.param_groups for p in g["params"]),
                  peak_bytes=peak_bytes())
    if DEVICE != "cpu":
        result["device_bytes"] = torch.cuda.max_memory_reserved()
    print(json.dumps(result))
