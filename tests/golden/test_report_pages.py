"""Reports of a fixed record stay as they are, to the letter; run this file to write them anew after a wanted change."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from rcabench.core.run import RunRecord
from rcabench.core.usage import Usage
from rcabench.reporting.base import Reporter
from rcabench.reporting.json_report import JsonReporter
from rcabench.reporting.latex import LatexReporter
from rcabench.reporting.markdown import MarkdownReporter
from rcabench.reporting.metric import ORDER
from rcabench.reporting.table import TableReporter
from rcabench.testing.runs import small_run

FOLDER = Path(__file__).parent / "reports"
GRADED = ("Avg@5", "MRR", "edge", "lcs")
REPORTERS: tuple[Reporter, ...] = (
    TableReporter(width=120, color=False),
    MarkdownReporter(),
    LatexReporter(standalone=True),
    JsonReporter(),
)


def _value(name: str, skill: float, healthy: bool, chance: random.Random) -> float | None:
    if name.startswith("healthy") != healthy:
        return None
    if name in ("chain.hops", "onset.abs_error_s"):
        return float(chance.randrange(40)) if chance.random() < skill else None
    if any(word in name for word in GRADED):
        return chance.choice([0.0, 0.2, 0.5, 1.0])
    return float(chance.random() < skill)


def _record(folder: str, *, onset_given: bool, cases: int, usage: Usage) -> RunRecord:
    chance = random.Random(folder)
    answers = {
        label: {f"{i:012x}": {name: _value(name, skill, i % 5 == 0, chance) for name in ORDER} for i in range(recorded)}
        for label, skill, recorded in (("statistical", 0.8, 30), ("baro", 0.5, 30), ("random", 0.1, 27))
    }
    failed = [("baro", f"{3:012x}")]
    return small_run(answers, failed=failed, cases=cases, folder=folder, onset_given=onset_given, usage=usage)


def golden_records() -> tuple[RunRecord, ...]:
    """Return a run with and one without the onset; `random` is not finished in either."""
    free = Usage(seconds=0.25, queries=14, rows=900)
    paid = Usage(seconds=7.5, queries=9, rows=500, calls=3, input_tokens=8100, output_tokens=420, usd=0.031)
    return (
        _record("runs/given", onset_given=True, cases=30, usage=free),
        _record("runs/withheld", onset_given=False, cases=30, usage=paid),
    )


def _rounded(plain: Any) -> Any:
    """Round floats: the last digits of a bootstrap depend on the order in which a processor adds up."""
    if isinstance(plain, dict):
        return {key: _rounded(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_rounded(item) for item in plain]
    return round(plain, 9) if isinstance(plain, float) else plain


@pytest.mark.parametrize("reporter", REPORTERS, ids=lambda reporter: type(reporter).__name__)
def test_a_report_stays_as_it_is(reporter: Reporter) -> None:
    (page,) = reporter.render(golden_records())
    expected = (FOLDER / page.name).read_text(encoding="utf-8")

    if page.name.endswith(".json"):
        assert _rounded(json.loads(page.text)) == _rounded(json.loads(expected))
    else:
        assert page.text == expected


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in REPORTERS:
        for written in each.render(golden_records()):
            (FOLDER / written.name).write_text(written.text, encoding="utf-8")
