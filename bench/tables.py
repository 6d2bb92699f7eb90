# SPDX-License-Identifier: Apache-2.0
"""Tables: CSV in and out, joins and groups, pipes; beside DuckDB.

The table is that of make_table.c: edges src, dst (a million nodes) and weight.
"""
import json
import pathlib

from common import FAST, ROOT, compiled, interleaved, json_lines, medians, run, threads, timed

COLUMNS = "{'src': 'BIGINT', 'dst': 'BIGINT', 'weight': 'DOUBLE'}"
TYPES = "src=int64,dst=int64,weight=float64"


def table(args, end):
    """The edges as .csv or as .er, made once."""
    path = pathlib.Path(args.tmp) / f"edges{end}"
    if not path.exists() and end == ".csv":
        with open(path, "wb") as f:
            run([compiled(args, "make_table"), args.rows], stdout=f)
    elif not path.exists():
        run(["rn-scan", table(args, ".csv"), "--types", TYPES, "-z", "none", "-o", path])
    return path


def million(args):
    return f"{args.rows / 1e6:g} M"


def rate(seconds, size):
    return size / seconds if seconds else None


def best(medians, who):
    """Seconds on as many threads as suit it best; None where it was not measured."""
    return min((medians[who, t] for t in (1, 2) if (who, t) in medians), default=None)


def ratios(args, results, work, medians, target, peer="DuckDB"):
    """Each side on the number of threads that suits it best; the other DuckDB is measured on two."""
    results.ratio(work, f"RN / {peer}", best(medians, peer), best(medians, "RN"), target)
    results.ratio(work, f"RN / {args.other_duck.name}, 2 threads", medians.get("other"), medians["RN", 2])


def csv(args, results):
    path = table(args, ".csv")
    size = path.stat().st_size / 1e6
    work = f"{million(args)} rows of CSV ({size:.0f} MB), typed, to a stream"
    sql = f"SELECT sum(src), sum(dst), sum(weight) FROM read_csv('{path}', header = true, columns = {COLUMNS})"
    works = {}
    for t in (1, 2):
        works["RN", t] = lambda t=t: timed(["rn-scan", path, "--types", TYPES, "-t", t, "-z", "none", "-o", "/dev/null"])
        works["DuckDB", t] = lambda t=t: args.duck.time(sql, threads=t)
    works["other"] = lambda: args.other_duck.time(sql)
    works["inferred"] = lambda: timed(["rn-scan", path, "-t", 2, "-z", "none", "-o", "/dev/null"])
    works["pipe"] = lambda: timed(f"rn-scan -t 1 {path} -z none | cat")
    works["cat"] = lambda: timed(f"cat {path} | cat")
    m = interleaved(args.runs, works)
    results.add(work, "RN, 1 thread", rate(m["RN", 1], size), "MB/s", 500)
    results.add(work, "RN, 2 threads", rate(m["RN", 2], size), "MB/s")
    for t in (1, 2):
        results.add(work, f"DuckDB's scan, {threads(t)}", rate(m.get(("DuckDB", t)), size), "MB/s")
    ratios(args, results, work, m, 4)
    results.add(work, "RN, types inferred, 2 threads", rate(m["inferred"], size), "MB/s")
    results.add(work, "RN, inferred, 1 thread, to a pipe", rate(m["pipe"], size), "MB/s")
    results.add(work, "cat, the same bytes to a pipe", rate(m["cat"], size), "MB/s")


def write(args, results):
    out = pathlib.Path(args.tmp) / "out.csv"
    size = table(args, ".csv").stat().st_size / 1e6
    for duck in (args.duck, args.other_duck):
        duck.time("SELECT 1", f"CREATE OR REPLACE TABLE e AS FROM read_csv('{table(args, '.csv')}', "
                  f"header = true, columns = {COLUMNS})")
    works = {}
    for t in (1, 2):
        works["RN", t] = lambda t=t: timed(["rn-cat", table(args, ".er"), "-t", t, "-o", out])
        works["DuckDB", t] = lambda t=t: args.duck.time(f"COPY e TO '{out}' (FORMAT csv)", threads=t)
    works["other"] = lambda: args.other_duck.time(f"COPY e TO '{out}' (FORMAT csv)")
    m = interleaved(args.runs, works)
    for duck in (args.duck, args.other_duck):
        duck.time("DROP TABLE e")
    out.unlink()
    work = f"{million(args)} rows to CSV ({size:.0f} MB)"
    for who in ("RN", "DuckDB"):
        for t in (1, 2):
            results.add(work, f"{who}, {threads(t)}", rate(m.get((who, t)), size), "MB/s")
    ratios(args, results, work, m, 3)


# name of rel.c, what it is, and its targets: rows/s in millions, times as fast as DuckDB
KERNELS = (
    ("join-dense", "hash join of {} rows with a tenth, ids in a row", 50, 2.5),
    ("join-sparse", "hash join of {} rows with a tenth, any ids", 50, 2.5),
    ("group-dense", "group by of {} rows to a tenth, sum and avg, ids in a row", 45, 3),
    ("group-sparse", "group by of {} rows to a tenth, sum and avg, any ids", 45, 3),
    ("sort-sparse", "sort of {} rows by an id", None, None),
)


