"""Are the statistical team's constants fitted to one system? Choose them without it, and see.

    python benchmarks/cross_validate.py DATASET DATASET... [--onset given|hidden]

For every dataset in turn, the constants that do best on the *other* datasets (mean service AC@1 over
them; ties go to the shipped value, then to the first in the grid) are applied to the one left out. The
table shows the shipped constants, those chosen without the dataset, and the best that hindsight could
have chosen: a large gap between the last two would mean that a constant fits one system only.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from rcabench.agents.lineup import Lineup, load_lineup
from rcabench.agents.onset import estimate_onset
from rcabench.agents.scene import Scene, survey
from rcabench.agents.specialists.base import Report
from rcabench.agents.specialists.log import LogSpecialist
from rcabench.agents.specialists.metric import MetricSpecialist
from rcabench.agents.specialists.trace import TraceSpecialist
from rcabench.agents.team import judge
from rcabench.core.component import Level
from rcabench.core.truth import Case, RootCause
from rcabench.datasets.catalog import find_dataset
from rcabench.datasets.folder import Dataset
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay

# First value of each: as shipped.
HALF_Z = (5.0, 3.0, 8.0)
HALF_SCORE = (6.0, 4.0, 10.0)
HALF_METRIC = (12.0, 8.0, 20.0)
EXPLAINED = (0.7, 0.3, 0.9)
DISPUTED = (0.6, 0.3, 0.9)
BEHAVIOR = ((0.8, 0.9), (0.5, 0.9), (0.8, 0.6))

Setting = tuple[float, float, float, float, float, tuple[float, float]]
SETTINGS: tuple[Setting, ...] = tuple(itertools.product(HALF_Z, HALF_SCORE, HALF_METRIC, EXPLAINED, DISPUTED, BEHAVIOR))


@dataclass(frozen=True, kw_only=True, slots=True)
class Solved:
    """An incident with the reports of all specialists under every setting of theirs."""

    truth: RootCause
    scene: Scene
    traces: Mapping[tuple[float, float], Report]
    logs: Mapping[float, Report]
    metrics: Mapping[float, Report]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", metavar="DATASET", help="names or folders; at least two")
    parser.add_argument("--onset", choices=("given", "hidden"), default="given")
    arguments = parser.parse_args()
    if len(arguments.datasets) < 2:
        parser.error("leaving one out takes two datasets at least")
    found = [find_dataset(name) for name in arguments.datasets]
    accuracy = {dataset.name: _accuracies(dataset, onset=arguments.onset) for dataset in found}
    print(f"service AC@1, onset {arguments.onset}, {len(SETTINGS)} settings")
    print(f"{'dataset':28s} {'n':>4s} {'shipped':>8s} {'chosen without it':>18s} {'hindsight':>10s}  chosen")
    for dataset in found:
        own = accuracy[dataset.name]
        others = [values for name, values in accuracy.items() if name != dataset.name]
        chosen = max(SETTINGS, key=lambda s, others=others: fmean(values[s] for values in others))  # type: ignore[misc]  # mypy knows no defaults in a key
        n = sum(bool(case.truth.root_causes) for case in dataset.cases)
        print(
            f"{dataset.name:28s} {n:4d} {own[SETTINGS[0]]:8.3f} {own[chosen]:18.3f} {max(own.values()):10.3f}  {chosen}"
        )


def _accuracies(dataset: Dataset, *, onset: str) -> dict[Setting, float]:
    solved = list(_solved(dataset, onset=onset))
    lineup = load_lineup("statistical")
    return {setting: fmean(_right(one, lineup, setting) for one in solved) for setting in SETTINGS}


def _solved(dataset: Dataset, *, onset: str) -> Iterator[Solved]:
    for case in dataset.cases:
        if case.truth.root_causes:
            with ParquetTelemetry(folder=dataset.recording_folder(case)) as telemetry:
                yield _investigated(case, telemetry, onset=onset)


def _investigated(case: Case, telemetry: ParquetTelemetry, *, onset: str) -> Solved:
    cause = case.truth.root_causes[0]
    incident = case.incident.with_onset(cause.onset if onset == "given" else None)
    replay = Replay.of(incident, telemetry)
    scene = survey(incident, replay, onset=incident.hints.onset or estimate_onset(incident, replay))
    return Solved(
        truth=cause,
        scene=scene,
        traces={
            (z, score): TraceSpecialist(half_z=z, half_score=score).investigate(scene, replay)
            for z, score in itertools.product(HALF_Z, HALF_SCORE)
        },
        logs={z: LogSpecialist(half_z=z).investigate(scene, replay) for z in HALF_Z},
        metrics={half: MetricSpecialist(half=half).investigate(scene, replay) for half in HALF_METRIC},
    )


def _right(one: Solved, lineup: Lineup, setting: Setting) -> bool:
    half_z, half_score, half_metric, explained, disputed, (trace, log) = setting
    signals = {**lineup.weights.signals, "trace.behavior": trace, "log.behavior": log}
    weights = replace(lineup.weights, signals=signals, explained=explained, disputed=disputed)
    reports: Sequence[Report] = (one.metrics[half_metric], one.traces[half_z, half_score], one.logs[half_z])
    ranking = judge(replace(lineup, weights=weights), one.scene, reports).ranking(Level.SERVICE)
    return bool(ranking) and ranking[0] == one.truth.service


if __name__ == "__main__":
    main()
