"""What datasets there are and what is in them, as lines of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rcabench.core.errors import DatasetNotFound
from rcabench.core.time import format_utc
from rcabench.datasets.cards import card_names, find_card
from rcabench.datasets.catalog import catalogue, data_root, find_dataset
from rcabench.datasets.folder import Dataset
from rcabench.datasets.lint import lint
from rcabench.datasets.lint.finding import Severity
from rcabench.scoring.taxonomy import Taxonomy

_ABSENT = "-"


def catalogue_lines() -> Iterator[str]:
    """Yield a line per dataset that can be named."""
    rows = [("NAME", "KIND", "CASES", "LICENCE", "WHAT")]
    for entry in catalogue():
        cases = _ABSENT if entry.cases is None else str(entry.cases)
        rows.append((entry.name, str(entry.kind), cases, entry.licence or _ABSENT, entry.title))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        *fixed, title = row
        yield "  ".join([*(cell.ljust(width) for cell, width in zip(fixed, widths, strict=True)), title]).rstrip()
    yield f"Imported datasets are found by name in {data_root()}, and anywhere by their folder."


def dataset_lines(name: str) -> Iterator[str]:
    """Yield what a dataset is, holds, and gives away; nothing that would answer one of its cases."""
    try:
        dataset = find_dataset(name)
    except DatasetNotFound as missing:
        if name not in card_names():
            raise
        yield f"name:        {name}"
        yield from _card_lines(name)
        yield f"not here:    {missing}"
        return
    yield f"name:        {dataset.name}"
    yield f"folder:      {dataset.folder}"
    yield f"digest:      {dataset.digest()}"
    yield from _card_lines(str(dataset.manifest.get("card")))
    importer = dataset.manifest.get("importer", {})
    yield f"importer:    {importer.get('name')} {_options(importer.get('options', {}))}".rstrip()
    yield from _case_lines(dataset)
    counts = dataset.manifest.get("counts", {}).get("rows", {})
    yield f"telemetry:   {', '.join(f'{rows:,} {table}' for table, rows in counts.items()) or 'none'}"
    for skip in dataset.manifest.get("skips", ()):
        yield f"skipped:     {skip['count']} row(s) of {skip['file']}: {skip['reason']}"
    for notice in dataset.manifest.get("notices", ()):
        yield f"notice:      {notice}"


def lint_lines(name: str) -> tuple[tuple[str, ...], bool]:
    """Return what is wrong with a dataset, a line each, and whether it can be used as it is."""
    dataset = find_dataset(name)
    findings = lint(dataset, known_labels=Taxonomy.of(dataset.name).known)
    sound = all(finding.severity is not Severity.ERROR for finding in findings)
    if not findings:
        verdict = "nothing against it"
    elif sound:
        verdict = f"usable; {len(findings)} warning(s), each to be explained in the card or mended"
    else:
        verdict = "not to be used so"
    return (*map(str, findings), f"{dataset.name}: {len(dataset.cases)} case(s), {verdict}"), sound


def _card_lines(name: str) -> Iterator[str]:
    if name not in card_names():
        yield f"card:        {name} (there is no such card)"
        return
    card = find_card(name)
    yield f"title:       {card.title}"
    yield f"licence:     {card.licence.spdx}"
    if card.source is not None:
        yield f"source:      {card.source}"
    yield f"hints:       onset {card.hints.onset}, number of failures {card.hints.failures or 'not told'}"
    yield f"gives away:  {' '.join(card.constant_answer.split())}"
    for trap in card.traps:
        yield f"trap:        {' '.join(trap.split())}"


def _case_lines(dataset: Dataset) -> Iterator[str]:
    healthy = sum(case.truth.healthy for case in dataset.cases)
    yield f"cases:       {len(dataset.cases)} in {len({case.recording for case in dataset.cases})} recording(s)"
    yield f"healthy:     {healthy}"
    kinds = Counter(cause.fault_type or "unlabelled" for case in dataset.cases for cause in case.truth.root_causes)
    yield f"faults:      {', '.join(f'{kinds[kind]} {kind}' for kind in sorted(kinds)) or 'none'}"
    if dataset.cases:
        windows = [case.incident.window for case in dataset.cases]
        first, last = min(w.start for w in windows), max(w.end for w in windows)
        yield f"time:        {format_utc(first)} to {format_utc(last)}"
        asked = sorted({aspect.value for case in dataset.cases for aspect in case.incident.asked})
        yield f"asked:       {', '.join(asked)}"


def _options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items())
