"""Each thing that can be wrong with a dataset is found, and a sound dataset is left in peace."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.time import TimeWindow, parse_utc
from rcabench.core.truth import Case, RootCause, Truth
from rcabench.datasets.folder import Dataset
from rcabench.datasets.lint import Finding, Severity, lint
from rcabench.datasets.lint.recordings import label_pattern
from rcabench.datasets.synthetic import Synthetic
from rcabench.datasets.writer import DatasetWriter

START = parse_utc("2026-02-01T00:00:00Z")
HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A dataset of 10 hours and 10 cases in which nothing is wrong; parts of it can be replaced."""

    tables: Mapping[str, str] = field(
        default_factory=lambda: {
            "metrics": """SELECT time, 'cpu' AS metric, 0.5 AS value, s AS service, s || '-0' AS pod, 'n1' AS host,
                CAST(NULL AS MAP(VARCHAR, VARCHAR)) AS attributes FROM minutes, services""",
            "spans": """SELECT time, 900 AS duration_us, hash(time, s)::VARCHAR AS trace_id, s AS span_id,
                NULL AS parent_span_id, s AS service, s || '-0' AS pod, 'n1' AS host, 'get' AS operation,
                'server' AS kind, 'ok' AS status, CAST(NULL AS MAP(VARCHAR, VARCHAR)) AS attributes
                FROM minutes, services""",
            "logs": """SELECT time, s AS service, s || '-0' AS pod, 'n1' AS host, 'INFO' AS severity,
                'done' AS body, NULL AS trace_id, NULL AS span_id, 0 AS template_id FROM minutes, services""",
            "events": """SELECT time, 'deploy' AS kind, 'cart' AS service, NULL AS pod, NULL AS host,
                'Deployed cart 1.2' AS text FROM minutes LIMIT 1""",
            "topology": """SELECT * FROM (VALUES ('web', 'cart', 'calls'), ('cart', 'stock', 'calls'),
                ('cart-0', 'n1', 'runs_on')) AS t(source, target, kind)""",
        }
    )
    cases: tuple[Case, ...] = field(default_factory=lambda: tuple(a_case(hour) for hour in range(10)))

    def written(self, folder: Path) -> Dataset:
        recording = folder / "recordings" / "day"
        recording.mkdir(parents=True)
        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"""CREATE VIEW minutes AS SELECT unnest(generate_series(TIMESTAMPTZ '{START}',
                TIMESTAMPTZ '{START + 11 * HOUR}', INTERVAL 1 MINUTE)) AS time""")
            connection.execute("CREATE VIEW services AS SELECT unnest(['web', 'cart', 'stock']) AS s")
            for table, select in self.tables.items():
                connection.execute(f"COPY ({select}) TO '{recording / f'{table}.parquet'}'")
        return Dataset(name="sound", folder=folder, manifest={"name": "sound"}, cases=self.cases)

    def with_table(self, table: str, select: str | None) -> Sound:
        tables = {**self.tables, table: select or ""}
        return replace(self, tables={key: value for key, value in tables.items() if value})


def a_case(hour: int) -> Case:
    """Return a case of the given hour; the first two are healthy, and the onset wanders."""
    start = START + hour * HOUR
    incident = Incident(
        id=hashlib.sha256(str(hour).encode()).hexdigest()[:12],
        dataset="sound",
        symptom="users complain",
        symptom_component=ComponentRef(level=Level.SERVICE, name="web"),
        window=TimeWindow(start=start + timedelta(minutes=20), end=start + timedelta(minutes=40)),
        reference=(TimeWindow(start=start, end=start + timedelta(minutes=20)),),
        asked=(Aspect.SERVICE, Aspect.ONSET),
    )
    cause = RootCause(
        service="cart", pod="cart-0", host="n1", fault_type="network_delay", onset=start + timedelta(minutes=22 + hour)
    )
    truth = Truth(root_causes=(cause,), call_chain=CallChain(services=("cart", "web")))
    return Case(incident=incident, truth=Truth() if hour < 2 else truth, recording="day")


def changed(number: int, *, incident: Mapping[str, Any] | None = None, cause: Mapping[str, Any] | None = None) -> Sound:
    """Return the sound dataset with one case changed."""
    cases = list(Sound().cases)
    case = cases[number]
    truth = case.truth
    if cause is not None:
        truth = replace(truth, root_causes=(replace(truth.root_causes[0], **cause),))
    cases[number] = replace(case, incident=replace(case.incident, **(incident or {})), truth=truth)
    return Sound(cases=tuple(cases))


def each_incident(change: Callable[[int, Incident], Mapping[str, Any]]) -> Sound:
    """Return the sound dataset with all incidents changed."""
    cases = Sound().cases
    return Sound(
        cases=tuple(
            replace(case, incident=replace(case.incident, **change(number, case.incident)))
            for number, case in enumerate(cases)
        )
    )


