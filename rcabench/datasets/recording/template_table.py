"""Which template every staged log line belongs to."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from rcabench.datasets.recording.staged_rows import StagedRows
from rcabench.datasets.recording.templates import TemplateMiner

_BATCH = 10_000


def mine_templates(connection: duckdb.DuckDBPyConnection, rows: StagedRows) -> pa.Table:
    """Mine the templates of the staged logs and fill the temporary table `statement_templates`.

    Only distinct statements come to Python, twice and in batches; what stays in memory is one
    number for each of them and the templates.

    Returns:
        The table `templates`, by id: ids follow the sorted text.
    """
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE statements AS
        SELECT statement, row_number() OVER (ORDER BY statement) - 1 AS ordinal
        FROM (SELECT DISTINCT statement FROM {rows.relation})"""
    )
    miner = TemplateMiner()
    groups = array("q", (miner.learn(statement) for statement in _sorted_statements(connection)))
    seen: dict[str, int] = {}
    numbers = array("q")
    for ordinal, statement in enumerate(_sorted_statements(connection)):
        text = miner.template(statement, groups[ordinal])
        numbers.append(seen.setdefault(text, len(seen)))
    templates = sorted(seen)
    id_of_number = {seen[text]: template_id for template_id, text in enumerate(templates)}
    ids = pa.array([id_of_number[number] for number in numbers], pa.int32())
    connection.register("mined", pa.table({"ordinal": pa.array(range(len(numbers)), pa.int64()), "template_id": ids}))
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE statement_templates AS"
        " SELECT statement, template_id FROM statements JOIN mined USING (ordinal)"
    )
    connection.unregister("mined")
    connection.execute("DROP TABLE statements")
    return pa.table({"template_id": pa.array(range(len(templates)), pa.int32()), "template": templates})


def with_templates(rows: StagedRows) -> str:
    """Return the SQL relation of the staged logs with their `template_id`."""
    return f"(SELECT * FROM {rows.relation} JOIN statement_templates USING (statement))"


def _sorted_statements(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    for batch in connection.sql("SELECT statement FROM statements ORDER BY ordinal").to_arrow_reader(_BATCH):
        yield from batch.column(0).to_pylist()
