"""The command `verify`: progress while a run is made again, what came out the same and what did not."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import typer

from rcabench.cli.commands import harmless
from rcabench.record import Key
from rcabench.runner.verifying import Difference, Verification, verify

_LINES_OF_A_DIFF = 40
_PARTS_OF_A_DIAGNOSIS = 20


def verify_and_show(folder: Path, *, show: int) -> bool:
    """Make a run again, print the comparison, and return whether it came out the same."""
    found = verify(folder, watch=_progress)
    for line in _lines(found, show):
        typer.echo(harmless(line))
    return found.passed


def _lines(found: Verification, show: int) -> Iterator[str]:
    compared = len(found.identical) + len(found.different)
    yield f"{compared:>7}  diagnoses compared"
    scores = ", scores" if found.scored else ""
    yield f"{len(found.identical):>7}  identical: verdict, evidence, steps, queries, calls, tokens, cost{scores}"
    yield f"{len(found.different):>7}  different"
    yield f"{found.misses:>7}  requests to models that no cassette answers"
    if found.contradictions:
        yield f"{len(found.contradictions):>7}  contradictions among the run's files"
    for reason, count in sorted(Counter(found.left_out.values()).items()):
        yield f"{count:>7}  left out: {reason}"
    if found.recorded < found.planned:
        yield f"{found.planned - found.recorded:>7}  planned and not recorded: the run is incomplete, or was cut"
    if not found.scored:
        yield "notice:  the run has no scores; `rcabench score` gives it some"
    for notice in found.notices:
        yield f"notice:  {notice}"
    for contradiction in found.contradictions[:show]:
        yield f"changed: {contradiction}"
    if len(found.contradictions) > show:
        yield f"... and {len(found.contradictions) - show} more; --show {len(found.contradictions)} shows them all"
    for difference in found.different[:show]:
        yield ""
        yield from _shown(difference)
    if len(found.different) > show:
        yield f"\n... and {len(found.different) - show} more that differ; --show {len(found.different)} shows them all"
    yield ""
    if not compared:
        yield "nothing could be compared"
    elif not found.passed:
        yield "not verified"
    elif len(found.identical) < found.planned:
        yield f"verified: {len(found.identical)} of the {found.planned} planned diagnoses are what their cassettes say"
    else:
        yield "verified: the run is what its cassettes say"


def _shown(difference: Difference) -> Iterator[str]:
    yield f"{_name(difference.key)}:"
    # A verdict's own account comes last: it mostly repeats the diagnosis's.
    parts = sorted(difference.what, key=lambda what: what.startswith("verdict.usage"))
    yield from (f"  {what}" for what in parts[:_PARTS_OF_A_DIAGNOSIS])
    if len(parts) > _PARTS_OF_A_DIAGNOSIS:
        yield f"  ... and {len(parts) - _PARTS_OF_A_DIAGNOSIS} more parts"
    for miss in difference.misses[:1]:
        yield f"  call {miss.call} of {miss.agent!r} is on no cassette; the nearest that is:"
        lines = miss.difference.splitlines()
        yield from (f"    {line}" for line in lines[:_LINES_OF_A_DIFF])
        if len(lines) > _LINES_OF_A_DIFF:
            yield f"    ... {len(lines) - _LINES_OF_A_DIFF} more lines"
    if len(difference.misses) > 1:
        yield f"  ... and {len(difference.misses) - 1} more requests, which may follow from it"


def _name(key: Key) -> str:
    dataset, incident, diagnoser, attempt = key
    return f"{diagnoser} on {dataset} {incident}, attempt {attempt}"


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done}/{total} made again", end="\n" if done == total else "", file=sys.stderr, flush=True)