def codes(findings: tuple[Finding, ...]) -> set[str]:
    return {finding.code for finding in findings}


def only(sound: Sound, folder: Path) -> Finding:
    """Return the only kind of finding about a dataset."""
    findings = lint(sound.written(folder), known_labels={"network_delay"})
    assert len(codes(findings)) == 1, findings
    return findings[0]


def test_nothing_is_found_in_a_sound_dataset(tmp_path: Path) -> None:
    assert lint(Sound().written(tmp_path), known_labels={"network_delay"}) == ()


def test_nothing_wrong_is_found_in_what_the_generator_makes(tmp_path: Path) -> None:
    with DatasetWriter.create(tmp_path / "s", name="s", card="synthetic", importer={}) as writer:
        Synthetic(services=10, incidents=10, healthy=2, window_minutes=3, seed=4).convert(None, writer)
        writer.finish()

    assert lint(Dataset.load(tmp_path / "s")) == ()


# Telemetry


def test_a_missing_modality_is_a_warning(tmp_path: Path) -> None:
    finding = only(Sound().with_table("spans", None), tmp_path)

    assert (finding.code, finding.severity) == ("modality-missing", Severity.WARNING)


@pytest.mark.parametrize("value", ["'nan'::DOUBLE", "'inf'::DOUBLE", "'-inf'::DOUBLE"])
def test_values_that_are_no_numbers_are_counted(tmp_path: Path, value: str) -> None:
    metrics = Sound().tables["metrics"].replace("0.5 AS value", f"if(s = 'web', {value}, 0.5) AS value")
    finding = only(Sound().with_table("metrics", metrics), tmp_path)

    assert finding.code == "not-finite"
    assert "661 sample(s)" in finding.message


def test_spans_that_come_twice_are_counted(tmp_path: Path) -> None:
    spans = Sound().tables["spans"]
    finding = only(Sound().with_table("spans", f"{spans} UNION ALL (SELECT * FROM ({spans}) LIMIT 5)"), tmp_path)

    assert finding.code == "duplicate-spans"
    assert "5 span(s)" in finding.message


def test_spans_that_end_before_they_start_are_found(tmp_path: Path) -> None:
    spans = Sound().tables["spans"].replace("900 AS", "-1 AS")

    assert only(Sound().with_table("spans", spans), tmp_path).code == "negative-duration"


@pytest.mark.parametrize(("hours", "told"), [(8, "+8 h"), (-5.5, "-5.5 h")])
def test_a_modality_on_a_local_clock_is_found_with_its_zone(tmp_path: Path, hours: float, told: str) -> None:
    minutes = int(hours * 60)
    logs = Sound().tables["logs"].replace("SELECT time,", f"SELECT time + INTERVAL ({minutes}) MINUTE AS time,")
    findings = lint(Sound().with_table("logs", logs).written(tmp_path))
    apart = [finding for finding in findings if finding.code == "clocks-apart"]

    assert len(apart) == 2
    assert any(f"logs lie {told} from metrics" in finding.message for finding in apart)


def test_modalities_without_a_common_moment_are_found(tmp_path: Path) -> None:
    spans = Sound().tables["spans"].replace("SELECT time,", "SELECT time + INTERVAL 99 DAY AS time,")
    findings = lint(Sound().with_table("spans", spans).written(tmp_path))

    assert any(f.code == "clocks-apart" and "no moment in common" in f.message for f in findings)


@pytest.mark.parametrize(
    ("table", "old", "new", "code"),
    [
        ("logs", "'done'", "'network delay of 5 s added'", "label-in-telemetry"),
        ("logs", "'done'", "'NetworkDelay started'", "label-in-telemetry"),
        ("metrics", "'cpu'", "'network_delay_active'", "label-in-telemetry"),
        ("events", "'Deployed cart 1.2'", "'network-delay'", "label-in-telemetry"),
        ("spans", "'get'", "'network_delay'", "label-in-telemetry"),
        ("logs", "'done'", "'fault injection begins'", "experiment-in-telemetry"),
        ("events", "'Deployed cart 1.2'", "'ChaosBlade deployed'", "experiment-in-telemetry"),
        ("metrics", "s || '-0' AS pod", "'chaos-daemon-x1' AS pod", "experiment-in-telemetry"),
        ("spans", "CAST(NULL AS MAP(VARCHAR, VARCHAR))", "MAP {{'tag': 'injected delay'}}", "experiment-in-telemetry"),
    ],
)  # fmt: skip
def test_words_of_the_experiment_in_the_telemetry_are_found(
    tmp_path: Path, table: str, old: str, new: str, code: str
) -> None:
    select = Sound().tables[table].replace(old, new.replace("{{", "{").replace("}}", "}"))
    finding = only(Sound().with_table(table, select), tmp_path)

    assert finding.code == code
    assert finding.where == f"recording day, {table}"


