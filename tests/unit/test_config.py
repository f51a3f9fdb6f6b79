"""An experiment file becomes a plan, or a list of everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rcabench.config import Plan, _Experiment, embedded_configs, load_plan, plan_from
from rcabench.core.errors import ConfigError
from rcabench.core.session import TapeMode, Tracing
from rcabench.core.spending import Spending
from rcabench.plugins import Registry, Spec

Write = Callable[[str], Path]


@pytest.fixture
def experiment(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        file = tmp_path / "experiment.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def plan_of(dataset: Path, **changes: Any) -> Plan:
    return plan_from({"name": "x", "datasets": [str(dataset)], "diagnosers": ["random"], **changes}, source="test")


def faults_of(dataset: Path, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        plan_of(dataset, **changes)
    return caught.value.faults


def test_a_file_sets_every_part_of_a_plan(experiment: Write, tiny_dataset: Path) -> None:
    file = experiment(f"""
name: full
datasets: [{tiny_dataset}]
diagnosers:
  - random:seed=3
  - {{name: random, options: {{seed: 4}}, label: other draw}}
scorers: [localization]
onset: hidden
attempts: 2
seed: 5
budget: {{queries: 10, rows: 1000, seconds: 2}}
timeout_seconds: 30
jobs: 2
concurrency: 8
cassettes: record
spending: {{calls: 40, tokens: 100000, usd: 0.5, seconds: 60}}
total_usd: 20
tracing: {{content: true, tenant: acme, project: checkout, otlp: true}}
limit: 3
""")
    plan = load_plan(file)
    assert plan.name == "full"
    assert plan.diagnosers == (
        Spec(name="random", options={"seed": 3}),
        Spec(name="random", options={"seed": 4}, label="other draw"),
    )
    assert plan.scorers == (Spec(name="localization"),)
    assert (plan.onset_given, plan.attempts, plan.seed, plan.jobs, plan.limit) == (False, 2, 5, 2, 3)
    assert (plan.budget.queries, plan.budget.rows, plan.budget.seconds) == (10, 1000, 2.0)
    assert plan.timeout_seconds == 30.0
    assert (plan.concurrency, plan.cassettes, plan.total_usd) == (8, TapeMode.RECORD, 20.0)
    assert plan.spending == Spending(calls=40, tokens=100_000, usd=0.5, seconds=60.0)
    assert plan.tracing == Tracing(content=True, tenant="acme", project="checkout", otlp=True)


def test_what_a_file_leaves_out_has_a_default(experiment: Write, tiny_dataset: Path) -> None:
    plan = load_plan(experiment(f"datasets: [{tiny_dataset}]\ndiagnosers: [random]"))
    assert plan.name == "experiment"
    assert plan.onset_given
    assert tuple(spec.name for spec in plan.scorers) == Registry.of("scorers").names()


def test_cassettes_are_turned_off_by_what_yaml_takes_for_false(experiment: Write, tiny_dataset: Path) -> None:
    plan = load_plan(experiment(f"datasets: [{tiny_dataset}]\ndiagnosers: [random]\ncassettes: off"))
    assert plan.cassettes is TapeMode.OFF


def test_faults_say_which_keys_do_not_come_from_the_file(experiment: Write, tiny_dataset: Path) -> None:
    file = experiment(f"datasets: [{tiny_dataset}]\ndiagnosers: [random]")
    with pytest.raises(ConfigError, match=r"experiment\.yaml, diagnosers and seed replaced: 1 fault"):
        load_plan(file, {"diagnosers": ["nobody"], "seed": 2})


def test_overrides_replace_whole_keys(experiment: Write, tiny_dataset: Path) -> None:
    file = experiment("datasets: [nowhere]\ndiagnosers: [random]\nseed: 1")
    plan = load_plan(file, {"datasets": [str(tiny_dataset)], "diagnosers": ["prior"], "seed": 2})
    assert (plan.datasets, plan.diagnosers, plan.seed) == ((str(tiny_dataset),), (Spec(name="prior"),), 2)


def test_every_fault_is_reported_at_once(experiment: Write, tiny_dataset: Path) -> None:
    file = experiment(f"""
