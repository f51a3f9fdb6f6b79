"""OpenRCA's tables become telemetry column by column; what cannot be is refused, or counted with its reason."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from rcabench.core.errors import DataError
from rcabench.datasets.folder import Dataset
from rcabench.datasets.openrca import OpenRca
from rcabench.datasets.openrca.schema import KINDS
from rcabench.datasets.writer import DatasetWriter, ImportSummary
from rcabench.testing.openrca_layout import write_openrca_layout

NOON = 1614830400
"""2021-03-04 12:00:00 in UTC+8, which is 04:00 in UTC."""

DAYS = {"bank": "2021_03_04", "market-cloudbed-1": "2021_03_04", "telecom": "2021_03_04"}
FOLDERS = {"bank": "Bank", "market-cloudbed-1": "Market/cloudbed-1", "telecom": "Telecom"}
COMPONENTS = {"bank": "Mysql02", "market-cloudbed-1": "adservice2-0", "telecom": "docker_003"}
REASONS = {"bank": "network latency", "market-cloudbed-1": "container CPU load", "telecom": "CPU fault"}
Imported = tuple[Dataset, ImportSummary]


def layout(root: Path, system: str, tables: Mapping[str, str | bytes]) -> Path:
    """Write a system with one failure at noon and the given tables; return the publisher's folder."""
    folder = root / FOLDERS[system]
    component, reason = COMPONENTS[system], REASONS[system]
    for name, content in tables.items():
        file = folder / "telemetry" / DAYS[system] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.csv").write_text(
        f"level,component,timestamp,datetime,reason\npod,{component},{NOON}.0,2021-03-04 12:00:00,{reason}\n"
    )
    (folder / "query.csv").write_text(
        "task_index,instruction,scoring_points\n"
        f'task_3,"What failed?","The only predicted root cause component is {component}\n"\n'
    )
    return root


def imported(source: Path, out: Path, adapter: OpenRca | None = None) -> Imported:
    with DatasetWriter.create(out, name="openrca-x", card="x", importer={"name": "x"}, source=source) as writer:
        (adapter or OpenRca()).convert(source, writer)
        summary = writer.finish()
    return Dataset.load(out), summary


def table(dataset: Dataset, name: str) -> pd.DataFrame:
    return pd.read_parquet(next(dataset.folder.glob(f"recordings/*/{name}.parquet")))


def one_row(root: Path, system: str, name: str, header: str, row: str, *, of: str) -> pd.DataFrame:
    dataset, summary = imported(layout(root / "in", system, {name: f"{header}\n{row}\n"}), root / "out")
    assert not summary.skips
    rows = table(dataset, of)
    assert set(rows["time"]) == {pd.Timestamp("2021-03-04T04:00:00Z")}
    return rows


def places(rows: pd.DataFrame) -> list[tuple[str | None, str | None, str | None]]:
    found = rows[["service", "pod", "host"]].astype(object).where(rows[["service", "pod", "host"]].notna(), None)
    return [(row[0], row[1], row[2]) for row in found.itertuples(index=False)]


@pytest.mark.parametrize("system", ["bank", "market-cloudbed-1", "telecom"])
def test_every_table_of_the_documentation_is_known_with_its_columns_to_the_letter(system: str) -> None:
    documented = {
        "bank": {
            "metric/metric_app.csv": "timestamp,rr,sr,cnt,mrt,tc",
            "metric/metric_container.csv": "timestamp,cmdb_id,kpi_name,value",
            "trace/trace_span.csv": "timestamp,cmdb_id,parent_id,span_id,trace_id,duration",
            "log/log_service.csv": "log_id,timestamp,cmdb_id,log_name,value",
        },
        "market-cloudbed-1": {
            "metric/metric_container.csv": "timestamp,cmdb_id,kpi_name,value",
            "metric/metric_mesh.csv": "timestamp,cmdb_id,kpi_name,value",
            "metric/metric_node.csv": "timestamp,cmdb_id,kpi_name,value",
            "metric/metric_runtime.csv": "timestamp,cmdb_id,kpi_name,value",
            "metric/metric_service.csv": "service,timestamp,rr,sr,mrt,count",
            "trace/trace_span.csv": (
                "timestamp,cmdb_id,span_id,trace_id,duration,type,status_code,operation_name,parent_span"
            ),
            "log/log_proxy.csv": "log_id,timestamp,cmdb_id,log_name,value",
            "log/log_service.csv": "log_id,timestamp,cmdb_id,log_name,value",
        },
        "telecom": {
            "metric/metric_app.csv": "serviceName,startTime,avg_time,num,succee_num,succee_rate",
            "metric/metric_container.csv": "itemid,name,bomc_id,timestamp,value,cmdb_id",
            "metric/metric_middleware.csv": "itemid,name,bomc_id,timestamp,value,cmdb_id",
            "metric/metric_node.csv": "itemid,name,bomc_id,timestamp,value,cmdb_id",
            "metric/metric_service.csv": "itemid,name,bomc_id,timestamp,value,cmdb_id",
            "trace/trace_span.csv": (
                "callType,startTime,elapsedTime,success,traceId,id,pid,cmdb_id,dsName,serviceName"
            ),
        },
    }[system]

    assert {name: ",".join(kind.columns) for name, kind in KINDS[system].items()} == documented