def test_words_that_honest_telemetry_uses_are_no_leak(tmp_path: Path) -> None:
    logs = (
        Sound()
        .tables["logs"]
        .replace("'done'", "'Injecting bean; network ok, delay 3 ms, cpu 5 %, threw exception with root cause'")
    )

    assert lint(Sound().with_table("logs", logs).written(tmp_path)) == ()


def test_only_labels_of_several_words_are_looked_for_and_however_they_are_joined() -> None:
    import re

    pattern = label_pattern(frozenset({"cpu", "network_delay", "CodeException"}))

    assert pattern is not None
    told = [text for text in ("network delay", "a_networkdelay_b", "code-exception", "cpu") if re.search(pattern, text)]
    assert told == ["network delay", "a_networkdelay_b", "code-exception"]
    assert label_pattern(frozenset({"cpu"})) is None


def test_a_recording_that_is_gone_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    dataset = replace(Sound().written(tmp_path), folder=tmp_path / "elsewhere")

    with pytest.raises(DataError, match="import the dataset again"):
        lint(dataset)


def test_a_damaged_recording_is_an_error_with_its_folder(tmp_path: Path) -> None:
    dataset = Sound().written(tmp_path)
    (tmp_path / "recordings" / "day" / "logs.parquet").write_bytes(b"PAR1 and no more")

    with pytest.raises(DataError, match="day: cannot be read"):
        lint(dataset)


# Cases


def test_a_window_without_telemetry_is_found(tmp_path: Path) -> None:
    window = TimeWindow(start=START + 50 * HOUR, end=START + 51 * HOUR)
    sound = changed(9, incident={"window": window}, cause={"onset": START + 50.5 * HOUR})
    findings = lint(sound.written(tmp_path))

    assert "window-outside-telemetry" in codes(findings)


def test_a_window_that_reaches_out_of_the_recording_is_a_warning(tmp_path: Path) -> None:
    sound = changed(9, incident={"window": TimeWindow(start=START + 9.4 * HOUR, end=START + 12 * HOUR)})
    findings = lint(sound.written(tmp_path))

    assert [(f.code, f.severity) for f in findings] == [("window-partly-covered", Severity.WARNING)]


def test_a_modality_that_is_missing_in_one_window_is_a_warning(tmp_path: Path) -> None:
    window = Sound().cases[4].incident.window
    logs = f"{Sound().tables['logs']} WHERE NOT (time >= '{window.start}' AND time < '{window.end}')"
    finding = only(Sound().with_table("logs", logs), tmp_path)

    assert finding.code == "modality-missing-in-window"
    assert Sound().cases[4].incident.id in finding.where


def test_a_reference_without_telemetry_is_found(tmp_path: Path) -> None:
    stretch = TimeWindow(start=START - 5 * HOUR, end=START - 4 * HOUR)

    assert only(changed(3, incident={"reference": (stretch,)}), tmp_path).code == "reference-outside-telemetry"


def test_an_onset_outside_of_its_window_is_found(tmp_path: Path) -> None:
    assert only(changed(3, cause={"onset": START}), tmp_path).code == "onset-outside-window"


@pytest.mark.parametrize("level", ["host", "pod", "operation"])
def test_a_culprit_that_the_telemetry_does_not_know_is_found(tmp_path: Path, level: str) -> None:
    finding = only(changed(3, cause={level: "ghost"}), tmp_path)

    assert finding.code == "truth-not-in-telemetry"
    assert f"{level} 'ghost'" in finding.message


def test_a_label_that_the_taxonomy_does_not_know_is_found_and_only_where_one_is_given(tmp_path: Path) -> None:
    dataset = changed(3, cause={"fault_type": "gremlins"}).written(tmp_path)

    assert codes(lint(dataset, known_labels={"network_delay"})) == {"label-unmapped"}
    assert lint(dataset) == ()


def test_a_call_chain_along_no_call_is_found(tmp_path: Path) -> None:
    cases = Sound().cases
    broken = replace(cases[3], truth=replace(cases[3].truth, call_chain=CallChain(services=("cart", "stock", "web"))))
    finding = only(Sound(cases=(*cases[:3], broken, *cases[4:])), tmp_path)

    assert finding.code == "chain-not-in-topology"
    assert "'web' does not call 'stock'" in finding.message


def test_a_call_chain_that_begins_elsewhere_than_the_fault_is_found(tmp_path: Path) -> None:
    cases = Sound().cases
    broken = replace(cases[3], truth=replace(cases[3].truth, call_chain=CallChain(services=("stock", "cart", "web"))))

    assert only(Sound(cases=(*cases[:3], broken, *cases[4:])), tmp_path).code == "chain-begins-elsewhere"


