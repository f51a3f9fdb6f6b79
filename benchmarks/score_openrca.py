"""Scoring OpenRCA's 335 archived answers: ours beside a straightforward pandas loop, in turn, in one run.

python benchmarks/score_openrca.py ../shared/data/openrca.tar.xz

Both get the same texts, read beforehand, and both scores are compared row by row before anything is timed. The loop is
written from the rules (SCORING.md D1) in the style of the official evaluator: `DataFrame.iterrows`, `re.findall` for
answer and criteria, every permutation with its own comparisons. Ours is timed twice: with its caches emptied
before every round, and warm. The ratio is of the medians; its spread is that of the rounds.
"""

from __future__ import annotations

import argparse
import itertools
import re
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import pandas as pd

from rcabench.scoring.openrca import compat

SYSTEMS = ("Bank", "Telecom", "Market-cloudbed-1", "Market-cloudbed-2")
AGENT = "rca-agent-claude-3.5-sonnet"
TARGET = 5.0


def loop(table: pd.DataFrame) -> list[float]:
    """Score every row in the plainest way."""
    scores = []
    for _, row in table.iterrows():
        scores.append(plain_score(row["prediction"], row["scoring_points"]))
    return scores


def plain_score(prediction: str, points: str) -> float:
    key = r'(?:"root cause {}":\s*"(.*?)")?'
    keys = r",?\s*".join(key.format(name) for name in ("occurrence datetime", "component", "reason"))
    answers = re.findall(rf"{{\s*{keys}\s*}}", prediction)
    components = re.findall(r"The (?:\d+-th|only) predicted root cause component is ([^\n]+)", points)
    reasons = re.findall(r"The (?:\d+-th|only) predicted root cause reason is ([^\n]+)", points)
    times = re.findall(
        r"The (?:\d+-th|only) root cause occurrence time is within 1 minutes \(i\.e\., <=1min\) of ([^\n]+)", points
    )
    size = max(len(components), len(reasons), len(times))
    best: list[str] = []
    if len(answers) == size:
        for order in itertools.permutations(answers):
            passing = []
            for i in range(size):
                said_time, said_component, said_reason = order[i]
                if len(components) == size and said_component == components[i]:
                    passing.append(components[i])
                if len(reasons) == size and said_reason == reasons[i]:
                    passing.append(reasons[i])
                if len(times) == size and close(said_time, times[i]):
                    passing.append(times[i])
            if len(passing) > len(best):
                best = passing
    return round(len(best) / (len(components) + len(reasons) + len(times)), 2)


def close(said: str, true: str) -> bool:
    try:
        first, second = (datetime.strptime(text, "%Y-%m-%d %H:%M:%S") for text in (said, true))  # noqa: DTZ007
    except ValueError:
        return False
    return abs((first - second).total_seconds()) <= 60


def ours(predictions: Sequence[str], points: Sequence[str]) -> list[float]:
    return [compat.evaluate(said, asked).score for said, asked in zip(predictions, points, strict=True)]


def cold(predictions: Sequence[str], points: Sequence[str]) -> list[float]:
    compat.points_of.cache_clear()
    compat._moment.cache_clear()
    return ours(predictions, points)


def read(folder: Path) -> pd.DataFrame:
    parts = []
    for system in SYSTEMS:
        queries = pd.read_csv(folder / "query" / f"{system}.csv", keep_default_na=False)
        answers = pd.read_csv(folder / "predictions" / f"{AGENT}-{system}.csv", keep_default_na=False)
        parts.append(pd.DataFrame({"prediction": answers["prediction"], "scoring_points": queries["scoring_points"]}))
    return pd.concat(parts, ignore_index=True)


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help="openrca.tar.xz")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        with tarfile.open(arguments.archive) as archive:
            archive.extractall(scratch, filter="data")
        table = read(next(Path(scratch).rglob("query")).parent)
    predictions, points = list(table["prediction"]), list(table["scoring_points"])
    mine, plain = ours(predictions, points), loop(table)
    if mine != plain:
        raise SystemExit(f"the two differ in {sum(a != b for a, b in zip(mine, plain, strict=True))} rows")
    ways: dict[str, Callable[[], object]] = {
        "pandas loop": lambda: loop(table),
        "ours, cold": lambda: cold(predictions, points),
        "ours, warm": lambda: ours(predictions, points),
    }
    # In turn, so that whatever else the machine does meets all of them alike.
    rounds = [{name: timed(work) for name, work in ways.items()} for _ in range(arguments.rounds)]
    right = sum(score == 1.0 for score in mine)
    print(f"{len(mine)} answers, {right} right; {len(rounds)} rounds, milliseconds of processor time")
    base = statistics.median(one["pandas loop"] for one in rounds)
    for name in ways:
        took = sorted(one[name] for one in rounds)
        middle = statistics.median(took)
        ratios = sorted(one["pandas loop"] / one[name] for one in rounds)
        print(f"{name:12} median {middle * 1e3:7.2f}  [{took[0] * 1e3:.2f}, {took[-1] * 1e3:.2f}]"
              f"  {base / middle:5.1f} x  [{ratios[0]:.1f}, {ratios[-1]:.1f}]")  # fmt: skip
    ratio = base / statistics.median(one["ours, cold"] for one in rounds)
    print(f"cold: {ratio:.1f} times as fast, wanted {TARGET:g}: {'reached' if ratio >= TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
