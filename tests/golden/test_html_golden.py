"""Drawings and tables of the HTML report stay as they were looked at; a change shows up as a difference to review.

After looking at the new pages in a browser, write the files anew:
UPDATE_GOLDEN=1 pytest tests/golden/test_html_golden.py
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from rcabench.reporting.html import HtmlReporter
from rcabench.testing.judging import small_judgements
from rcabench.testing.reports import agents_report, small_dataset, small_report

FOLDER = Path(__file__).parent / "html"

PARTS = {
    "leaderboard": ("index.html", r'<table class="forest.*?</table>'),
    "matrix": ("index.html", r'<table class="matrix.*?</table>'),
    "curve": ("incidents/small/5f0d3c2b1a09.html", r'<ul class="key" aria-label="Key to the curves".*?</figure>'),
    "waterfall": ("incidents/small/5f0d3c2b1a09.html", r'<table class="waterfall.*?</table>'),
    "verdicts": ("incidents/small/5f0d3c2b1a09.html", r'<table class="verdicts.*?</table>'),
    "evidence": ("incidents/small/5f0d3c2b1a09.html", r'<table class="evidence.*?</table>'),
    "agents": ("agents/incidents/small/5f0d3c2b1a09.html", r'<table class="waterfall agents.*?</table>'),
    "models": ("agents/index.html", r'<table class="figures.*?</table>'),
    "cost_chart": ("agents/index.html", r'<div class="chart.*?</div>'),
    "judged": ("judged/index.html", r'<section><h2 id="judgements".*?</section>'),
    "opinion": ("judged/incidents/small/5f0d3c2b1a09.html", r'<div class="note bad"><p.*?</table></div>.*?</div>'),
    "logs": ("incidents/small/5f0d3c2b1a09.html", r'<table class="logs.*?</table>'),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    dataset = small_dataset(tmp_path_factory.mktemp("golden") / "small")
    agents = HtmlReporter().render([agents_report(dataset)])
    record = small_report(dataset)
    judges = (small_judgements(record, {"5f0d3c2b1a09"}, wrong=5, drift=("g0/e1: no -> yes",)),)
    judged = HtmlReporter(telemetry=False).render([replace(record, judgements=judges)])
    pages = {page.name: page.text for page in HtmlReporter().render([record])}
    pages |= {f"agents/{page.name}": page.text for page in agents}
    return pages | {f"judged/{page.name}": page.text for page in judged}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_a_part_of_the_report_is_as_it_was_looked_at(part: str, pages: dict[str, str]) -> None:
    page, pattern = PARTS[part]
    found = re.search(pattern, pages[page], flags=re.DOTALL)
    assert found is not None, f"{page} has no {part}"
    # An element per line makes a difference readable.
    actual = re.sub(r"(?<=>)(?=<)", "\n", found.group()) + "\n"
    actual = re.sub(r"(small\.hidden\.)[0-9a-f]{8}", r"\1digest", actual)
    golden = FOLDER / f"{part}.html"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(actual, encoding="utf-8")

    assert golden.read_text(encoding="utf-8") == actual