def test_an_incident_that_holds_the_onset_is_found(tmp_path: Path) -> None:
    hints = Hints(onset=Sound().cases[3].truth.root_causes[0].onset)

    assert "onset-given-away" in codes(lint(changed(3, incident={"hints": hints}).written(tmp_path)))


def test_a_symptom_that_names_the_culprit_is_a_warning_unless_the_alert_fired_there(tmp_path: Path) -> None:
    named = {"symptom": "cart is slow"}
    findings = lint(changed(3, incident=named).written(tmp_path / "a"))
    there = {**named, "symptom_component": ComponentRef(level=Level.SERVICE, name="cart")}

    assert [(f.code, f.severity) for f in findings] == [("symptom-names-culprit", Severity.WARNING)]
    assert lint(changed(3, incident=there).written(tmp_path / "b")) == ()


# All cases together


@pytest.mark.parametrize("told", ["x-cart-0-y", "network_delay7", "n-20260201", "2026-02-01-a", "1769916"])
def test_an_id_that_tells_component_fault_or_time_is_found(tmp_path: Path, told: str) -> None:
    assert only(changed(3, incident={"id": told}), tmp_path).code == "id-not-opaque"


def test_ids_in_the_order_of_time_are_found(tmp_path: Path) -> None:
    finding = only(each_incident(lambda number, _: {"id": f"ab{number:04d}"}), tmp_path)

    assert finding.code == "id-order-tells-time"
    assert "+1.00" in finding.message


def test_few_cases_say_nothing_about_the_order(tmp_path: Path) -> None:
    cases = each_incident(lambda number, _: {"id": f"ab{number:04d}"}).cases[:7]

    assert lint(Sound(cases=cases).written(tmp_path)) == ()


def test_overlapping_windows_with_different_truths_are_a_warning(tmp_path: Path) -> None:
    cases = Sound().cases
    wide = TimeWindow(start=cases[3].incident.window.start, end=cases[4].incident.window.end)
    finding = only(changed(3, incident={"window": wide}), tmp_path)

    assert (finding.code, finding.severity) == ("windows-overlap", Severity.WARNING)


def test_equal_windows_with_different_truths_are_an_error(tmp_path: Path) -> None:
    cases = Sound().cases
    onset = cases[4].incident.window.start
    sound = changed(3, incident={"window": cases[4].incident.window}, cause={"onset": onset})
    finding = only(sound, tmp_path)

    assert (finding.code, finding.severity) == ("windows-equal", Severity.ERROR)


_OTHER: Mapping[str, Callable[[Incident], Mapping[str, Any]]] = {
    "length of the window": lambda i: {"window": replace(i.window, end=i.window.end + timedelta(minutes=1))},
    "number of reference stretches": lambda i: {"reference": ()},
    "history": lambda i: {"history": i.reference[0]},
    "symptom": lambda i: {"symptom": "nobody complains"},
    "symptom's component": lambda i: {"symptom_component": None},
    "aspects asked": lambda i: {"asked": (Aspect.SERVICE,)},
    "hints": lambda i: {"hints": Hints(failures=0)},
}


@pytest.mark.parametrize("shape", _OTHER)
def test_healthy_windows_of_another_shape_are_found(tmp_path: Path, shape: str) -> None:
    finding = only(each_incident(lambda number, i: _OTHER[shape](i) if number < 2 else {}), tmp_path)

    assert finding.code == "healthy-by-shape"
    assert shape in finding.message


def test_a_shape_that_every_incident_has_for_itself_does_not_tell_healthy_ones(tmp_path: Path) -> None:
    sound = each_incident(lambda number, _: {"symptom": f"alert number {number * 7919 % 101}"})

    assert lint(sound.written(tmp_path)) == ()


def test_onsets_at_the_same_place_of_every_window_are_a_warning(tmp_path: Path) -> None:
    cases = tuple(
        replace(
            case,
            truth=Truth(
                root_causes=(RootCause(service="cart", onset=case.incident.window.start + timedelta(minutes=5)),)
            ),
        )
        for case in Sound().cases
    )
    finding = only(Sound(cases=cases), tmp_path)

    assert (finding.code, finding.severity) == ("border-tells-onset", Severity.WARNING)
    assert "25 %" in finding.message


def test_errors_come_before_warnings(tmp_path: Path) -> None:
    sound = changed(3, cause={"onset": START}, incident={"symptom": "cart is slow"})
    severities = [finding.severity for finding in lint(sound.written(tmp_path))]

    assert severities == [Severity.ERROR, Severity.WARNING]