def test_a_bank_component_is_pod_and_service_under_its_kpi(tmp_path: Path) -> None:
    header = "timestamp,cmdb_id,kpi_name,value"
    rows = one_row(
        tmp_path, "bank", "metric/metric_container.csv", header, f"{NOON},Mysql02,OSLinux-CPU_CPU_CPUCpuUtil,26.5",
        of="metrics",
    )  # fmt: skip

    assert places(rows) == [("Mysql02", "Mysql02", None)]
    assert rows[["metric", "value"]].to_numpy().tolist() == [["OSLinux-CPU_CPU_CPUCpuUtil", 26.5]]


def test_a_bank_transaction_has_a_series_for_each_column_with_its_unit(tmp_path: Path) -> None:
    rows = one_row(
        tmp_path, "bank", "metric/metric_app.csv", "timestamp,rr,sr,cnt,mrt,tc",
        f"{NOON},99,98.5,26,140.2,ServiceTest8", of="metrics",
    )  # fmt: skip

    assert dict(zip(rows["metric"], rows["value"], strict=True)) == {"rr": 99, "sr": 98.5, "cnt": 26, "mrt": 140.2}
    assert set(places(rows)) == {("ServiceTest8", None, None)}
    units = table(Dataset.load(tmp_path / "out"), "units").set_index("metric")["unit"]
    assert units["rr"] == units["sr"] == "%"
    assert pd.isna(units["mrt"])


def test_a_bank_span_lasts_milliseconds_and_hangs_on_its_parent(tmp_path: Path) -> None:
    header = "timestamp,cmdb_id,parent_id,span_id,trace_id,duration"
    rows = one_row(tmp_path, "bank", "trace/trace_span.csv", header, f"{NOON}000,IG01,p,s,t,7", of="spans")

    assert rows[["duration_us", "trace_id", "span_id", "parent_span_id"]].to_numpy().tolist() == [[7000, "t", "s", "p"]]
    assert places(rows) == [("IG01", "IG01", None)]


def test_a_log_line_keeps_its_text_with_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    header, text = "log_id,timestamp,cmdb_id,log_name,value", 'GET /a?b=1,2 said "no"\nand again'
    quoted = text.replace('"', '""')
    rows = one_row(tmp_path, "bank", "log/log_service.csv", header, f'1,{NOON},apache01,gc,"{quoted}"', of="logs")

    assert rows["body"].tolist() == [text]
    assert places(rows) == [("apache01", "apache01", None)]


def test_a_market_container_tells_node_pod_and_service_and_so_what_runs_where(tmp_path: Path) -> None:
    header = "timestamp,cmdb_id,kpi_name,value"
    rows = one_row(
        tmp_path, "market-cloudbed-1", "metric/metric_container.csv", header,
        f"{NOON},node-6.adservice2-0,container_threads,22", of="metrics",
    )  # fmt: skip

    assert places(rows) == [("adservice", "adservice2-0", "node-6")]
    edges = table(Dataset.load(tmp_path / "out"), "topology").to_numpy().tolist()
    assert edges == [["adservice2-0", "node-6", "runs_on"]]


def test_mesh_series_of_one_pod_with_different_peers_stay_apart(tmp_path: Path) -> None:
    content = "timestamp,cmdb_id,kpi_name,value\n" + "".join(
        f"{NOON},cartservice-1.source.cartservice.{peer},istio_tcp_sent_bytes,{value}\n"
        for peer, value in (("redis-cart", 1), ("adservice", 2))
    )
    source = layout(tmp_path / "in", "market-cloudbed-1", {"metric/metric_mesh.csv": content})
    dataset, _ = imported(source, tmp_path / "out")

    rows = table(dataset, "metrics")
    assert sorted(rows["metric"]) == [
        "istio_tcp_sent_bytes.source.cartservice.adservice", "istio_tcp_sent_bytes.source.cartservice.redis-cart",
    ]  # fmt: skip
    assert set(places(rows)) == {("cartservice", "cartservice-1", None)}


