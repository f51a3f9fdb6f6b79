"""The HTML report as a whole: self-contained, escaped, linked, bounded, and honest about what it cannot show."""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.diagnosis import Failure, FailureKind
from rcabench.core.run import DatasetStamp, RunRecord, ScoredDiagnosis
from rcabench.core.truth import RootCause, Truth
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Evidence, Modality, Turn, Verdict
from rcabench.datasets.folder import Dataset
from rcabench.plugins import Registry
from rcabench.reporting.base import Page
from rcabench.reporting.html import HtmlReporter
from rcabench.testing import check_reporter, small_case, small_incident, small_recording
from rcabench.testing.reports import agents_report, small_dataset, small_report
from rcabench.testing.runs import small_run

HOSTILE = "<script>document.title='pwned'</script>\"'><img src=x onerror=alert(1)>&amp;\x1b[31m\u202e"
VOID = {"meta", "link", "br", "hr", "input", "col", "wbr"}


class Outline(HTMLParser):
    """Reads a page: which elements it has, and whether each one is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.faults: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        self.faults += [f"<{name}> is never closed" for name in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == name]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_dataset(tmp_path_factory.mktemp("small") / "small")


@pytest.fixture(scope="module")
def pages(dataset: Dataset) -> tuple[Page, ...]:
    return HtmlReporter().render([small_report(dataset), small_report(dataset, onset_given=True)])


@pytest.fixture(scope="module")
def agents(dataset: Dataset) -> tuple[Page, ...]:
    """Pages of a run of agents: their waterfalls, costs, charts, and several attempts in another dataset."""
    costly = Usage(calls=3, input_tokens=900, output_tokens=30, longest_input=500, usd=0.01)
    answers = {"llm": {f"{i:02}": [{"service.AC@1": 1.0}, {"service.AC@1": float(i % 2)}] for i in range(20)}}
    tracing = {"tracing": {"tenant": HOSTILE, "project": "night"}}
    several = small_run(answers, attempts=2, dataset="other", folder="runs/other", usage=costly, config=tracing)
    return HtmlReporter().render([agents_report(dataset), several])


@pytest.fixture(scope="module")
def incident(pages: tuple[Page, ...]) -> str:
    return next(page.text for page in pages if page.name == f"incidents/small/{small_incident().id}.html")


def test_it_is_found_under_its_name() -> None:
    assert Registry.of("reporters").get("html") is HtmlReporter


def test_it_keeps_to_the_reporters_contract() -> None:
    check_reporter(HtmlReporter)


def test_there_is_an_index_and_a_page_per_incident(pages: tuple[Page, ...]) -> None:
    assert [page.name for page in pages] == [
        "index.html", "incidents/small/0a1b2c3d4e5f.html", "incidents/small/5f0d3c2b1a09.html",
    ]  # fmt: skip


def test_every_element_is_closed_where_it_should_be(pages: tuple[Page, ...], agents: tuple[Page, ...]) -> None:
    every = (*pages, *agents)

    assert [faults for page in every for faults in Outline(page.text).faults] == []


def test_ids_are_unique_within_a_page(pages: tuple[Page, ...], agents: tuple[Page, ...]) -> None:
    for page in (*pages, *agents):
        ids = [attributes["id"] for _, attributes in Outline(page.text).elements if "id" in attributes]
        assert len(ids) == len(set(ids))


def test_nothing_is_fetched_from_anywhere(pages: tuple[Page, ...], agents: tuple[Page, ...]) -> None:
    for page in (*pages, *agents):
        outline = Outline(page.text)
        assert not [name for name, _ in outline.elements if name in ("link", "img", "iframe", "object", "embed")]
        assert all("src" not in attributes for attributes in outline.all("script"))
        assert not re.search(r"@import|url\(|https?://", page.text)


def test_every_link_leads_to_a_page_and_an_anchor_of_the_report(pages: tuple[Page, ...]) -> None:
    outlines = {page.name: Outline(page.text) for page in pages}
    ids = {name: {a.get("id") for _, a in outline.elements} for name, outline in outlines.items()}
    links = 0
    for name, outline in outlines.items():
        for attributes in outline.all("a"):
            link = urlsplit(attributes["href"] or "")
            target = (
                posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(link.path))) if link.path else name
            )
            assert target in outlines, f"{name}: {attributes['href']} leads nowhere"
            assert not link.fragment or link.fragment in ids[target]
            links += 1
    assert links > 20


def test_every_table_has_a_caption_and_every_head_a_scope(pages: tuple[Page, ...], agents: tuple[Page, ...]) -> None:
    for page in (*pages, *agents):
        assert page.text.count("<table") == page.text.count("<caption>") > 0
        assert all(attributes.get("scope") in ("row", "col") for attributes in Outline(page.text).all("th"))


def test_every_drawing_has_a_name_for_those_who_do_not_see_it(
    pages: tuple[Page, ...], agents: tuple[Page, ...]
) -> None:
    for page in (*pages, *agents):
        for attributes in Outline(page.text).all("svg"):
            assert attributes["role"] == "img"
            assert attributes["aria-label"]


def test_the_main_page_says_what_was_run(pages: tuple[Page, ...], dataset: Dataset) -> None:
    text = Outline(pages[0].text).text

    for fact in (
        "0.1.0",
        "c0ffee1234+",
        "python 3.11.7",
        dataset.digest()[:12],
        "onset hidden",
        "onset given",
        "2 cases",
    ):
        assert fact in text


def test_an_incident_page_shows_telemetry_evidence_and_verdicts_beside_the_truth(incident: str) -> None:
    text = Outline(incident).text

    for shown in (
        "Requests to web have become slow", "cpu_usage", "median 0.201 → 0.946", "true onset 10:05:00",
        "onset told by team (10:05:00) and loud (10:06:35)", "ComputePrice", "request timed out after <NUM> ms",
        "version 7", "cpu_usage of cart-0 rose from 0.2 to 0.9.", "confirmed by 2", "disputed by 1",
        "SlowestSpans(windows=2026-01-05 10:00:00–10:10:00 UTC, services=cart, limit=5)", "+1 min 35 s",
        "metric specialist", "novel", "It is cart.", "gave up after 60 s", "abstained: no fault named", "edge F1 0.667",
    ):  # fmt: skip
        assert shown in text, shown


def test_the_truth_stands_above_the_verdicts_and_marks_agree_with_the_scores(incident: str) -> None:
    table = re.search(r'<table class="verdicts".*?</table>', incident, flags=re.DOTALL)
    assert table is not None
    rows = re.findall(r"<tr.*?</tr>", table.group(), flags=re.DOTALL)
    plain = [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", row)) for row in rows]

    assert plain[1].split()[:3] == ["Truth", "cart", "cart-0"]
    team = next(row for row in plain if row.startswith(" team"))
    loud = next(row for row in plain if row.startswith(" loud"))
    assert (team.count("✓"), team.count("✗")) == (5, 0)
    assert (loud.count("✓"), loud.count("✗")) == (0, 5)


def test_a_given_onset_is_not_drawn_as_a_finding(dataset: Dataset) -> None:
    page = HtmlReporter().render([small_report(dataset, onset_given=True)])[2].text

    assert "onset told by" not in page
    assert 'class="onset"' in page
    assert 'class="guess"' not in page


def test_a_healthy_window_says_that_nothing_was_wrong(pages: tuple[Page, ...]) -> None:
    text = Outline(pages[1].text).text

    assert "healthy: nothing was wrong" in text
    assert "None of 14 series moved." in text


def test_the_same_records_give_the_same_pages(dataset: Dataset, pages: tuple[Page, ...]) -> None:
    assert HtmlReporter().render([small_report(dataset), small_report(dataset, onset_given=True)]) == pages


def test_without_the_dataset_the_pages_say_so_and_show_the_record(dataset: Dataset) -> None:
    record = moved(small_report(dataset), folder="/gone")

    index, _, incident = HtmlReporter().render([record])

    for page in (index, incident):
        assert "Truth and telemetry are not shown" in page.text
        assert "no dataset folder" in page.text
    text = Outline(incident.text).text
    assert "cpu_usage of cart-0 rose from 0.2 to 0.9." in text
    assert "What the telemetry shows" not in text
    assert "Truth\n" not in text
    assert "✓" in text, "marks come from the scores, which the record holds"


def test_a_dataset_that_changed_since_the_run_is_not_believed(tmp_path: Path) -> None:
    changed = small_dataset(tmp_path / "small")
    record = small_report(changed)
    truth = changed.folder / "truth.jsonl"
    truth.write_text(truth.read_text(encoding="utf-8").replace("cart", "web"), encoding="utf-8")

    _, _, page = HtmlReporter().render([record])

    assert "has changed since the run: its digest was" in page.text
    assert "What the telemetry shows" not in page.text


def test_a_damaged_recording_costs_the_telemetry_and_not_the_page(tmp_path: Path) -> None:
    damaged = small_dataset(tmp_path / "small")
    record = small_report(damaged)
    shutil.rmtree(damaged.folder / "recordings")

    _, _, page = HtmlReporter().render([record])

    assert "metrics cannot be shown" in page.text
    assert "Verdicts beside the truth" in page.text


def test_telemetry_can_be_left_out(dataset: Dataset) -> None:
    _, _, page = HtmlReporter(telemetry=False).render([small_report(dataset)])

    assert "What the telemetry shows" not in page.text
    assert "Verdicts beside the truth" in page.text


def test_a_page_bounds_what_it_shows_and_says_what_it_cut(dataset: Dataset) -> None:
    small = HtmlReporter(series=1, spans=2, templates=1, evidence=1)

    text = Outline(small.render([small_report(dataset)])[2].text).text

    assert "1 are shown" in text
    assert "2 of its 7 spans are shown" in text
    assert "The strongest 1 of 3 are shown." in text


@pytest.mark.parametrize("option", ["series", "spans", "templates", "evidence", "agent_spans"])
def test_a_bound_of_nothing_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option} is 0"):
        Registry.of("reporters").get("html")(**{option: 0})


def test_hostile_text_is_shown_and_never_becomes_markup(tmp_path: Path) -> None:
    record = small_report(hostile_dataset(tmp_path / "hostile"))
    record = replace(record, results=tuple(hostile(result) for result in record.results))
    renamed = replace(
        record,
        manifest=replace(
            record.manifest, diagnosers={HOSTILE: {"name": "x"}}, commit=HOSTILE, versions={HOSTILE: HOSTILE}
        ),
    )

    pages = HtmlReporter(title=HOSTILE).render([renamed])

    for page in pages:
        outline = Outline(page.text)
        assert outline.faults == []
        assert len(outline.all("script")) == 1
        assert not outline.all("img")
        assert not [name for _, attributes in outline.elements for name in attributes if name.startswith("on")]
        assert "\x1b" not in page.text
        assert "\u202e" not in page.text
        page.text.encode("utf-8")
    assert "<script>document.title='pwned'</script>" in Outline(pages[0].text).text
    assert "<script>document.title='pwned'</script>" in Outline(pages[1].text).text


def test_names_that_are_no_file_names_stay_inside_the_report(dataset: Dataset) -> None:
    record = small_report(dataset)
    stamp = replace(record.manifest.datasets[0], name="../../etc", folder="/gone")
    results = tuple(
        replace(result, diagnosis=replace(result.diagnosis, dataset="../../etc", incident_id="/passwd"))
        for result in record.results[:4]
    )

    pages = HtmlReporter().render(
        [replace(record, manifest=replace(record.manifest, datasets=(stamp,)), results=results)]
    )

    assert re.fullmatch(r"incidents/etc-[0-9a-f]{8}/passwd-[0-9a-f]{8}\.html", pages[1].name)
    assert f'href="{pages[1].name}"' in pages[0].text


def test_the_inks_of_the_matrix_are_legible_in_light_and_in_dark() -> None:
    """WCAG 2.1, 1.4.3: at least 4.5 to 1 between text and ground."""
    import rcabench.reporting.pages as package

    style = (Path(package.__file__).parent / "style.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in style.split("@media")[:2])
    pairs = [(f"{kind}-ink", kind) for kind in ("rank1", "rank2", "rank4", "rank6", "miss")]
    pairs += [(ink, "ground") for ink in ("ink", "soft", "accent", "right", "wrong", "predicted")]

    for theme in (light, dark):
        assert {(a, b): contrast(theme[a], theme[b]) for a, b in pairs if contrast(theme[a], theme[b]) < 4.5} == {}


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def moved(record: RunRecord, *, folder: str) -> RunRecord:
    stamps: Sequence[DatasetStamp] = [replace(stamp, folder=folder) for stamp in record.manifest.datasets]
    return replace(record, manifest=replace(record.manifest, datasets=tuple(stamps)))


def hostile_dataset(folder: Path) -> Dataset:
    """Write the small system with every name, body and template turned hostile."""
    frames = dict(small_recording())
    for table, columns in (
        ("metrics", ("metric", "service", "pod", "host")),
        ("spans", ("service", "pod", "host", "operation")),
        ("logs", ("service", "pod", "host", "body")),
        ("events", ("kind", "service", "text")),
        ("templates", ("template",)),
    ):
        frames[table] = frames[table].copy()
        for column in columns:
            frames[table][column] = [_tainted(value) for value in frames[table][column]]
    frames["units"] = frames["units"].assign(unit=HOSTILE)
    case = small_case()
    cause = RootCause(
        service=HOSTILE, pod=HOSTILE, host=HOSTILE, fault_type=HOSTILE, onset=case.truth.root_causes[0].onset
    )
    truth = Truth(root_causes=(cause,), call_chain=CallChain(services=(HOSTILE, "web")), decoys=(HOSTILE,))
    tainted = replace(case, incident=small_incident(symptom=HOSTILE), truth=truth)
    return small_dataset(folder, frames=frames, cases=(tainted,))


def _tainted(value: Any) -> Any:
    return f"{value}{HOSTILE}" if isinstance(value, str) else value


def hostile(result: ScoredDiagnosis) -> ScoredDiagnosis:
    """Return the result of a diagnoser that wants to take the page over."""
    diagnosis = replace(result.diagnosis, diagnoser=HOSTILE)
    if diagnosis.failure is not None:
        failure = Failure(kind=FailureKind.ERROR, message=HOSTILE)
        return replace(result, diagnosis=replace(diagnosis, failure=failure, attempt=1))
    finding = Evidence(
        id=HOSTILE, modality=Modality.LOG, component=ComponentRef(level=Level.POD, name=HOSTILE), claim=HOSTILE,
        strength=0.5, fault_type=HOSTILE, confirmed_by=(HOSTILE,), disputed_by=(HOSTILE,),
    )  # fmt: skip
    lead = Candidate(
        host=HOSTILE, service=HOSTILE, pod=HOSTILE, operation=HOSTILE, fault_type=HOSTILE, evidence=(HOSTILE,)
    )
    verdict = Verdict(
        candidates=(lead,), narrative=HOSTILE, evidence=(finding,), call_chain=CallChain(services=(HOSTILE, HOSTILE)),
        transcript=(Turn(agent=HOSTILE, text=HOSTILE),),
    )  # fmt: skip
    return replace(result, diagnosis=replace(diagnosis, verdict=verdict))
