# SPDX-License-Identifier: Apache-2.0
"""DuckDB for scripts/bench: its version, then for each JSON line, {"sql", "before", "threads"}, one: {"seconds"}."""
import json
import sys
import time

import duckdb

db = duckdb.connect()
print(duckdb.__version__, flush=True)
for line in sys.stdin:
    ask = json.loads(line)
    try:
        db.execute(f"SET threads = {ask['threads']}")
        if ask["before"]:
            db.execute(ask["before"])
        start = time.perf_counter()
        db.execute(ask["sql"]).fetchall()
        answer = {"seconds": time.perf_counter() - start}
    except duckdb.Error as e:
        answer = {"error": str(e)}
    print(json.dumps(answer), flush=True)