def test_a_market_node_is_a_host(tmp_path: Path) -> None:
    header = "timestamp,cmdb_id,kpi_name,value"
    rows = one_row(
        tmp_path, "market-cloudbed-1", "metric/metric_node.csv", header, f"{NOON},node-1,system.cpu.pct_usage,3",
        of="metrics",
    )  # fmt: skip

    assert places(rows) == [(None, None, "node-1")]


def test_runtimes_of_both_deployments_stay_apart_only_where_there_are_two(tmp_path: Path) -> None:
    content = (
        f"timestamp,cmdb_id,kpi_name,value\n{NOON},adservice.ts:8088,heap,1\n"
        f"{NOON},adservice2.ts:8088,heap,2\n{NOON},emailservice.ts:8088,heap,3\n"
    )
    source = layout(tmp_path / "in", "market-cloudbed-1", {"metric/metric_runtime.csv": content})
    rows = table(imported(source, tmp_path / "out")[0], "metrics")

    assert {(row.metric, row.service) for row in rows.itertuples()} == {
        ("heap.adservice.ts:8088", "adservice"), ("heap.adservice2.ts:8088", "adservice"), ("heap", "emailservice"),
    }  # fmt: skip


def test_a_market_service_keeps_its_published_name_in_its_metrics(tmp_path: Path) -> None:
    rows = one_row(
        tmp_path, "market-cloudbed-1", "metric/metric_service.csv", "service,timestamp,rr,sr,mrt,count",
        f"adservice-grpc,{NOON},100,99,3.5,17", of="metrics",
    )  # fmt: skip

    assert dict(zip(rows["metric"], rows["value"], strict=True)) == {
        "adservice-grpc.rr": 100, "adservice-grpc.sr": 99, "adservice-grpc.mrt": 3.5, "adservice-grpc.count": 17,
    }  # fmt: skip
    assert set(places(rows)) == {("adservice", None, None)}


@pytest.mark.parametrize(
    ("code", "status"), [("0", "ok"), ("Ok", "ok"), ("200", "ok"), ("302", "ok"), ("404", "error"), ("13", "error"),
                         ("Error", "error"), ("", None)],
)  # fmt: skip
def test_a_market_span_lasts_microseconds_and_its_code_tells_its_status(
    tmp_path: Path, code: str, status: str | None
) -> None:
    header = "timestamp,cmdb_id,span_id,trace_id,duration,type,status_code,operation_name,parent_span"
    rows = one_row(
        tmp_path, "market-cloudbed-1", "trace/trace_span.csv", header, f"{NOON}000,frontend-0,s,t,1234,rpc,{code},op,",
        of="spans",
    )  # fmt: skip

    span = rows.iloc[0]
    assert span["duration_us"] == 1234
    assert pd.isna(span["parent_span_id"])
    assert (span["status"] if isinstance(span["status"], str) else None) == status
    assert dict(span["attributes"])["type"] == "rpc"
    assert places(rows) == [("frontend", "frontend-0", None)]


@pytest.mark.parametrize(
    ("cmdb_id", "place"),
    [("os_001", (None, None, "os_001")), ("docker_003", ("docker_003", "docker_003", None)),
     ("db_003", ("db_003", None, None)), ("redis_002", ("redis_002", None, None))],
)  # fmt: skip
def test_a_telecom_component_has_the_level_of_its_kind_and_counts_in_milliseconds(
    tmp_path: Path, cmdb_id: str, place: tuple[str | None, str | None, str | None]
) -> None:
    header = "itemid,name,bomc_id,timestamp,value,cmdb_id"
    rows = one_row(
        tmp_path, "telecom", "metric/metric_node.csv", header, f"9,Disk_io_util,ZJ-1,{NOON}000,4,{cmdb_id}",
        of="metrics",
    )  # fmt: skip

    assert places(rows) == [place]
    assert rows["metric"].tolist() == ["Disk_io_util"]


def test_items_of_one_name_and_component_stay_apart(tmp_path: Path) -> None:
    content = "itemid,name,bomc_id,timestamp,value,cmdb_id\n" + "".join(
        f"{item},{name},Z,{NOON}000,1,os_001\n" for item, name in ((7, "Disk"), (8, "Disk"), (9, "CPU"))
    )
    source = layout(tmp_path / "in", "telecom", {"metric/metric_node.csv": content})
    rows = table(imported(source, tmp_path / "out")[0], "metrics")

    assert sorted(rows["metric"]) == ["CPU", "Disk.7", "Disk.8"]


