# SPDX-License-Identifier: Apache-2.0
"""Streams to disk and back beside the codec alone, by codec.c."""
import os
import tempfile

from common import compiled, json_lines, threads

# floats and ids, which have targets, and those whose blocks have no codec
CODED = ("f32-normal", "f32-bf16", "f32-75%-zeros", "ids-sorted", "ids-random", "ids-grouped")
PACKED = ("packed-sorted", "packed-random")


def bench(args, results):
    got = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("RN_BENCH_DIR", "/var/tmp")) as folder:
        for r in json_lines([compiled(args, "codec"), "-n", args.runs, "-d", folder, *CODED, *PACKED]):
            got[r["name"], r["what"], r["threads"]] = r["gbs"]
    for name in CODED + PACKED:
        for way, codec in (("write", "codec-compress"), ("read", "codec-decompress")):
            one(results, got, name, way, codec)


def one(results, got, name, way, codec):
    work, packed = f"stream, {way} {name}", name in PACKED
    for t in (1, 2):
        memory, file = got[name, way, t], got[name, f"file-{way}", t]
        results.add(work, f"RN, {threads(t)}", memory, "GB/s", 2 if packed and t == 1 else None)
        results.add(work, f"RN, {threads(t)}, a file on disk, cached", file, "GB/s")
        if packed:
            continue
        alone = got[name, codec, t]
        results.add(work, f"zstd alone, {threads(t)}", alone, "GB/s")
        results.ratio(work, f"RN / zstd alone, {threads(t)}", memory, alone, 0.9)
        results.ratio(work, f"RN, a file on disk, cached / zstd alone, {threads(t)}", file, alone, 0.9 if t == 1 else None)
        through = got[name, f"codec-file-{way}", t]
        results.add(work, f"zstd alone, through such a file, {threads(t)}", through, "GB/s")
        results.ratio(work, f"RN / zstd alone, both through a file, {threads(t)}", file, through)
    results.ratio(work, "RN, 2 threads / 1", got[name, way, 2], got[name, way, 1],
                  1.6 if name.startswith("f32") else None)
