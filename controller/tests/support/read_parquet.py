"""Prints what DuckDB finds in a Parquet file, as JSON: its columns, its row groups, its rows."""

import json
import sys

import duckdb


def ask(sql):
    return duckdb.execute(sql, [sys.argv[1]]).fetchall()


types = {name: kind for name, kind, *_ in ask("DESCRIBE SELECT * FROM read_parquet(?)")}
# Microseconds: as text they would depend on the time zone of this machine.
times = [f"epoch_us({name}) AS {name}" for name, kind in types.items() if kind.startswith("TIMESTAMP")]
replace = f"REPLACE ({', '.join(times)})" if times else ""
rows = ask(f"SELECT to_json(row) FROM (SELECT * {replace} FROM read_parquet(?)) AS row")
groups = ask("SELECT DISTINCT row_group_id, row_group_num_rows, compression FROM parquet_metadata(?) ORDER BY 1")
print(json.dumps({"columns": types, "groups": groups, "rows": [json.loads(row) for (row,) in rows]}))