dataset: [demo]
datasets: [{tiny_dataset}, nowhere-at-all]
diagnosers: [randm, "random:sede=1", random, random, {{label: nameless}}, "random:oops"]
scorers: [localisation]
onset: maybe
attempts: 0
budget: {{querys: 3, rows: many}}
""")
    with pytest.raises(ConfigError) as caught:
        load_plan(file)
    text = str(caught.value)
    for expected in (
        "experiment.yaml: 12 fault(s)",
        "dataset: unknown key; did you mean 'datasets'?",
        "datasets[1]: ",
        "diagnosers[0]: unknown diagnosers plug-in 'randm'; did you mean 'random'?",
        "diagnosers[1]: diagnosers plug-in 'random' has no option 'sede'; did you mean 'seed'?",
        "diagnosers[3]: label 'random' is taken by diagnosers[2]; give one of them another label",
        "diagnosers[4].name: is missing",
        "diagnosers[5]: 'random:oops': 'oops' is not of the form option=value",
        "scorers[0]: unknown scorers plug-in 'localisation'; did you mean 'localization'?",
        "onset: input should be 'given' or 'hidden', not 'maybe'",
        "attempts: input should be greater than or equal to 1, not 0",
        "budget.querys: unknown key; did you mean 'queries'?",
        "budget.rows: input should be a valid integer, not 'many'",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"datasets": []}, "datasets: list should have at least 1 item"),
        ({"diagnosers": []}, "diagnosers: name at least one"),
        ({"attempts": "2"}, "attempts: input should be a valid integer, not '2'"),
        ({"attempts": True}, "attempts: input should be a valid integer, not True"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds: input should be a finite number"),
        ({"timeout_seconds": 0}, "timeout_seconds: input should be greater than 0"),
        ({"concurrency": 0}, "concurrency: input should be greater than or equal to 1"),
        ({"cassettes": "tape"}, "cassettes: input should be 'auto', 'record', 'replay' or 'off', not 'tape'"),
        ({"cassettes": True}, "cassettes: input should be 'auto', 'record', 'replay' or 'off', not True"),
        ({"spending": {"usd": 0}}, "spending.usd: input should be greater than 0"),
        ({"spending": {"dollars": 1}}, "spending.dollars: unknown key. There are: calls, seconds, tokens, usd"),
        ({"total_usd": float("nan")}, "total_usd: input should be a finite number"),
        ({"tracing": {"tennant": "acme"}}, "tracing.tennant: unknown key; did you mean 'tenant'?"),
        ({"tracing": {"tenant": ""}}, "tracing.tenant: string should have at least 1 character"),
        ({"seed": -1}, "seed: input should be greater than or equal to 0"),
        ({"name": "a/b"}, "name: string should match pattern"),
        ({"cases": ["no-such-case"]}, "cases[0]: no dataset of this experiment has a case 'no-such-case'"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(tiny_dataset: Path, changes: dict[str, Any], fault: str) -> None:
    (found,) = faults_of(tiny_dataset, **changes)
    assert found.startswith(fault)


def test_one_dataset_under_two_names_is_refused(tiny_dataset: Path) -> None:
    (fault,) = faults_of(tiny_dataset, datasets=[str(tiny_dataset), f"{tiny_dataset}/"])
    assert "is the dataset 'tiny', which datasets[0] names already" in fault


def test_a_key_that_stands_twice_is_refused(experiment: Write) -> None:
    with pytest.raises(ConfigError, match="key 'seed' stands twice"):
        load_plan(experiment("seed: 1\nseed: 2"))


@pytest.mark.parametrize(
    ("text", "fault"), [("a: [", "is no YAML"), ("- a", "expected keys and values"), ("", "got nothing")]
)
def test_a_file_that_is_no_experiment_is_refused(experiment: Write, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        load_plan(experiment(text))


def test_an_unknown_experiment_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match="did you mean 'quickstart'"):
        load_plan("quickstar")


def test_the_reference_explains_every_key() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "experiment.md"
    explained = re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert explained == list(_Experiment.model_fields)


@pytest.mark.parametrize("name", ["quickstart", "leaderboard"])
def test_the_experiments_that_come_with_rcabench_are_sound(name: str, tiny_dataset: Path) -> None:
    assert name in embedded_configs()
    assert load_plan(name, {"datasets": [str(tiny_dataset)]}).name == name


def test_the_digest_changes_with_whatever_decides_a_diagnosis(tiny_dataset: Path) -> None:
    plan = plan_of(tiny_dataset)
    others = [
        plan_of(tiny_dataset, **change)
        for change in (
            {"diagnosers": ["prior"]},
            {"onset": "hidden"},
            {"attempts": 2},
            {"seed": 1},
            {"budget": {"queries": 1}},
            {"timeout_seconds": 1},
            {"limit": 1},
            {"spending": {"tokens": 1}},
        )
    ]
    assert len({plan.digest(), *(other.digest() for other in others)}) == len(others) + 1


def test_the_digest_does_not_change_with_what_decides_no_diagnosis(tiny_dataset: Path) -> None:
    changed = plan_of(
        tiny_dataset,
        name="y",
        jobs=4,
        concurrency=8,
        cassettes="off",
        total_usd=1.0,
        tracing={"content": True},
        scorers=["onset"],
        datasets=[f"{tiny_dataset}/"],
    )
    assert changed.digest() == plan_of(tiny_dataset).digest()