def test_a_telecom_span_tells_root_status_operation_and_the_database_behind_it(tmp_path: Path) -> None:
    header = "callType,startTime,elapsedTime,success,traceId,id,pid,cmdb_id,dsName,serviceName"
    content = (
        f"{header}\nRemoteProcess,{NOON}000,12,True,t,a,None,docker_003,,csf_001\n"
        f"JDBC,{NOON}001,3,False,t,b,a,docker_003,db_007,\n"
    )
    dataset, _ = imported(layout(tmp_path / "in", "telecom", {"trace/trace_span.csv": content}), tmp_path / "out")

    root, call = (row for _, row in table(dataset, "spans").sort_values("span_id").iterrows())
    assert (root["duration_us"], root["status"], root["operation"]) == (12_000, "ok", "csf_001")
    assert pd.isna(root["parent_span_id"])
    assert (call["parent_span_id"], call["status"], call["operation"]) == ("a", "error", "db_007")
    assert dict(call["attributes"]) == {"callType": "JDBC", "dsName": "db_007"}
    assert table(dataset, "topology").to_numpy().tolist() == [["docker_003", "db_007", "calls"]]


METRIC = "metric/metric_container.csv"
HEAD = "timestamp,cmdb_id,kpi_name,value\n"
GOOD = f"{NOON},Mysql02,cpu,1\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"{HEAD}{NOON}000,Mysql02,cpu,1\n", [f"timestamp is '{NOON}000'", "expected seconds", "fit in milliseconds"]),
        (f"{HEAD}{NOON + 10 * 86_400},Mysql02,cpu,1\n", ["2021-03-14T04:00:00Z", "2021-03-04 in UTC+8"]),
        (f"{HEAD}noon,Mysql02,cpu,1\n", ["timestamp is 'noon'", "no number", "expected seconds"]),
        (f"{HEAD}1e400,Mysql02,cpu,1\n", ["timestamp is '1e400'"]),
        (f"time,cmdb_id,kpi_name,value\n{GOOD}", ["lacks the column(s) timestamp", f"expected {HEAD.strip()}"]),
        (f"timestamp,cmdb_id,kpi_name,value,value\n{NOON},a,b,1,2\n", ["names a column twice"]),
    ],
)
def test_a_table_with_another_clock_or_header_is_refused_with_file_row_value_and_remedy(
    tmp_path: Path, content: str, told: list[str]
) -> None:
    source = layout(tmp_path / "in", "bank", {METRIC: content})

    with pytest.raises(DataError) as caught:
        imported(source, tmp_path / "out")
    for part in ("metric_container.csv, row ", *told):
        assert part in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_other_unit_of_time_is_refused_in_every_kind_of_table(tmp_path: Path) -> None:
    for number, (system, kinds) in enumerate((s, k) for s, k in KINDS.items() if s in FOLDERS):
        for kind_number, (name, kind) in enumerate(kinds.items()):
            row = dict.fromkeys(kind.columns, "1") | {kind.time: f"{NOON * 1000 // kind.clock}"}
            content = f"{','.join(kind.columns)}\n{','.join(row.values())}\n"
            root = tmp_path / f"{number}-{kind_number}"
            with pytest.raises(DataError, match=re.escape(f"{kind.time} is ")):
                imported(layout(root / "in", system, {name: content}), root / "out")


