"""The tables beside a leaderboard: attempts, models, agents, trouble, others' figures, tenants; where there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rcabench.core.run import RunRecord
from rcabench.reporting.amounts import ABSENT, amount, share, usd
from rcabench.reporting.attempts import Repeats
from rcabench.reporting.breakdown import breakdown_tables
from rcabench.reporting.expense import AgentExpense, Expense, Trouble
from rcabench.reporting.judged_tables import judged_tables
from rcabench.reporting.leaderboard import (
    Leaderboard,
    format_estimate,
    leaderboard,
    names_of,
    titled_groups,
    warnings_of,
)
from rcabench.reporting.published import published_tables
from rcabench.reporting.summary import SummaryRow, summarise
from rcabench.reporting.tenants import tenants

_MOST_K = 5
"""Up to so many attempts every k has its columns; beyond, the round ones do."""
_ROUND_K = (1, 2, 3, 5, 10, 20, 50, 100)

_ATTEMPTS_NOTE = (
    "pass@k: the chance that at least one of k attempts is right; pass^k: that all of k are; a right one has {} = 1. "
    "Estimated per case from its attempts without bias (Chen et al. 2021; Yao et al. 2024), then averaged over the n "
    "cases with at least k attempts. disagree: share of cases on which some attempts are right and others are not. "
    "spread: standard deviation of the score between attempts at one case."
)
_MODELS_NOTE = (
    "Calls, tokens and USD: sums over all diagnoses of the row, failed ones among them; cached tokens are among those "
    "in, reasoning tokens among those out. USD by the model's price table; a replayed call counts as when it was "
    "recorded. USD each: mean per diagnosis, attempts averaged, with its 95 % interval over n cases. USD per right: "
    "money of all diagnoses that {} judges over the right ones, counted in the column before. n/a is unknown, not free."
)
_AGENTS_NOTE = (
    "An agent's sums are over the diagnoses that it took part in. Shares are of all tokens and money of the diagnoser; "
    "seconds: median from the first to the last thing it did, and those of parallel agents overlap."
)
_TROUBLE_NOTE = "Trouble is counted whether it was overcome or not; a diagnosis that failed of it is a miss as well."
_TENANTS_NOTE = "Sums over all runs of this report. Scores of several runs are never put together."


def tables(
    records: Sequence[RunRecord],
    metrics: str | Sequence[str] = "headline",
    right: str | None = None,
    *,
    torn_out: bool = False,
) -> tuple[Leaderboard, ...]:
    """Return every leaderboard, and after each the tables that its runs give reason for; then those of all runs.

    Args:
        records: of one or more runs.
        metrics: as for `leaderboards`.
        right: as for `summarise`.
        torn_out: whether each table is read without the others, and so bears the warnings of its leaderboard.
    """
    found = []
    for title, members in titled_groups(summarise(records, right=right)):
        found.append(leaderboard(members, title, metrics))
        for table in supplements(members):
            warnings = table.warnings if torn_out else ()
            found.append(replace(table, title=f"{title}; {table.title}", warnings=warnings))
    whose = tenant_table(records)
    found += breakdown_tables(records, torn_out=torn_out)
    found += judged_tables(records, torn_out=torn_out)
    found += published_tables(records)
    return (*found, whose) if whose is not None else tuple(found)


def right_of(expense: Expense) -> str:
    """Return how many answers were right, with the denominator."""
    return f"{expense.right} of {expense.judged}" if expense.judged else ABSENT


def shown_ks(attempts: int) -> tuple[int, ...]:
    """Return the k that tables have columns for."""
    if attempts <= _MOST_K:
        return tuple(range(1, attempts + 1))
    return (*(k for k in _ROUND_K if k < attempts), attempts)


def supplements(members: Sequence[SummaryRow]) -> tuple[Leaderboard, ...]:
    """Return the tables beside the leaderboard of rows that share one, titled by what they tell."""
    several = len({row.run for row in members}) > 1
    repeated = [(row, row.repeats) for row in members if row.repeats is not None]
    metered = [row for row in members if row.expense.metered]
    found = (
        _attempts(repeated, several) if repeated else None,
        _models(metered, several) if metered else None,
        _agents(members, several) if any(row.expense.agents for row in members) else None,
        _troubles(members, several) if any(row.expense.troubles for row in members) else None,
    )
    return tuple(table for table in found if table is not None)


def tenant_table(records: Sequence[RunRecord]) -> Leaderboard | None:
    """Return what each tenant's runs took; None where no run names one."""
    rows = tenants(records)
    if not rows:
        return None
    return Leaderboard(
        title="Tenants",
        onset_given=None,
        headings=("tenant", "project", "runs", "diagnoses", "calls", "tokens in", "tokens out", "USD"),
        labels=2,
        rows=tuple(
            (row.tenant or "(none)", row.project or "(none)", str(row.runs), str(row.diagnoses), amount(row.calls),
             amount(row.input_tokens), amount(row.output_tokens), amount(row.usd, usd))
            for row in rows
        ),
        notes=(_TENANTS_NOTE,),
    )  # fmt: skip


