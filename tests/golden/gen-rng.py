#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes rng.txt: the first 1,000 draws of one stream, by another implementation.

    tests/golden/gen-rng.py > tests/golden/rng.txt

Rows 0 to 99, ten columns each, epoch 1.  A draw is (word >> 8) * 2**-24.
"""

M32, M64 = 2**32 - 1, 2**64 - 1
P = [11400714785074694791, 14029467366897019727, 1609587929392839161,
     9650029242287828579, 2870177450012600261]


def rotl(x, r):
    return (x << r | x >> 64 - r) & M64


def xxh64(data, seed):  # of less than 32 bytes
    h = (seed + P[4] + len(data)) & M64
    while len(data) >= 8:
        k = int.from_bytes(data[:8], "little") * P[1] & M64
        h = (rotl(h ^ rotl(k, 31) * P[0] & M64, 27) * P[0] + P[3]) & M64
        data = data[8:]
    if len(data) >= 4:
        h = (rotl(h ^ int.from_bytes(data[:4], "little") * P[0] & M64, 23) * P[1] + P[2]) & M64
        data = data[4:]
    for b in data:
        h = rotl(h ^ b * P[4] & M64, 11) * P[0] & M64
    for shift, mul in (33, P[1]), (29, P[2]), (32, 1):
        h = (h ^ h >> shift) * mul & M64
    return h


def philox(c, k):
    c, k = list(c), list(k)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k[0], p1 & M32, p0 >> 32 ^ c[3] ^ k[1], p0 & M32]
        k = [k[0] + 0x9E3779B9 & M32, k[1] + 0xBB67AE85 & M32]
    return c


def main():
    name, seed, epoch = "dropout_1.mask", 42, 1
    h = xxh64(name.encode(), seed)
    key = h & M32, h >> 32
    print("# name %s, seed %d, epoch %d: the words of columns 0 to 9, a row a line" % (name, seed, epoch))
    for row in range(100):
        words = [philox((row, 0, col // 4, epoch), key)[col % 4] for col in range(10)]
        print(" ".join("%08x" % w for w in words))


main()
