"""The command `plan`: a forecast as text, and the few incidents that are run to make one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rcabench.cli.commands import shown_path
from rcabench.cli.running import progress
from rcabench.runner.forecasting import Forecast, Share, Spread, forecast
from rcabench.runner.walk import run

if TYPE_CHECKING:
    from rcabench.config import Plan

_UNKNOWN = "?"


def show_forecast(plan: Plan, folder: Path | None, measured: Path | None) -> None:
    """Print what a plan asks for and what it will cost."""
    for line in forecast_lines(forecast(plan, folder=folder, measured=measured)):
        typer.echo(line)


def probe_and_show(plan: Plan, folder: Path, *, first: int) -> None:
    """Run the first so many cases of each dataset, and print what the whole will cost."""
    with progress(f"{plan.name}: first {first}") as watch:
        record = run(plan, folder, watch=watch, first=first)
    paid = sum(result.diagnosis.usage.usd or 0.0 for result in record.results)
    typer.echo(f"probed:      {len(record.results)} diagnoses{_for(paid)}, kept in {shown_path(folder)}")
    show_forecast(plan, folder, None)
    typer.echo(f"\nGo on with:  the same options, `rcabench run`, and --out {shown_path(folder)}")


def forecast_lines(found: Forecast) -> Iterator[str]:
    """Yield the forecast as lines of text."""
    cases = sum(found.cases.values())
    planned, left = (sum(getattr(share, name) for share in found.shares) for name in ("planned", "left"))
    yield f"datasets:    {', '.join(f'{name} ({count} cases)' for name, count in found.cases.items())}"
    yield f"diagnosers:  {len(found.shares)}"
    yield f"diagnoses:   {planned} = {cases} cases x {len(found.shares)} diagnosers x {found.attempts} attempt(s)"
    if left < planned:
        yield f"recorded:    {planned - left} of them{_for(found.spent_usd)}; {left} are left"
    yield f"measured:    {found.measured_on or 'nothing; only limits are known. Try --probe 3, or --measured RUN'}"
    yield ""
    yield from _table(found)
    yield ""
    yield from _money_lines(found)
    yield from _time_lines(found)


def _for(usd: float) -> str:
    return f", for ${usd:.4f}" if usd else ""


def _table(found: Forecast) -> Iterator[str]:
    rows = [("DIAGNOSER", "LEFT", "N", "CALLS", "TOKENS", "USD", "SECONDS")]
    for share in found.shares:
        measured = share.seconds or share.calls
        rows.append((share.label, str(share.left), str(measured.n) if measured else "0", *_cells(share)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield "Per diagnosis: mean over N incidents [10th to 90th percentile]; at most: what the experiment allows."


def _cells(share: Share) -> tuple[str, str, str, str]:
    limits, measured = share.at_most, share.seconds or share.calls
    n = measured.n if measured else 0
    return (
        _cell(share.calls, limits.calls, lambda value: f"{value:,.1f}", n),
        _cell(share.tokens, limits.tokens, lambda value: f"{value:,.0f}", n),
        _cell(share.usd, limits.usd, lambda value: f"{value:.4f}", n),
        _cell(share.seconds, limits.seconds, lambda value: f"{value:,.2f}", n),
    )


def _cell(spread: Spread | None, limit: float | None, shown: Callable[[float], str], n: int) -> str:
    if spread is None:
        return _UNKNOWN if limit is None else f"at most {shown(limit)}"
    # Incidents that do not tell are left out, which has to be seen.
    fewer = "" if spread.n == n else f" n={spread.n}"
    if spread.low is None or spread.high is None:
        return f"{shown(spread.mean)}{fewer}"
    return f"{shown(spread.mean)} [{shown(spread.low)}, {shown(spread.high)}]{fewer}"


def _money_lines(found: Forecast) -> Iterator[str]:
    cost = found.usd
    if cost is not None:
        mean, low, high = cost
        interval = "" if low is None or high is None else f" (95 % interval ${low:.2f} to ${high:.2f})"
        yield f"cost:        about ${mean:.2f} for what is left{interval}"
        if found.total_usd is not None and found.counted_usd + mean > found.total_usd:
            yield f"             more than total_usd, ${found.total_usd:.2f}: the run will stop before it is complete"
    limited = [share for share in found.shares if share.usd is None and share.at_most.usd is not None and share.waits]
    if limited:
        most = sum((share.at_most.usd or 0.0) * share.left for share in limited)
        yield f"cost:        at most ${most:.2f} for {', '.join(share.label for share in limited)}, by spending.usd"
    unknown = [share.label for share in found.shares if share.waits and share.usd is None and share.at_most.usd is None]
    if unknown:
        yield f"cost:        unknown and without a limit for {', '.join(unknown)}"


def _time_lines(found: Forecast) -> Iterator[str]:
    computing, waiting = found.computing_seconds, found.waiting_seconds
    if any(not share.waits and share.left for share in found.shares):
        yield f"time:        {_duration(computing)} for what computes, {found.jobs} at once"
    if any(share.waits and share.left for share in found.shares):
        yield f"time:        {_duration(waiting)} for what waits for models, {found.concurrency} at once"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 100:
        return f"about {seconds:.1f} s"
    minutes = seconds / 60
    return f"about {minutes:.0f} min" if minutes < 100 else f"about {minutes / 60:.1f} h"
