#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The work of bench/rel.c in DuckDB: the same data, every result into a table in memory.

usage: rel_duckdb.py [ROWS [THREADS [RUNS [NAME...]]]]      (10000000, 2, 5, all)

Prints the lines of rel.c: name, seconds (median), rows_per_s, threads, cpu_seconds, rows, check.
"""
import json
import statistics
import sys
import time

import duckdb
import numpy as np

WORKS = {
    "join-dense": ("SELECT src, dst, w, x FROM e0 JOIN n0 ON src = id", "x", False),
    "join-sparse": ("SELECT src, dst, w, x FROM e1 JOIN n1 ON src = id", "x", False),
    "join-partial": ("SELECT src, dst, w, x FROM e0 JOIN n2 ON src = id", "x", False),
    "join-wide": ("SELECT src, dst, w, x, y FROM e1 JOIN n1 ON src = id", "y", False),
    "group-dense": ("SELECT dst, sum(w) AS s, avg(w) AS a FROM e0 GROUP BY dst", "s", False),
    "group-sparse": ("SELECT dst, sum(w) AS s, avg(w) AS a FROM e1 GROUP BY dst", "s", False),
    "sort-dense": ("SELECT * FROM e0 ORDER BY src", "src", True),
    "sort-sparse": ("SELECT * FROM e1 ORDER BY src", "src", True),
    "sort-two": ("SELECT * FROM e0 ORDER BY src, w", "w", True),
    "distinct-dense": ("SELECT DISTINCT src FROM e0", "src", False),
    "distinct-sparse": ("SELECT DISTINCT src FROM e1", "src", False),
}


def splitmix(x):
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def stream(i, n):
    return splitmix(i + np.uint64(n << 40))


def node_id(i, nodes, sparse):
    x = (i * np.uint64(611953) + np.uint64(12345)) % np.uint64(nodes)
    return ((stream(x, 3) >> np.uint64(1)) if sparse else x).astype(np.int64)


def value(i, n):
    return (stream(i, n) >> np.uint64(44)).astype(np.float64) / (1 << 20)


def load(db, rows):
    nodes = rows // 10
    i = np.arange(rows, dtype=np.uint64)
    n = i[:nodes]
    for sparse in (0, 1):
        edge = {"src": node_id(stream(i, 1) % np.uint64(nodes), nodes, sparse),
                "dst": node_id(stream(i, 2) % np.uint64(nodes), nodes, sparse), "w": value(i, 4)}
        node = {"id": node_id(n, nodes, sparse), "x": value(n, 5),
                "y": (n % np.uint64(1000)).astype(np.int64)}
        db.execute(f"CREATE TABLE e{sparse} AS SELECT * FROM edge")
        db.execute(f"CREATE TABLE n{sparse} AS SELECT * FROM node")
        if not sparse:  # the join-partial nodes: a tenth is missing
            most = {k: v[:nodes - nodes // 10] for k, v in node.items()}
            db.execute("CREATE TABLE n2 AS SELECT * FROM most")


def check(db, column, ordered):
    v = db.execute(f"SELECT {column} FROM o").fetchnumpy()[column]
    v = (v * (1 << 20)).astype(np.int64) if v.dtype == np.float64 else v & np.int64(0xFFFFFFFF)
    return int(v[0::2].sum() - v[1::2].sum()) if ordered else int(v.sum())


def main():
    rows, threads, runs = (int(a) for a in (sys.argv[1:4] + ["10000000", "2", "5"][len(sys.argv[1:4]):]))
    names = sys.argv[4:] or list(WORKS)
    db = duckdb.connect()
    db.execute(f"SET threads = {threads}")
    load(db, rows)
    for name in names:
        sql, column, ordered = WORKS[name]
        seconds, cpu = [], []
        for _ in range(runs):
            db.execute("DROP TABLE IF EXISTS o")
            start, cpu_start = time.perf_counter(), time.process_time()
            db.execute(f"CREATE TABLE o AS {sql}")
            seconds.append(time.perf_counter() - start)
            cpu.append(time.process_time() - cpu_start)
        s = statistics.median(seconds)
        got = db.execute("SELECT count(*) FROM o").fetchone()[0]
        print(json.dumps({"name": name, "seconds": round(s, 7), "rows_per_s": round(rows / s),
                          "threads": threads, "cpu_seconds": round(statistics.median(cpu), 7),
                          "rows": got, "check": check(db, column, ordered)}), flush=True)
        db.execute("DROP TABLE IF EXISTS o")


if __name__ == "__main__":
    main()
