"""Properties of log templates: they fit their lines, and no order or batching of lines changes them."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from rcabench.datasets.recording.templates import Statement, TemplateMiner
from rcabench.datasets.writer import DatasetWriter

GAP, SEPARATOR = "\ue000", "\x1f"
words = st.sampled_from(["order", "cart", "saved", "lost", "ann", "bob", GAP, f"x-{GAP}", "Orders#31", "[", "],", "="])
bodies = st.lists(words.filter(lambda word: GAP not in word), min_size=1, max_size=8).map(" ".join)
statements = st.lists(words, min_size=1, max_size=12).map(lambda parts: SEPARATOR + " ".join(parts))


def templates_of(batches: Iterable[list[str]]) -> dict[str, tuple[int, str]]:
    """Return body -> (template id, template) of a recording written from these batches."""
    with tempfile.TemporaryDirectory() as folder:
        with DatasetWriter.create(Path(folder) / "d", name="d", card="d", importer={}) as writer:
            with writer.recording("r") as recording:
                for batch in batches:
                    times = [datetime(2026, 1, 1, tzinfo=UTC)] * len(batch)
                    recording.add("logs", [pa.table({"time": times, "body": batch})])
            writer.finish()
        files = Path(folder) / "d" / "recordings" / "r"
        texts = {row["template_id"]: row["template"] for row in pq.read_table(files / "templates.parquet").to_pylist()}
        return {
            row["body"]: (row["template_id"], texts[row["template_id"]])
            for row in pq.read_table(files / "logs.parquet").to_pylist()
        }


@given(st.sets(statements, min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_every_statement_gets_a_template_that_fits_it(lines: set[str]) -> None:
    miner = TemplateMiner()
    groups = {line: miner.learn(line) for line in sorted(lines)}

    for line, group in groups.items():
        template = miner.template(line, group)
        assert GAP not in template
        # Whatever word is no gap in the template stands in the line too.
        assert all(word in line for word in re.findall(r"[\w#]+", template.replace("<*>", " ")))


@given(st.lists(bodies, min_size=1, max_size=12), st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=10, deadline=None)
def test_neither_order_nor_batches_change_a_template(lines: list[str], chance: random.Random, size: int) -> None:
    shuffled = chance.sample(lines, len(lines))

    assert templates_of([lines]) == templates_of([shuffled[at : at + size] for at in range(0, len(shuffled), size)])


@given(statements)
@settings(max_examples=200, deadline=None)
def test_there_is_always_one_gap_more_than_words(masked: str) -> None:
    statement = Statement.parse(masked)

    assert len(statement.between) == len(statement.words) + 1
    assert all(word and not word.isspace() for word in statement.words)