def kernels(args, results, chosen):
    """rel.c beside rel_duckdb.py: relations in memory, all columns of the result made."""
    names = [k[0] for k in KERNELS if k[0].startswith(chosen)]
    peers = {who: [duck.python, ROOT / "bench/rel_duckdb.py"]
             for who, duck in (("DuckDB", args.duck), ("other", args.other_duck)) if duck}
    seconds, checks = {}, {}

    def measure(who, cmd, t):
        for r in json_lines([*cmd, args.rows, t, 3, *names]):
            seconds.setdefault((who, r["name"], t), []).append(r["seconds"])
            if checks.setdefault(r["name"], (r["rows"], r["check"])) != (r["rows"], r["check"]):
                raise SystemExit(f"bench: {r['name']}: RN and DuckDB differ: {checks[r['name']]} and {json.dumps(r)}")

    for _ in range(args.runs):
        for t in (1, 2):
            measure("RN", [compiled(args, "rel")], t)
            for who, cmd in peers.items():
                if who == "DuckDB" or t == 2:
                    measure(who, cmd, t)
    for name, work, mrows, times in (k for k in KERNELS if k[0] in names):
        work = work.format(million(args))
        m = medians({(who, t) if who != "other" else who: x for (who, n, t), x in seconds.items() if n == name})
        results.add(work, "RN, 1 thread", args.rows / m["RN", 1] / 1e6, "M rows/s")
        results.add(work, "RN, 2 threads", args.rows / m["RN", 2] / 1e6, "M rows/s", mrows)
        for t in (1, 2):
            results.add(work, f"DuckDB into a table, {threads(t)}", rate(m.get(("DuckDB", t)), args.rows / 1e6), "M rows/s")
        ratios(args, results, work, m, times)


def join(args, results):
    kernels(args, results, "join")


def group(args, results):
    kernels(args, results, "group")


def sort(args, results):
    kernels(args, results, "sort")


def programs(args, results):
    """Whole programs, from a stream file to a stream."""
    edges, nodes = table(args, ".er"), pathlib.Path(args.tmp) / "nodes.er"
    if not nodes.exists():
        run(["bash", "-c", f"seq 0 {max(args.rows // 10, 1000000) - 1} | awk '{{ print $1 \",\" $1 * 0.5 }}' | "
             f"rn-scan --no-header --columns id,x -z none -o {nodes}"])
    for work, cmd in (("rn-join", ["rn-join", edges, nodes, "--on", "src=id"]),
                      ("rn-agg", ["rn-agg", edges, "--by", "dst", "--cols", "s=sum(weight),a=avg(weight)"]),
                      ("rn-filter", ["rn-filter", "weight > 0.5", edges])):
        m = interleaved(args.runs, {t: lambda t=t: timed([*cmd, "-t", t, "-z", "none", "-o", "/dev/null"])
                                    for t in (1, 2)})
        for t in (1, 2):
            results.add(f"{work} of {million(args)} rows, from a stream file to a stream", f"RN, {threads(t)}",
                        args.rows / m[t] / 1e6, "M rows/s")


def pipes(args, results):
    """What a pipe between two layers carries: 64 float32 a row."""
    wide = pathlib.Path(args.tmp) / "wide.er"
    run(["bash", "-c", f"rn-head -n {args.rows // 8} {table(args, '.er')} | rn-encode 'raw(weight)' | "
         f"rn-map 'Concat(z, z, z, z)' | rn-map 'Concat(z, z, z, z)' | rn-map 'Concat(z, z, z, z)' -z none -o {wide}"])
    size = wide.stat().st_size / 1e9
    pipe = f"rn-head -n 1000000000 -z none {wide} | rn-info --no-values -"
    m = interleaved(args.runs, {
        "RN": lambda: timed(pipe),
        "inline": lambda: timed(f"export RN_SHM=0; {pipe}"),
        "cat | cat": lambda: timed(f"cat {wide} | cat")})
    work = "a shell pipeline from a stream file: rn-head | rn-info, whole processes"
    results.add(work, "RN, shared memory", size / m["RN"], "GB/s")
    results.add(work, "RN, all inline (RN_SHM=0)", size / m["inline"], "GB/s")
    results.add(work, "cat | cat, the same bytes", size / m["cat | cat"], "GB/s")
    results.ratio(work, "RN, shared memory / cat | cat", m["cat | cat"], m["RN"])
    wide.unlink()
    handed_over(args, results)


def handed_over(args, results):
    """Blocks of 256 KiB from one process to another, by pipe.c: those that the writer has just made,
    and those that come from memory, where one core gets some 5 GB/s."""
    for where, mebibytes, least in (("in the cache", 1, 7), ("in memory", 256, None)):
        sizes = ["-n", args.runs, "-m", mebibytes]
        got = {r["what"]: r["gbs"] for r in json_lines([compiled(args, "pipe", *FAST), *sizes])}
        ring = json_lines([compiled(args, "ring", *FAST), "-w", "slots", *sizes])[0]["gbs"]
        work = f"blocks of 256 KiB, {where}, from a process to its fork (pipe.c), every value read"
        results.add(work, "RN, shared memory", got["shared"], "GB/s", least)
        results.add(work, "RN, all inline", got["inline"], "GB/s")
        results.add(work, "write and read, the same bytes", got["bare"], "GB/s")
        results.add(work, "a bare ring of four slots (ring.c)", ring, "GB/s")
        results.ratio(work, "shared memory / all inline", got["shared"], got["inline"], 3 if least else None)
        results.ratio(work, "shared memory / bare ring", got["shared"], ring)
