"""Cards of models, and what became of checking one, as lines of text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import yaml

from rcabench.agents.llm.models.access import access_faults, secret_variables
from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.catalog import card_names, load_card
from rcabench.agents.llm.talk.checkup import Finding, examined
from rcabench.core.errors import ConfigError

_HEAD = ("name", "provider", "model", "reads", "in", "cached", "out", "as of", "key")


def catalogue_lines() -> Iterator[str]:
    """Yield a table of the cards that come with rcabench."""
    rows, broken = [], []
    for name in card_names():
        try:
            rows.append(_row(load_card(name)))
        except ConfigError as error:
            broken.append(str(error))
    yield from _table(_HEAD, rows)
    yield from broken
    yield ""
    yield "Prices in USD per million tokens, as of the date beside them; see where they come from: rcabench models show"


def card_lines(name: str) -> Iterator[str]:
    """Yield what a card says, and what keeps its model from being reached.

    Raises:
        ConfigError: there is no such card, or it has faults.
    """
    card = load_card(name)
    yield f"{card.name}: {card.description}" if card.description else card.name
    prices = card.prices
    plain = {
        "provider": card.provider,
        "model": card.model,
        "parameters": dict(card.parameters),
        "connection": dict(card.connection),
        "facts": dict(card.facts),
        "stream": card.stream,
        "context_tokens": card.context_tokens,
        "timeout_seconds": card.timeout_seconds,
        "prices": prices and {key: getattr(prices, key) for key in ("input", "cached", "output", "as_of", "source")},
    }
    yield ""
    yield from yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120).splitlines()
    faults = access_faults(card)
    yield ""
    yield from (f"cannot be reached yet: {fault}" for fault in faults)
    if not faults:
        yield f"Next: rcabench models check {name}"


def checked_lines(name: str) -> tuple[tuple[str, ...], bool]:
    """Return what works of a model, and whether agents can use it.

    Raises:
        ConfigError: there is no such card, it has faults, or a key, an address or a package is missing.
    """
    from rcabench.agents.llm.models.client import AutogenModel

    card = load_card(name)
    model = AutogenModel(card)

    async def check() -> tuple[Finding, ...]:
        try:
            return await examined(model)
        finally:
            await model.close()

    findings = asyncio.run(check())
    usable = all(finding.works for finding in findings if finding.needed)
    rows = [(_mark(finding), finding.what, finding.seen) for finding in findings]
    remedies = [f"{finding.what}: {finding.remedy}" for finding in findings if finding.remedy]
    verdict = f"{card.name} can drive agents" if usable else f"{card.name} cannot drive agents as it is"
    return (*_table(("", "what", "seen"), rows), *(["", *remedies] if remedies else []), "", verdict), usable


def _mark(finding: Finding) -> str:
    if finding.works is None:
        return "-"
    return "ok" if finding.works else "FAIL" if finding.needed else "no"


def _row(card: ModelCard) -> tuple[str, ...]:
    prices = card.prices
    amounts = (prices.input, prices.cached, prices.output) if prices else (None,) * 3
    shown = [*("?" if amount is None else f"{amount:g}" for amount in amounts), str(prices.as_of) if prices else "?"]
    reads = "?" if card.context_tokens is None else f"{card.context_tokens:,}"
    return (card.name, card.provider, card.model, reads, *shown, _key(card))


def _key(card: ModelCard) -> str:
    import os

    names = secret_variables(card)
    if not names:
        return "none needed"
    unset = [name for name in names if not os.environ.get(name, "").strip()]
    return f"{', '.join(unset)} is not set" if unset else "set"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
