# SPDX-License-Identifier: Apache-2.0
"""DuckDB for scripts/bench: a JSON line in, {"sql", "before", "threads"}, and one out, {"seconds"}."""
import json
import sys
import time

import duckdb

db = duckdb.connect()
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
