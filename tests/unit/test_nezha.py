"""The Nezha adapter turns the published layout into one recording a day, and names whatever it cannot use."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rcabench.core.component import CallChain
from rcabench.core.errors import DataError
from rcabench.core.time import TimeWindow, to_micros
from rcabench.core.truth import Case
from rcabench.datasets.folder import Dataset
from rcabench.datasets.nezha import Nezha
from rcabench.datasets.nezha.faults import Fault, grouped
from rcabench.datasets.nezha.logs import unwrapped
from rcabench.datasets.writer import DatasetWriter, ImportSummary
from rcabench.testing.dataset_checks import check_dataset_adapter

DAY = "2023-01-29"
START = datetime(2023, 1, 29, 8, 0, tzinfo=UTC)
WEB, CART, STORE = "web-5f55b6-77cfw", "cart-84cbf6-7njv6", "cart-store-59b758-ptpg5"
HOSTS = {WEB: "10.0.0.1", CART: "10.0.0.2", STORE: "10.0.0.2"}
SPAN_HEADER = "TraceID,SpanID,ParentID,PodName,OperationName,StartTimeUnixNano,EndTimeUnixNano,Duration"
LOG_HEADER = "Timestamp,TimeUnixNano,Node,PodName,Container,TraceID,SpanID,Log"
POD_HEADER = "Time,TimeStamp,PodName,CpuUsage(m),PodSuccessRate(%),NodeCpuUsageRate(%)"


def nanos(moment: datetime) -> int:
    return to_micros(moment) * 1000


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def line_of(*values: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


def span(trace: str, name: str, parent: str, pod: str, moment: datetime, millis: int = 5) -> str:
    begin = nanos(moment)
    return line_of(trace, f"{trace}-{name}", parent, pod, f"{pod}/op", begin, begin + millis * 1_000_000, millis * 1000)


def trace(number: int, moment: datetime, *, via: str | None = None) -> list[str]:
    """Return a trace web -> cart -> cart-store, or one straight from web to cart-store."""
    name = f"t{number}"
    rows = [span(name, "a", "root", WEB, moment)]
    if via is None:
        return [*rows, span(name, "c", f"{name}-a", STORE, moment)]
    return [*rows, span(name, "b", f"{name}-a", via, moment), span(name, "c", f"{name}-b", STORE, moment)]


def log(moment: datetime, pod: str, text: str, *, clock: int | None = None) -> str:
    wrapped = json.dumps({"log": text + "\n", "stream": "stdout", "time": moment.isoformat().replace("+00:00", "Z")})
    return line_of(
        moment.isoformat(), nanos(moment) if clock is None else clock, HOSTS[pod], pod, "c", "t1", "t1-a", wrapped
    )


def samples(pod: str, minutes: Sequence[int], *, node: Mapping[int, float] | None = None) -> list[str]:
    return [
        f"{at(m):%Y-%m-%d %H:%M}:09.074694499 +0000 UTC m=+{m}.1,1,{pod},{m}.5,0,{(node or {}).get(m, 10 + m)}"
        for m in minutes
    ]


@dataclass
class Layout:
    """A small day in the published layout; tests change it before it is written."""

    faults: dict[str, Any] = field(
        default_factory=lambda: {
            "08": [
                {
                    "inject_time": f"{DAY} 08:10:30",
                    "inject_timestamp": "1",
                    "inject_pod": STORE,
                    "inject_type": "return",
                },
                {
                    "inject_time": f"{DAY} 08:20:05",
                    "inject_timestamp": "1",
                    "inject_pod": CART,
                    "inject_type": "exception",
                },
            ]
        }
    )
    services: tuple[str, ...] = ("cart", "cart-store")
    files: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        traces, logs, metrics = f"rca_data/{DAY}/trace", f"rca_data/{DAY}/log", f"rca_data/{DAY}/metric"
        base = f"construct_data/{DAY}"
        self.files |= {
            f"{base}/trace/08_06_trace.csv": [SPAN_HEADER, *trace(1, at(5.5), via=CART)],
            f"{base}/log/08_06_log.csv": [LOG_HEADER, log(at(5.25), WEB, "16:05:15.0 INFO a.B#1 TraceID: aaaaaaaa ok")],
            f"{traces}/08_11_trace.csv": [
                SPAN_HEADER, *trace(2, at(10.6), via=CART), *trace(3, at(10.7), via=CART), *trace(4, at(10.8)),
            ],
            f"{traces}/08_21_trace.csv": [SPAN_HEADER, *trace(5, at(20.2), via=CART)],
            f"{logs}/08_11_log.csv": [LOG_HEADER, log(at(10.6), CART, "16:10:36.000 ERROR a.B#2 failed")],
            **{f"{metrics}/{pod}_metric.csv": [POD_HEADER, *samples(pod, range(0, 30))] for pod in (WEB, CART)},
        }  # fmt: skip

    def write(self, folder: Path) -> Path:
        (folder / "construct_data").mkdir(parents=True)
        causes = {service: {"return": "x"} for service in self.services}
        (folder / "construct_data" / "root_cause_ts.json").write_text(json.dumps(causes))
        for name, lines in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("".join(f"{line}\n" for line in lines))
        (folder / "rca_data" / DAY / f"{DAY}-fault_list.json").write_text(json.dumps(self.faults))
        return folder

    def minute(self, modality: str, minute: str) -> list[str]:
        return self.files[f"rca_data/{DAY}/{modality}/{minute}_{modality}.csv"]

    def metric(self, pod: str) -> list[str]:
        return self.files[f"rca_data/{DAY}/metric/{pod}_metric.csv"]


def convert(source: Path, adapter: Nezha | None = None) -> tuple[Dataset, ImportSummary]:
    out = source.parent / "out"
    with DatasetWriter.create(out, name="shop", card="shop", importer={"name": "nezha"}, source=source) as writer:
        (adapter or Nezha()).convert(source, writer)
        summary = writer.finish()
    return Dataset.load(out), summary


def imported(layout: Layout, folder: Path, adapter: Nezha | None = None) -> tuple[Dataset, ImportSummary]:
    return convert(layout.write(folder / "source"), adapter)


def by_time(dataset: Dataset) -> list[Case]:
    return sorted(dataset.cases, key=lambda case: case.incident.window)


def table(dataset: Dataset, name: str) -> pd.DataFrame:
    return pd.read_parquet(dataset.folder / "recordings" / DAY / f"{name}.parquet")


def row(dataset: Dataset, name: str, column: str, value: str) -> dict[str, Any]:
    rows = table(dataset, name)
    (found,) = rows[rows[column] == value].to_dict("records")
    return {str(key): cell for key, cell in found.items()}


def skipped(summary: ImportSummary) -> list[tuple[str, str, int, tuple[int, ...]]]:
    return [(skip.file.rpartition("/")[2], skip.reason, skip.count, skip.rows) for skip in summary.skips]


# What an incident holds


def test_a_fault_becomes_a_case_with_window_reference_history_and_truth(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)
    first, _ = by_time(dataset)

    assert at(4) <= first.incident.window.start <= at(8)
    assert at(14) <= first.incident.window.end <= at(16)
    assert first.incident.reference == (TimeWindow(start=at(5.25), end=at(5.5) + timedelta(microseconds=1)),)
    assert first.incident.history == TimeWindow(start=at(0), end=first.incident.window.start)
    assert first.incident.hints.onset is None
    (cause,) = first.truth.root_causes
    assert (cause.service, cause.pod, cause.host, cause.fault_type) == ("cart-store", STORE, None, "return")
    assert cause.onset == at(10.5)


def test_the_call_chain_is_the_way_that_most_traces_take_fault_first(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)

    assert [case.truth.call_chain for case in by_time(dataset)] == [
        CallChain(services=("cart-store", "cart", "web")),
        CallChain(services=("cart", "web")),
    ]


def test_a_tie_between_ways_goes_to_the_shorter_one(tmp_path: Path) -> None:
    layout = Layout()
    layout.minute("trace", "08_11")[1:] = [*trace(2, at(10.6), via=CART), *trace(4, at(10.8))]
    dataset, _ = imported(layout, tmp_path)

    assert by_time(dataset)[0].truth.call_chain == CallChain(services=("cart-store", "web"))


def test_a_service_that_the_way_passes_twice_stands_in_the_chain_once(tmp_path: Path) -> None:
    layout = Layout()
    layout.minute("trace", "08_11")[1:] = [
        span("t2", "a", "root", WEB, at(10.6)), span("t2", "b", "t2-a", CART, at(10.6)),
        span("t2", "c", "t2-b", WEB, at(10.6)), span("t2", "d", "t2-c", STORE, at(10.6)),
    ]  # fmt: skip
    dataset, _ = imported(layout, tmp_path)

    assert by_time(dataset)[0].truth.call_chain == CallChain(services=("cart-store", "web"))


def test_without_traces_in_the_window_the_whole_day_tells_the_chain(tmp_path: Path) -> None:
    layout = Layout()
    layout.faults["08"][1]["inject_pod"] = STORE
    del layout.files[f"rca_data/{DAY}/trace/08_21_trace.csv"]
    dataset, _ = imported(layout, tmp_path)

    assert by_time(dataset)[1].truth.call_chain == CallChain(services=("cart-store", "cart", "web"))


def test_the_topology_joins_calls_in_traces_and_hosts_of_pods(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)

    assert table(dataset, "topology").values.tolist() == [
        ["cart", "cart-store", "calls"],
        ["web", "cart", "calls"],
        ["web", "cart-store", "calls"],
        [CART, "10.0.0.2", "runs_on"],
        [WEB, "10.0.0.1", "runs_on"],
    ]
    assert dataset.cases[0].truth.topology == (("cart", "cart-store"), ("web", "cart"), ("web", "cart-store"))


def test_a_window_ends_where_the_minute_of_the_next_fault_begins(tmp_path: Path) -> None:
    layout = Layout()
    layout.faults["08"][1]["inject_time"] = f"{DAY} 08:12:59"
    dataset, _ = imported(layout, tmp_path)

    first, second = (case.incident.window for case in by_time(dataset))
    assert first.end == at(12)
    assert at(11) <= second.start < at(12)
    assert at(16) <= second.end <= at(18)


def test_the_place_of_the_onset_in_its_window_is_drawn_with_the_seed() -> None:
    faults = [
        Fault(onset=datetime(2023, 1, 29, hour, 30, 17, tzinfo=UTC), pod="a-b-c", fault_type="return")
        for hour in range(24)
    ]

    def leads(seed: int) -> list[timedelta]:
        return [group.faults[0].onset - group.window.start for group in grouped(faults, seed=seed)]

    assert len(set(leads(0))) == 5
    assert leads(0) == leads(0) != leads(1)


def test_faults_of_the_same_minute_are_one_incident_with_two_root_causes_and_no_empty_window(tmp_path: Path) -> None:
    layout = Layout()
    layout.faults["08"][1]["inject_time"] = f"{DAY} 08:10:59"
    dataset, _ = imported(layout, tmp_path)

    (case,) = dataset.cases
    assert [cause.service for cause in case.truth.root_causes] == ["cart-store", "cart"]
    assert case.incident.hints.failures == 2
    assert case.incident.window.seconds >= 360


def test_without_a_fault_free_minute_the_reference_is_what_lies_before_the_first_fault(tmp_path: Path) -> None:
    layout = Layout()
    layout.files = {name: lines for name, lines in layout.files.items() if not name.startswith("construct_data")}
    dataset, _ = imported(layout, tmp_path)

    assert {case.incident.reference for case in dataset.cases} == {(TimeWindow(start=at(0), end=at(10)),)}


def test_a_first_fault_before_all_metrics_has_neither_history_nor_an_empty_one(tmp_path: Path) -> None:
    layout = Layout()
    for pod in (WEB, CART):
        layout.metric(pod)[1:] = samples(pod, range(9, 30))
    dataset, _ = imported(layout, tmp_path)

    assert by_time(dataset)[0].incident.history is None


def test_the_adapter_keeps_to_the_contract_of_all_adapters(tmp_path: Path) -> None:
    check_dataset_adapter(Nezha, Layout().write(tmp_path / "source"))


# What the tables hold


def test_metrics_keep_their_published_names_and_go_to_pod_and_host(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)
    metrics = table(dataset, "metrics")

    pod = metrics[(metrics["metric"] == "CpuUsage(m)") & (metrics["pod"] == WEB)]
    assert (pod["service"].unique().tolist(), pod["host"].unique().tolist()) == (["web"], ["10.0.0.1"])
    assert pod["time"].min() == pd.Timestamp("2023-01-29T08:00:09.074694Z")
    node = metrics[metrics["metric"] == "NodeCpuUsageRate(%)"]
    assert node["pod"].isna().all()
    assert node.groupby("host").size().to_dict() == {"10.0.0.1": 30, "10.0.0.2": 30}
    units = table(dataset, "units").set_index("metric")["unit"].to_dict()
    assert units == {"CpuUsage(m)": "m", "NodeCpuUsageRate(%)": "%", "PodSuccessRate(%)": "%"}


def test_a_pod_without_logs_gets_the_host_whose_node_series_it_repeats(tmp_path: Path) -> None:
    layout = Layout()
    apart = {minute: 50.0 + minute for minute in range(30)}
    layout.metric(CART)[1:] = samples(CART, range(0, 30), node=apart)
    name = f"rca_data/{DAY}/metric/{STORE}_metric.csv"
    layout.files[name] = [POD_HEADER, *samples(STORE, range(0, 30), node=apart)]
    dataset, summary = imported(layout, tmp_path)

    assert by_time(dataset)[0].truth.root_causes[0].host == "10.0.0.2"
    assert any(STORE in notice for notice in summary.notices)


def test_a_pod_whose_node_series_fits_no_known_host_stays_without_one(tmp_path: Path) -> None:
    layout = Layout()
    name = f"rca_data/{DAY}/metric/{STORE}_metric.csv"
    rarely_the_same = {minute: minute + (10 if minute < 14 else 90) for minute in range(30)}
    layout.files[name] = [POD_HEADER, *samples(STORE, range(0, 30), node=rarely_the_same)]
    dataset, summary = imported(layout, tmp_path)

    assert by_time(dataset)[0].truth.root_causes[0].host is None
    assert "node metrics of 1 pod(s) are left out: nothing says on which host they ran" in summary.notices


def test_front_metrics_belong_to_the_entry_and_edge_metrics_to_the_side_that_saw_them(tmp_path: Path) -> None:
    layout = Layout()
    folder, clock = f"rca_data/{DAY}/metric", f"{at(1):%Y-%m-%d %H:%M:%S} +0000 UTC m=+1.0"
    layout.files[f"{folder}/front_service.csv"] = [
        "Time,TimeStamp,ServiceName,LatencyP50(s)",
        f"{clock},1,Frontend,0.5",
    ]
    for side in ("source", "destination"):
        layout.files[f"{folder}/{side}_50.csv"] = ["time,timestamp,web_cart,web_moon", f"{clock},1,0.25,1"]
    layout.files[f"{folder}/dependency.csv"] = ["Source,Target,Weight", "web,cart,1", "cart-store,10.0.0.9,1"]
    dataset, summary = imported(layout, tmp_path)
    front, caller, callee = (
        row(dataset, "metrics", "metric", metric)
        for metric in ("LatencyP50(s)", "source_50.web_cart", "destination_50.web_cart")
    )

    assert (front["service"], front["value"]) == ("web", 0.5)
    assert (caller["service"], caller["value"]) == ("web", 0.25)
    assert (callee["service"], callee["value"]) == ("cart", 0.25)
    assert dict(callee["attributes"]) == {"peer": "web", "side": "destination"}
    assert by_time(dataset)[0].truth.root_causes[0].host == "10.0.0.9"
    assert ("source_50.csv", "column 'web_moon' names no two known services", 1, (1,)) in skipped(summary)


def test_spans_carry_microseconds_parent_service_and_host(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)
    root, child = (row(dataset, "spans", "span_id", name) for name in ("t1-a", "t1-b"))

    assert (child["trace_id"], child["parent_span_id"]) == ("t1", "t1-a")
    assert (child["service"], child["pod"], child["host"]) == ("cart", CART, "10.0.0.2")
    assert child["duration_us"] == 5000
    assert pd.isna(root["parent_span_id"])
    assert root["time"] == pd.Timestamp(at(5.5))


def test_spans_and_lines_that_stand_in_two_files_are_kept_once_and_counted(tmp_path: Path) -> None:
    layout = Layout()
    layout.minute("trace", "08_21").extend(layout.minute("trace", "08_11")[1:3])
    layout.files[f"rca_data/{DAY}/log/08_21_log.csv"] = list(layout.minute("log", "08_11"))
    dataset, summary = imported(layout, tmp_path)

    assert not table(dataset, "spans").duplicated(["trace_id", "span_id"]).any()
    assert any(file == "spans" and count == 2 for file, _, count, _ in skipped(summary))
    assert ("08_21_log.csv", "line stands in an earlier file too", 1, (2,)) in skipped(summary)
    assert len(table(dataset, "logs")) == 2


def test_orphan_spans_are_kept_and_counted(tmp_path: Path) -> None:
    layout = Layout()
    layout.minute("trace", "08_11").append(span("t9", "z", "t9-lost", STORE, at(10.9)))
    dataset, summary = imported(layout, tmp_path)

    assert f"{DAY}: 1 of 15 span(s) are orphans: their parent was not published" in summary.notices
    assert "t9-z" in table(dataset, "spans")["span_id"].tolist()
    assert by_time(dataset)[0].truth.call_chain == CallChain(services=("cart-store", "cart", "web"))


def test_log_lines_lose_their_clock_level_and_ids_and_keep_what_they_say(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)
    logs = table(dataset, "logs").set_index("body")

    assert logs.index.tolist() == ["a.B#1 ok", "a.B#2 failed"]
    assert logs["severity"].tolist() == ["INFO", "ERROR"]
    assert logs.loc["a.B#1 ok", "time"] == pd.Timestamp(at(5.25))


@pytest.mark.parametrize(
    ("text", "severity", "body"),
    [
        ("plain words", None, "plain words"),
        ("2023-01-29T08:00:00.123456Z [WARNING] low", "WARN", "low"),
        ("ERRORS are rare", None, "ERRORS are rare"),
        ("INFO", "INFO", ""),
        ('{"message": "TraceID: aaaaaaaaaaaaaaaa SpanID: bbbbbbbb ok", "level": "error", "pid": 1}', "ERROR", "ok"),
        ('{"msg": "done", "severity": "odd", "status": 500, "user": {"b": 1}}', None, 'done status=500 user={"b": 1}'),
        ('{"broken": ', None, '{"broken":'),
        ("[1, 2]", None, "[1, 2]"),
    ],
)  # fmt: skip
def test_a_logged_text_is_unwrapped_whatever_its_form(text: str, severity: str | None, body: str) -> None:
    line = unwrapped(text)

    assert (line.severity, line.body) == (severity, body)


def test_a_line_with_a_broken_clock_takes_the_time_of_its_record(tmp_path: Path) -> None:
    layout = Layout()
    layout.minute("log", "08_11").append(log(at(10.75), CART, "16:10:45 ERROR late", clock=-6795364578871345152))
    dataset, summary = imported(layout, tmp_path)

    assert table(dataset, "logs").set_index("body").loc["late", "time"] == pd.Timestamp(at(10.75))
    assert any("1 log line(s) with a broken TimeUnixNano" in notice for notice in summary.notices)


# What cannot be used


def test_damaged_log_lines_are_counted_with_file_and_row(tmp_path: Path) -> None:
    layout = Layout()
    good = log(at(10.9), CART, "INFO fine")
    layout.minute("log", "08_11").extend([
        "1,2,3", good + ",more", line_of("", nanos(at(10)), "n", CART, "c", "t", "s", "{"),
        line_of("", nanos(at(10)), "n", CART, "c", "t", "s", '{"log": 1}'),
        line_of("", "soon", "n", CART, "c", "t", "s", '{"log": "x"}'), good[:-20], good,
    ])  # fmt: skip
    dataset, summary = imported(layout, tmp_path)

    assert skipped(summary) == [
        ("08_11_log.csv", 'Log holds no text under "log"', 1, (6,)),
        ("08_11_log.csv", "Log is no JSON", 2, (5, 8)),
        ("08_11_log.csv", "neither TimeUnixNano nor the record's time lies within a day of the recording", 1, (7,)),
        ("08_11_log.csv", "too few fields", 1, (3,)),
        ("08_11_log.csv", "too many fields", 1, (4,)),
    ]
    assert "fine" in table(dataset, "logs")["body"].tolist()


def test_damaged_spans_are_counted_with_file_and_row(tmp_path: Path) -> None:
    layout = Layout()
    begin = nanos(at(10.9))
    layout.minute("trace", "08_11").extend([
        f"t7,t7-a,root,{WEB},op,soon,{begin},1",
        f"t7,t7-b,root,{WEB},op,{begin},{begin - 1},1",
        f"t7,,root,{WEB},op,{begin},{begin},1",
        f"t7,t7-d,root,{WEB},op,{nanos(at(-9000))},{begin},1",
        f"t7,t7-e,root,{WEB}",
        f"t7,t7-f,root,{WEB},op,{begin},{begin},1,extra",
    ])  # fmt: skip
    dataset, summary = imported(layout, tmp_path)

    # How a row with too few or too many fields is called is DuckDB's to say.
    found = skipped(summary)
    assert [skip for skip in found if "is" in skip[1].split()] == [
        ("08_11_trace.csv", "EndTimeUnixNano is no time at or after the start", 1, (11,)),
        ("08_11_trace.csv", "StartTimeUnixNano is no time within a day of the recording", 2, (10, 13)),
        ("08_11_trace.csv", "TraceID, SpanID or PodName is empty", 1, (12,)),
    ]
    assert [(count, rows) for _, _, count, rows in found if rows in ((14,), (15,))] == [(1, (14,)), (1, (15,))]
    assert "t7" not in table(dataset, "spans")["trace_id"].tolist()


def test_metric_samples_without_a_valid_time_or_value_are_counted(tmp_path: Path) -> None:
    layout = Layout()
    clock = f"{at(2):%Y-%m-%d %H:%M:%S} +0000 UTC"
    layout.metric(WEB)[1:] = [
        f"yesterday,1,{WEB},1,0,1",
        f"{at(2):%Y-%m-%d %H:%M:%S},1,{WEB},1,0,1",
        f"{clock},1,{WEB},NaN,inf,many",
        *samples(WEB, [3]),
    ]
    dataset, summary = imported(layout, tmp_path)

    metrics = table(dataset, "metrics")
    assert len(metrics[metrics["pod"] == WEB]) == 2
    no_data, no_time = skipped(summary)
    assert (no_data[0], no_data[1][:7], no_data[2]) == ("metric", "no data", 3)
    assert no_time == (
        f"{WEB}_metric.csv", "Time is no time with a zone within a day of the recording", 2, (2, 3),
    )  # fmt: skip


def test_a_metric_clock_in_another_zone_that_says_so_is_brought_to_utc(tmp_path: Path) -> None:
    layout = Layout()
    layout.metric(WEB)[1:] = [f"2023-01-29 16:02:09.5 +0800 CST m=+1.0,1,{WEB},7,0,1"]
    dataset, _ = imported(layout, tmp_path)

    metrics = table(dataset, "metrics")
    assert metrics[metrics["pod"] == WEB]["time"].unique().tolist() == [pd.Timestamp("2023-01-29T08:02:09.5Z")]


def test_empty_files_and_files_of_a_header_only_are_counted(tmp_path: Path) -> None:
    layout = Layout()
    layout.files[f"rca_data/{DAY}/trace/08_22_trace.csv"] = []
    layout.files[f"rca_data/{DAY}/trace/08_23_trace.csv"] = [SPAN_HEADER]
    layout.files[f"rca_data/{DAY}/log/08_22_log.csv"] = []
    layout.files[f"rca_data/{DAY}/metric/{STORE}_metric.csv"] = [POD_HEADER]
    _, summary = imported(layout, tmp_path)

    assert skipped(summary) == [
        ("08_22_log.csv", "file is empty", 1, ()),
        (f"{STORE}_metric.csv", "file holds no rows after its header", 1, ()),
        ("08_22_trace.csv", "file is empty", 1, ()),
        ("08_23_trace.csv", "file holds no rows after its header", 1, ()),
    ]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("trace/08_11_trace.csv", SPAN_HEADER.replace("SpanID", "Span")),
        ("log/08_11_log.csv", LOG_HEADER.replace("Node", "Host")),
        (f"metric/{WEB}_metric.csv", POD_HEADER.replace("PodName", "Pod")),
        (f"metric/{WEB}_metric.csv", POD_HEADER + ",CpuUsage(m)"),
    ],
)
def test_another_header_is_refused_with_file_and_row(tmp_path: Path, name: str, header: str) -> None:
    layout = Layout()
    layout.files[f"rca_data/{DAY}/{name}"][0] = header

    with pytest.raises(DataError, match="header") as caught:
        imported(layout, tmp_path)
    assert caught.value.file.endswith(name)
    assert caught.value.row == 1
    assert not (tmp_path / "out").exists()


def test_a_missing_modality_is_noticed_and_costs_no_incident(tmp_path: Path) -> None:
    layout = Layout()
    layout.files = {name: lines for name, lines in layout.files.items() if "/log/" not in name}
    dataset, summary = imported(layout, tmp_path)

    assert len(dataset.cases) == 2
    assert f"{DAY}: no log data was published" in summary.notices


def test_without_any_trace_the_chain_is_unknown_and_metrics_still_make_incidents(tmp_path: Path) -> None:
    layout = Layout()
    layout.files = {name: lines for name, lines in layout.files.items() if "/metric/" in name}
    dataset, summary = imported(layout, tmp_path)

    assert [case.truth.call_chain for case in dataset.cases] == [None, None]
    assert f"{DAY}: no trace data was published" in summary.notices


@pytest.mark.parametrize(("hours", "told"), [(8, "8 hour(s) ahead of"), (-5.5, "5.5 hour(s) behind")])
def test_spans_in_another_zone_are_refused_with_the_suspected_offset(tmp_path: Path, hours: float, told: str) -> None:
    layout = Layout()
    shift = 60 * hours
    layout.minute("trace", "08_11")[1:] = trace(2, at(10.6 + shift), via=CART)
    layout.minute("trace", "08_21")[1:] = trace(5, at(20.2 + shift), via=CART)

    with pytest.raises(DataError) as caught:
        imported(layout, tmp_path)
    assert caught.value.file.endswith(f"rca_data/{DAY}/trace")
    assert told in str(caught.value)
    assert f"{DAY}-fault_list.json" in str(caught.value)


def test_a_fault_outside_of_all_telemetry_is_counted_and_the_others_stay(tmp_path: Path) -> None:
    layout = Layout()
    layout.faults["08"][1]["inject_time"] = f"{DAY} 21:20:05"
    dataset, summary = imported(layout, tmp_path)

    assert len(dataset.cases) == 1
    assert skipped(summary) == [(f"{DAY}-fault_list.json", "fault at 21:20:05 lies outside of all telemetry", 1, ())]


def test_every_faulty_label_of_a_list_is_told_at_once(tmp_path: Path) -> None:
    layout = Layout()
    layout.faults["08"][0]["inject_time"] = "29 January"
    del layout.faults["08"][1]["inject_pod"]

    with pytest.raises(DataError) as caught:
        imported(layout, tmp_path)
    assert "hour '08', fault 1: inject_time is '29 January'" in str(caught.value)
    assert "hour '08', fault 2: inject_pod is None" in str(caught.value)


def test_a_truncated_fault_list_is_refused_by_name(tmp_path: Path) -> None:
    source = Layout().write(tmp_path / "source")
    labels = source / "rca_data" / DAY / f"{DAY}-fault_list.json"
    labels.write_text(labels.read_text()[:60])

    with pytest.raises(DataError, match=r"fault_list\.json: is no JSON"):
        convert(source)


# Which system, which day


def test_the_layout_is_found_below_the_folder_of_an_archive(tmp_path: Path) -> None:
    Layout().write(tmp_path / "outer" / "Nezha-main" / "data")

    assert len(convert(tmp_path / "outer")[0].cases) == 2


def test_a_folder_without_the_layout_is_refused_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(DataError, match="rca_data") as caught:
        convert(tmp_path / "empty")
    assert caught.value.remedy is not None


def both_systems(folder: Path) -> Path:
    source = Layout().write(folder / "source")
    other = Layout(services=("shipping",))
    text = json.dumps(other.faults).replace(DAY, "2022-08-22").replace(STORE, "shipping-7b59-lmggd")
    for name, lines in other.files.items():
        path = source / name.replace(DAY, "2022-08-22")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines).replace(DAY, "2022-08-22"))
    (source / "rca_data" / "2022-08-22" / "2022-08-22-fault_list.json").write_text(
        text.replace(CART, "shipping-7b59-lmggd")
    )
    (source / "construct_data" / "root_cause_hipster.json").write_text('{"shipping": {}}')
    return source


def test_a_source_with_both_systems_needs_a_choice_and_then_takes_the_days_of_that_one(tmp_path: Path) -> None:
    source = both_systems(tmp_path)

    with pytest.raises(DataError, match=r"several systems: onlineboutique .*trainticket"):
        convert(source)
    dataset, _ = convert(source, Nezha(system="trainticket"))
    assert {case.recording for case in dataset.cases} == {DAY}
    assert Nezha(system="onlineboutique").card_for(source) == "nezha-onlineboutique"
    assert Nezha(days=(DAY,)).card_for(source) == "nezha-trainticket"


def test_a_day_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no day '2020-01-01' .*{DAY}"):
        imported(Layout(), tmp_path, Nezha(days=("2020-01-01",)))


def test_a_day_may_be_written_as_a_plain_yaml_date() -> None:
    from rcabench.plugins import Registry, Spec

    assert Registry.of("datasets").build(Spec.parse("nezha:days=2023-01-29")).days == ("2023-01-29",)


def test_an_unknown_system_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'trainticket'"):
        Nezha(system="trainticke")
