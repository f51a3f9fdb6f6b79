"""A benchmark's own words for faults: which fault type they name, and which of them is answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from rcabench.agents.fault_words import fault_words, read_fault_words
from rcabench.core.component import ComponentRef, Level
from rcabench.core.content import content_folder
from rcabench.core.errors import DataError
from rcabench.core.question import MetricChanges
from rcabench.core.time import TimeWindow
from rcabench.core.verdict import Evidence, Modality, Signal
from rcabench.datasets.openrca.candidates import Candidates
from rcabench.scoring.taxonomy import Taxonomy

WINDOW = TimeWindow.of("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z")
SYSTEMS = ("bank", "telecom", "market-cloudbed-1")
FILE = content_folder("agents") / "specialists" / "fault_words.yaml"


def seen(metric: str, fault_type: str, strength: float = 0.8) -> Evidence:
    return Evidence(
        id=f"metric:pod:a:{metric}",
        modality=Modality.METRIC,
        component=ComponentRef(level=Level.POD, name="a"),
        claim="it rose",
        strength=strength,
        signal=Signal.RESOURCE,
        fault_type=fault_type,
        question=MetricChanges(windows=(WINDOW,), metrics=(metric,)),
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_reasons_are_read_by_their_words_as_the_taxonomy_has_them(system: str) -> None:
    taxonomy, reasons = Taxonomy.of(f"openrca-{system}"), Candidates.of(system).reasons

    assert {reason: fault_words().kind(reason) for reason in reasons} == {r: taxonomy.canonical(r) for r in reasons}


@pytest.mark.parametrize(
    ("fault_type", "metric", "offered", "expected"),
    [
        ("disk_io", "container_fs_writes./dev/vda", ("container read I/O load", "container write I/O load"), 1),
        ("disk_io", "container_fs_reads./dev/vda", ("container write I/O load", "container read I/O load"), 1),
        ("cpu", "JVM-System_JVM_CPULoad", ("high CPU usage", "high JVM CPU load"), 1),
        ("cpu", "OSLinux-CPU_CPU_CPULoad", ("high CPU usage", "high JVM CPU load"), 0),
        ("memory", "HeapMemoryUsed", ("high memory usage", "Out of Memory (OOM) Heap"), 1),
        ("database", "On_Off_State", ("db connection limit", "db close"), 1),
        ("database", "Sess_Connect", ("db close", "db connection limit"), 1),
    ],
)
def test_the_metrics_names_tell_reasons_of_one_fault_type_apart(
    fault_type: str, metric: str, offered: tuple[str, ...], expected: int
) -> None:
    said = fault_words().chosen([fault_type], offered, level=Level.POD, evidence=[seen(metric, fault_type)])

    assert said == offered[expected]


def test_metrics_of_another_fault_type_do_not_decide_and_the_first_offered_is_taken() -> None:
    offered, other = ("high CPU usage", "high JVM CPU load"), seen("JVM_HeapMemoryUsed", "memory")

    assert fault_words().chosen(["cpu"], offered, level=Level.POD, evidence=[other]) == "high CPU usage"


@pytest.mark.parametrize(
    ("level", "said"),
    [(Level.HOST, "node CPU load"), (Level.POD, "container CPU load"), (Level.SERVICE, "container CPU load")],
)
def test_a_reason_speaks_of_the_level_that_is_suspected(level: Level, said: str) -> None:
    for offered in (("container CPU load", "node CPU load"), ("node CPU load", "container CPU load")):
        assert fault_words().chosen(["cpu"], offered, level=level) == said


def test_the_likeliest_fault_type_that_is_offered_at_all_is_answered() -> None:
    assert fault_words().chosen(["errors", "network_delay"], ("cpu fault", "a delay"), level=Level.POD) == "a delay"
    assert fault_words().chosen(["errors"], ("cpu fault", "a delay"), level=Level.POD) is None
    assert fault_words().chosen(["errors"], ("cpu fault", "errors"), level=Level.POD) == "errors"


@pytest.mark.parametrize(
    ("said", "instead", "fault"),
    [
        ("'off'", "off", "False is no word; put it in quotes"),
        ("fault_type: cpu", "fault_type: gremlins", "gremlins"),
        ("'cpu|processor'", "'cpu|('", "unterminated"),
        ("filler:", "padding:", "filler"),
    ],
)
def test_a_damaged_file_of_words_is_refused(tmp_path: Path, said: str, instead: str, fault: str) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert said in text
    (tmp_path / "words.yaml").write_text(text.replace(said, instead), encoding="utf-8")

    with pytest.raises(DataError, match=fault):
        read_fault_words(tmp_path / "words.yaml")
