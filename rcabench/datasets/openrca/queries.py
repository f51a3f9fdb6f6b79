"""OpenRCA's queries: read from a file, or made from records by templates; and the criteria of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rcabench.core.content import content_folder
from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect
from rcabench.core.time import TimeWindow
from rcabench.datasets.openrca.records import ZONE, Record, by_window, labelled_rows

COLUMNS = ("task_index", "instruction", "scoring_points")
TEMPLATES = "openrca-questions.yaml"
_COMPONENT = (Aspect.HOST, Aspect.SERVICE, Aspect.POD)
"""The level is not told, so that all three are asked for."""

TASKS: Mapping[str, tuple[str, ...]] = {
    "task_1": ("time",),
    "task_2": ("reason",),
    "task_3": ("component",),
    "task_4": ("time", "reason"),
    "task_5": ("time", "component"),
    "task_6": ("component", "reason"),
    "task_7": ("time", "component", "reason"),
}
"""Kind of question -> what it asks for, in the order of the criteria."""

_ASPECTS: Mapping[str, tuple[Aspect, ...]] = {
    "time": (Aspect.ONSET,), "component": _COMPONENT, "reason": (Aspect.FAULT_TYPE,)
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """One question.

    Attributes:
        row: line of the file on which it ends; None for one that was made here.
        task: task_1 to task_7.
        instruction: the question in words.
        scoring_points: the criteria, a line each.
    """

    row: int | None = None
    task: str
    instruction: str
    scoring_points: str

    @property
    def asked(self) -> tuple[Aspect, ...]:
        """What it asks for, in our words."""
        return tuple(aspect for facet in TASKS[self.task] for aspect in _ASPECTS[facet])


def read_queries(file: Path) -> tuple[Query, ...]:
    """Read a file of queries, in its order.

    Raises:
        DataError: it has another header, no rows, or a row is faulty.
    """
    found = []
    for number, row in labelled_rows(file, COLUMNS):
        if row["task_index"] not in TASKS:
            remedy = f"expected one of {', '.join(TASKS)}"
            raise DataError(file, f"task_index is {row['task_index']!r}", row=number, remedy=remedy)
        if not row["instruction"].strip():
            raise DataError(file, "instruction is empty", row=number, remedy="complete or remove the row")
        found.append(
            Query(
                row=number, task=row["task_index"], instruction=row["instruction"], scoring_points=row["scoring_points"]
            )
        )
    return tuple(found)


def criteria(records: Sequence[Record], task: str) -> str:
    """Return the criteria of a question about the records of one half hour, in OpenRCA's words.

    Example:
        >>> from rcabench.datasets.openrca.records import Record
        >>> record = Record(row=2, level="pod", component="Mysql02", timestamp=1614841020, reason="network latency")
        >>> criteria([record], "task_3")
        'The only predicted root cause component is Mysql02\\n'
    """
    lines = []
    for number, record in enumerate(records, start=1):
        which = "The only" if len(records) == 1 else f"The {number}-th"
        told = {
            "time": f"root cause occurrence time is within 1 minutes (i.e., <=1min) of {record.wall_clock}",
            "component": f"predicted root cause component is {record.component}",
            "reason": f"predicted root cause reason is {record.reason}",
        }
        lines += [f"{which} {told[facet]}\n" for facet in TASKS[task]]
    return "".join(lines)


def fits(query: Query, records: Sequence[Record]) -> bool:
    """Return whether the criteria of a query are what the records of its half hour come to."""
    return query.scoring_points == criteria(records, query.task)


def make_queries(records: Sequence[Record], *, seed: int, tasks: Sequence[str] | None = None) -> tuple[Query, ...]:
    """Make one question for every record, about the half hour in which it lies.

    Args:
        records: in the order of their file; several of one half hour are asked for together.
        seed: draws the kinds of question and the wording.
        tasks: the kind of each question; None to draw them.

    Raises:
        ValueError: `tasks` has another length, or names an unknown kind.
        DataError: the templates are damaged.
    """
    if tasks is not None and (len(tasks) != len(records) or not set(tasks) <= set(TASKS)):
        raise ValueError(f"{len(records)} record(s) need as many of {', '.join(TASKS)}, got {list(tasks)!r}")
    templates, random, together = Templates.read(), Random(seed), by_window(records)
    made = []
    for number, record in enumerate(records):
        # Drawn even where it is given, so that the wording depends on the seed alone.
        drawn = random.choice(list(TASKS))
        task, here = drawn if tasks is None else tasks[number], together[record.window_number]
        instruction = templates.instruction(record.window, failures=len(here), task=task, random=random)
        made.append(Query(task=task, instruction=instruction, scoring_points=criteria(here, task)))
    return tuple(made)


def as_csv(queries: Sequence[Query]) -> str:
    """Return queries as the text of a file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((query.task, query.instruction, query.scoring_points) for query in queries)
    return text.getvalue()


@dataclass(frozen=True, kw_only=True, slots=True)
class Templates:
    """Our wording of questions, from `datasets/candidates/openrca-questions.yaml`.

    Attributes:
        questions: whole instructions with the slots `window`, `failures` and `asked`.
        windows: with `date`, `start` and `end`.
        single, several: how many failures there were; `several` has the slot `count`.
        counts: numbers in words, from one on.
        facets: what is asked for -> its name.
    """

    questions: tuple[str, ...]
    windows: tuple[str, ...]
    single: tuple[str, ...]
    several: tuple[str, ...]
    counts: tuple[str, ...]
    facets: Mapping[str, str]

    @classmethod
    def read(cls) -> Templates:
        """Read the content file.

        Raises:
            DataError: a part of it is missing or no list of texts.
        """
        import yaml

        file = content_folder("datasets") / "candidates" / TEMPLATES
        plain: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        try:
            lists = {
                key: tuple(map(str, plain[key])) for key in ("questions", "windows", "single", "several", "counts")
            }
            facets = {facet: str(plain["facets"][facet]) for facet in TASKS["task_7"]}
        except (KeyError, TypeError) as error:
            raise DataError(file, f"is incomplete: {error}", remedy="see the comment at its top") from error
        return cls(**lists, facets=facets)

    def instruction(self, window: TimeWindow, *, failures: int, task: str, random: Random) -> str:
        """Return a question in words.

        Args:
            window: the half hour.
            failures: how many there were in it.
            task: what is asked for.
            random: chooses among the wordings.
        """
        start, end = window.start.astimezone(ZONE), window.end.astimezone(ZONE)
        # Midnight at the end of a day would read as the one at its beginning.
        until = "24:00" if end.date() > start.date() else f"{end:%H:%M}"
        told = random.choice(self.windows).format(
            date=f"{start:%B} {start.day}, {start.year}", start=f"{start:%H:%M}", end=until
        )
        count = self.counts[failures - 1] if failures <= len(self.counts) else str(failures)
        number = random.choice(self.single if failures == 1 else self.several).format(count=count)
        asked = listed([self.facets[facet] for facet in TASKS[task]])
        text = random.choice(self.questions).format(window=told, failures=number, asked=asked)
        return text[:1].upper() + text[1:]


def listed(words: Sequence[str]) -> str:
    """Return words as a sentence lists them.

    Example:
        >>> listed(["time", "component", "reason"])
        'time, component and reason'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
