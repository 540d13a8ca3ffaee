"""Ask tables questions in SQL: CSV and Parquet files, read and queried inside the sandbox."""

from collections.abc import Mapping
from typing import Any

import orjson

from dryad.execution.tool_calls import ToolOutcome
from dryad.execution.workbench import RunCode

MOST_ROWS = 1_000

_PROGRAM = f"""\
import json, sqlite3
import pandas
order = json.load(open("order.json"))
database = sqlite3.connect(":memory:")
for name, file in order["tables"].items():
    if file.endswith(".parquet"):
        frame = pandas.read_parquet(file)
    else:
        frame = pandas.read_csv(file, sep="\\t" if file.endswith(".tsv") else ",")
    frame.to_sql(name, database, index=False)
asked = database.execute(order["sql"])
if asked.description is None:
    raise SystemExit("the query asks for nothing: begin with SELECT")
rows = asked.fetchmany({MOST_ROWS})
answer = {{
    "columns": [column[0] for column in asked.description],
    "rows": [[str(cell) if isinstance(cell, bytes) else cell for cell in row] for row in rows],
    "more": asked.fetchone() is not None,
}}
json.dump(answer, open("answer.json", "w"), allow_nan=False)
"""


async def query(
    run_code: RunCode, sql: str, tables: Mapping[str, bytes], kinds: Mapping[str, str]
) -> ToolOutcome:
    """Answer one SQL query over tables.

    Args:
        run_code: The sandbox.
        sql: SQLite's SQL; begins with SELECT or WITH.
        tables: Content of a file by the table's name.
        kinds: Ending of that file by the same name: `.csv`, `.tsv` or `.parquet`.

    Returns:
        `{columns, rows, more}`, at most 1,000 rows; failed with the reason when SQL or a file is
        wrong.
    """
    names = {table: f"{table}{kinds[table]}" for table in tables}
    order = orjson.dumps({"sql": sql, "tables": names})
    files = {names[table]: content for table, content in tables.items()}
    ran = await run_code(_PROGRAM, {**files, "order.json": order})
    if ran.exit_code != 0 or "answer.json" not in ran.files:
        last = ran.stderr.strip().splitlines()[-1:] or list(ran.violations) or ["it said nothing"]
        return ToolOutcome(failed=f"the query came to nothing: {last[0][:500]}")
    answer: Any = orjson.loads(ran.files["answer.json"])
    return ToolOutcome(answer, untrusted=True)
