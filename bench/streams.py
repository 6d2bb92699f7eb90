# SPDX-License-Identifier: Apache-2.0
"""Streams to disk and back beside the codec alone, by codec.c."""
from common import compiled, json_lines, threads

# floats and ids, which have targets, and the others
CODED = ("f32-normal", "f32-bf16", "f32-75%-zeros", "ids-sorted", "ids-random", "ids-grouped")
PACKED = ("packed-sorted", "packed-random")


def bench(args, results):
    got = {}
    for r in json_lines([compiled(args, "codec"), "-n", args.runs, "-d", args.tmp, *CODED, *PACKED]):
        got[r["name"], r["what"], r["threads"]] = r["gbs"]
    for name in CODED + PACKED:
        for way, codec in (("write", "codec-compress"), ("read", "codec-decompress")):
            work = f"stream, {way} {name}"
            packed = name in PACKED
            for t in (1, 2):
                results.add(work, f"RN, {threads(t)}", got[name, way, t], "GB/s", 2 if packed and t == 1 else None)
                results.add(work, f"RN, {threads(t)}, a file", got[name, f"file-{way}", t], "GB/s")
                if not packed:
                    results.add(work, f"zstd alone, {threads(t)}", got[name, codec, t], "GB/s")
                    results.ratio(work, f"RN / zstd alone, {threads(t)}", got[name, way, t], got[name, codec, t], 0.9)
            results.ratio(work, "RN, 2 threads / 1", got[name, way, 2], got[name, way, 1])