@pytest.mark.parametrize(
    ("content", "rows", "reason"),
    [
        (f"{HEAD}{GOOD}{NOON},Mysql02,cp", 1, "CSV: missing columns"),
        (f"{HEAD}{GOOD}{NOON},Mysql02,cpu,1,2\n", 1, "CSV: too many columns"),
        (f"{HEAD}{GOOD}{NOON},Mysql02,cpu,abc\n", 1, "CSV: cast in column 'value'"),
        (f"{HEAD}{GOOD}{NOON},Mysql02,cpu,NaN\n", 1, "no data: the value is null, NaN or infinite"),
        (f"{HEAD}{GOOD}{NOON},Mysql02,cpu,\n", 1, "no data: the value is null, NaN or infinite"),
        (f"{HEAD}{GOOD}{NOON}000,Mysql02,cpu,1\n", 1, "the time is missing or invalid"),
        (f"{HEAD}{GOOD}{NOON},Mysql02,,1\n", 1, "the metric is missing"),
        ((f"{HEAD}{GOOD}{NOON},".encode() + b"\xe9,cpu,1\n"), 1, "CSV: invalid encoding"),
        ("", 0, "file holds no rows"),
        (HEAD, 0, "file holds no rows"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_used_are_counted_with_file_and_reason(
    tmp_path: Path, content: str | bytes, rows: int, reason: str
) -> None:
    dataset, summary = imported(layout(tmp_path / "in", "bank", {METRIC: content}), tmp_path / "out")

    assert summary.rows.get("metrics", 0) == rows
    (skip,) = summary.skips
    assert (skip.count, METRIC in skip.file) == (1, True)
    assert reason in skip.reason
    assert len(dataset.cases) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + f"{HEAD}{GOOD}".encode(),
        f"{HEAD}{GOOD}".replace("\n", "\r\n").encode(),
        f"value,kpi_name,more,cmdb_id,timestamp\n1,cpu,x,Mysql02,{NOON}.0\n".encode(),
    ],
    ids=["byte order mark", "CR LF", "other order and one more column"],
)
def test_a_table_may_be_written_in_other_ways(tmp_path: Path, content: bytes) -> None:
    dataset, summary = imported(layout(tmp_path / "in", "bank", {METRIC: content}), tmp_path / "out")

    assert not summary.skips
    assert table(dataset, "metrics")[["metric", "value", "pod"]].to_numpy().tolist() == [["cpu", 1.0, "Mysql02"]]


def test_lines_that_end_in_different_ways_are_read_with_a_notice(tmp_path: Path) -> None:
    content = f"{HEAD}{NOON},Mysql02,cpu,1\r\n{NOON + 60},Mysql02,cpu,2\n{NOON + 120},Mysql02,cpu,3\r\n"
    dataset, summary = imported(layout(tmp_path / "in", "bank", {METRIC: content}), tmp_path / "out")

    assert sorted(table(dataset, "metrics")["value"]) == [1, 2, 3]
    assert any("its lines end in different ways" in notice for notice in summary.notices)


def test_rows_of_the_next_day_are_noticed(tmp_path: Path) -> None:
    content = f"{HEAD}{GOOD}{NOON + 13 * 3600},Mysql02,cpu,1\n"
    _, summary = imported(layout(tmp_path / "in", "bank", {METRIC: content}), tmp_path / "out")

    assert any(
        "1 of its first and last rows" in notice or "outside of 2021-03-04" in notice for notice in summary.notices
    )


def test_durations_in_too_large_a_unit_are_noticed(tmp_path: Path) -> None:
    header = "timestamp,cmdb_id,span_id,trace_id,duration,type,status_code,operation_name,parent_span"
    late = f"{header}\n{NOON}000,frontend-0,a,t,500,rpc,0,op,\n{NOON}100,cartservice-0,b,t,300,rpc,0,op,a\n"
    fine = late.replace(",500,", ",500000,")
    for number, (content, noticed) in enumerate(((late, True), (fine, False))):
        source = layout(tmp_path / f"in{number}", "market-cloudbed-1", {"trace/trace_span.csv": content})
        _, summary = imported(source, tmp_path / f"out{number}")
        assert any("start after their parents have ended" in notice for notice in summary.notices) is noticed


def test_tables_that_the_layout_does_not_know_are_left_out_and_counted(tmp_path: Path) -> None:
    source = layout(
        tmp_path / "in", "telecom", {"log/log_service.csv": "log_id\n1\n", "metric/metric_new.csv": "a\n1\n"}
    )
    (source / "Telecom" / "telemetry" / "notes.txt").write_text("x")
    _, summary = imported(source, tmp_path / "out")

    assert len([skip for skip in summary.skips if "is no table of this system" in skip.reason]) == 2
    assert any("is no folder of a day" in skip.reason for skip in summary.skips)


def test_a_folder_of_a_day_that_never_was_is_refused(tmp_path: Path) -> None:
    source = layout(tmp_path / "in", "bank", {METRIC: HEAD + GOOD})
    (source / "Bank" / "telemetry" / "2021_02_30").mkdir()

    with pytest.raises(DataError, match="2021_02_30: is no day"):
        imported(source, tmp_path / "out")


def test_an_unreadable_line_is_counted_once_though_a_table_is_read_twice(tmp_path: Path) -> None:
    made = write_openrca_layout(tmp_path / "in", "telecom", hours=2, faults=1)
    file = next(made.folder.glob("telemetry/*/trace/trace_span.csv"))
    with file.open("a", newline="") as stream:
        csv.writer(stream).writerow(["JDBC", "soon"])
    _, summary = imported(made.source, tmp_path / "out")

    assert [skip.count for skip in summary.skips] == [1]
