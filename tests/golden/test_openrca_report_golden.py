"""What reports say of OpenRCA stays to the letter: figures by system and difficulty, others' in a block of their own.

Run this file to write the files anew after a wanted change.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rcabench.core.run import RunRecord
from rcabench.core.score import Score
from rcabench.reporting.base import Reporter
from rcabench.reporting.breakdown import breakdown
from rcabench.reporting.html import HtmlReporter
from rcabench.reporting.json_report import JsonReporter
from rcabench.reporting.latex import LatexReporter
from rcabench.reporting.markdown import MarkdownReporter
from rcabench.reporting.published import published_plain, published_tables
from rcabench.reporting.statistics import wilson
from rcabench.reporting.table import TableReporter
from rcabench.scoring.openrca.scorer import OpenRca
from rcabench.testing.runs import small_run

FOLDER = Path(__file__).parent / "openrca"
SCORERS = {"openrca": {"name": "openrca", "options": {}, "quantities": list(OpenRca.quantities)}}
REPORTERS: dict[str, Reporter] = {
    "report.txt": TableReporter(width=140, color=False, metrics="openrca.strict"),
    "report.md": MarkdownReporter(metrics="openrca.strict"),
    "report.tex": LatexReporter(metrics="openrca.strict"),
    "report.json": JsonReporter(),
    "index.html": HtmlReporter(telemetry=False),
}


def _scores(skill: float, chance: random.Random) -> dict[str, float]:
    told = chance.choice([0.0, 0.5]) if chance.random() > skill else 1.0
    meant = max(told, chance.choice([0.0, 0.5, 1.0]) if chance.random() < 0.2 else told)
    found: dict[str, float] = {}
    for layer, score in (("openrca", told), ("openrca.canonical", meant)):
        found |= {
            f"{layer}.strict": float(score == 1.0),
            f"{layer}.partial": float(0 < score < 1),
            f"{layer}.mean": score,
        }
    return {**found, "openrca.format_loss": meant - told}


def openrca_record(*, folder: str = "runs/openrca", systems: tuple[str, ...] = ("bank", "telecom")) -> RunRecord:
    """Return a run over made-up questions of several systems: one diagnoser guesses better than the other."""
    parts = []
    for system in systems:
        chance = random.Random(system)
        answers = {
            label: {f"{i:012x}": _scores(skill, chance) for i in range(12)} for label, skill in (("a", 0.6), ("b", 0.2))
        }
        parts.append(small_run(answers, dataset=f"openrca-{system}", folder=folder, scorers=SCORERS))
    first = parts[0]
    results = []
    for result in (result for part in parts for result in part.results):
        detail = {"difficulty": ("easy", "middle", "hard")[int(result.diagnosis.incident_id, 16) % 3]}
        scores = tuple(Score(name=s.name, value=s.value, detail=detail) for s in result.scores)
        results.append(replace(result, scores=scores))
    stamps = tuple(part.manifest.datasets[0] for part in parts)
    return replace(first, manifest=replace(first.manifest, datasets=stamps), results=tuple(results))


def rendered(name: str) -> str:
    page = REPORTERS[name].render([openrca_record()])[0].text
    if name == "index.html":
        parts: list[str] = re.findall(r"<section.*?</section>", page, flags=re.DOTALL)
        kept = [part for part in parts if 'id="openrca"' in part or 'id="published"' in part]
        return re.sub(r"(?<=>)(?=<)", "\n", "\n".join(kept)) + "\n"
    if name == "report.json":
        plain = json.loads(page)
        kept_keys = {key: plain[key] for key in ("openrca", "published")}
        return json.dumps(_rounded(kept_keys), indent=1, ensure_ascii=False) + "\n"
    return page


def _rounded(plain: Any) -> Any:
    """Round floats: the last digits of a bootstrap depend on the order in which a processor adds up."""
    if isinstance(plain, dict):
        return {key: _rounded(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_rounded(item) for item in plain]
    return round(plain, 9) if isinstance(plain, float) else plain


@pytest.mark.parametrize("name", sorted(REPORTERS))
def test_a_report_on_openrca_stays_as_it_is(name: str) -> None:
    assert rendered(name) == (FOLDER / name).read_text(encoding="utf-8")


def test_every_published_row_bears_citation_date_n_and_an_interval_that_is_marked_as_derived() -> None:
    (found,) = published_plain([openrca_record()])
    (table,) = published_tables([openrca_record()])

    assert len(found["rows"]) == len(table.rows) == 21
    assert sum(row["rederivable"] for row in found["rows"]) == 1
    for row in found["rows"]:
        assert row["n"] == 335
        assert row["citation"]
        assert re.fullmatch(r"20\d\d-\d\d", row["date"])
        for score in row["scores"].values():
            assert (score["derived"]["low"], score["derived"]["high"]) == wilson(score["published"], 335)
    assert "nobody published them" in table.notes[0]
    assert "beside the tables of these runs and not in them" in table.notes[0]


def test_runs_on_other_data_show_nothing_of_it() -> None:
    other = small_run({"a": {"x": {"service.AC@1": 1.0}}})

    assert published_tables([other]) == ()
    assert breakdown([other]) == ()
    assert all(
        "Published by others" not in page.text and "OpenRCA" not in page.text
        for reporter in (TableReporter(), MarkdownReporter(), LatexReporter(), HtmlReporter(telemetry=False))
        for page in reporter.render([other])
    )


def test_systems_and_difficulties_add_up_to_all() -> None:
    for label in "ab":
        rows = [row for row in breakdown([openrca_record()]) if row.diagnoser == label]
        whole = next(row for row in rows if row.group == "all")
        for group, names in (
            ("system", ["openrca-bank", "openrca-telecom"]),
            ("difficulty", ["easy", "middle", "hard"]),
        ):
            parts = [row for row in rows if row.group == group]
            assert [row.name for row in parts] == names
            assert sum(row.n for row in parts) == whole.n == 24
            for score, count in whole.counts.items():
                assert sum(row.counts[score] for row in parts) == count


def test_questions_of_several_runs_are_never_put_together() -> None:
    rows = breakdown([openrca_record(), openrca_record(folder="runs/again", systems=("bank",))])

    assert {(row.run, row.n) for row in rows if row.group == "all"} == {("openrca", 24), ("again", 12)}


def test_an_unfinished_run_is_marked() -> None:
    record = openrca_record()
    short = replace(record, results=record.results[1:])

    assert {row.diagnoser for row in breakdown([short]) if row.incomplete} == {"a"}
    assert "a (incomplete)" in TableReporter(metrics="openrca.strict", width=140).render([short])[0].text


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file in REPORTERS:
        (FOLDER / file).write_text(rendered(file), encoding="utf-8")