def _table(
    title: str, members: Sequence[SummaryRow], headings: Sequence[str], rows: Sequence[Sequence[str]], note: str,
    *, labels: int, several: bool,
) -> Leaderboard:  # fmt: skip
    names = ("diagnoser", *(["run"] if several else []), *headings)
    first = labels + several
    kept = [i for i in range(len(names)) if i < first or any(row[i] != ABSENT for row in rows)]
    return Leaderboard(
        title=title,
        onset_given=members[0].onset_given,
        headings=tuple(names[i] for i in kept),
        labels=first,
        rows=tuple(tuple(row[i] for i in kept) for row in rows),
        notes=(note,),
        warnings=warnings_of(members),
    )


def _attempts(rows: Sequence[tuple[SummaryRow, Repeats]], several: bool) -> Leaderboard:
    ks = shown_ks(max(found.attempts for _, found in rows))
    headings = ["attempts", "pass@1", *(f"pass{sign}{k}" for k in ks[1:] for sign in "@^"), "disagree", "spread"]
    cells = []
    for row, found in rows:
        line = [*names_of(row, several_runs=several), str(found.attempts)]
        for k in ks:
            for estimates in (found.pass_at, found.pass_all) if k > 1 else (found.pass_at,):
                known = k <= found.attempts
                line.append(format_estimate(estimates[k - 1], share=True, with_n=True) if known else ABSENT)
        line.append(format_estimate(found.disagreeing, share=True, with_n=True))
        cells.append([*line, ABSENT if found.deviation is None else f"{found.deviation:.3f}"])
    metrics = " or ".join(dict.fromkeys(found.metric for _, found in rows))
    note = _ATTEMPTS_NOTE.format(metrics)
    return _table("several attempts", [row for row, _ in rows], headings, cells, note,
                  labels=1, several=several)  # fmt: skip


def _models(members: Sequence[SummaryRow], several: bool) -> Leaderboard:
    headings = ("diagnoses", "calls", "tokens in", "cached", "tokens out", "reasoning", "USD", "USD each", "right",
                "USD per right")  # fmt: skip
    cells = []
    for row in members:
        spent = row.expense
        each = spent.usd_each
        counts = (spent.calls, spent.input_tokens, spent.cached_tokens, spent.output_tokens, spent.reasoning_tokens)
        cells.append([
            *names_of(row, several_runs=several),
            str(spent.diagnoses),
            *map(amount, counts),
            amount(spent.usd, usd),
            ABSENT if each.value is None else f"{usd(each.value)}{_interval(each.low, each.high)} n={each.n}",
            right_of(spent),
            usd(spent.usd_per_right),
        ])  # fmt: skip
    note = _MODELS_NOTE.format(" or ".join(dict.fromkeys(row.expense.metric for row in members)))
    return _table("language models", members, headings, cells, note, labels=1, several=several)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{usd(low)}, {usd(high)}]"


def _agents(members: Sequence[SummaryRow], several: bool) -> Leaderboard:
    headings = ("agent", "diagnoses", "calls", "tokens in", "tokens out", "of tokens", "USD", "of USD", "seconds",
                "trouble")  # fmt: skip
    cells = [
        [*names_of(row, several_runs=several), agent.agent, *_agent_cells(agent)]
        for row in members
        for agent in row.expense.agents
    ]
    return _table("agents", members, headings, cells, _AGENTS_NOTE, labels=2, several=several)


def _agent_cells(agent: AgentExpense) -> list[str]:
    return [
        str(agent.diagnoses),
        amount(agent.calls),
        amount(agent.input_tokens),
        amount(agent.output_tokens),
        share(agent.token_share),
        amount(agent.usd, usd),
        share(agent.usd_share),
        ABSENT if agent.seconds is None else f"{agent.seconds:.3f}",
        str(sum(trouble.times for trouble in agent.troubles.values())),
    ]


def _troubles(members: Sequence[SummaryRow], several: bool) -> Leaderboard:
    cells = [
        [*names_of(row, several_runs=several), kind, str(found.times), f"{found.diagnoses} of {row.expense.diagnoses}"]
        for row in members
        for kind, found in _sorted(row.expense.troubles)
    ]
    headings = ("trouble", "times", "in diagnoses")
    return _table("trouble", members, headings, cells, _TROUBLE_NOTE, labels=2, several=several)


def _sorted(troubles: Mapping[str, Trouble]) -> list[tuple[str, Trouble]]:
    return sorted(troubles.items(), key=lambda item: (-item[1].times, item[0]))
