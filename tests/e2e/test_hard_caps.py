"""Limits on tokens and money hold over the wire, however many ask at once, and cost no verdict that was paid for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from rcabench.config import Plan, plan_from
from rcabench.core.digest import digest_plain
from rcabench.core.run import RunRecord
from rcabench.core.usage import Usage
from rcabench.record import fingerprint
from rcabench.runner.verifying import verify
from rcabench.runner.walk import Step, run
from rcabench.testing.scripted import ScriptedReply, ScriptedRequest, ScriptedServer, Strongest

CASES = 6
INPUT, OUTPUT = 1.0, 4.0


@dataclass(kw_only=True)
class Asked:
    """The simple policy, which counts how often it is asked what."""

    times: dict[str, int] = field(default_factory=dict)

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        said = [(message.role, message.text, repr(message.tool_calls)) for message in request.messages]
        key = digest_plain([said, request.tool_choice, [tool.name for tool in request.tools]])
        self.times[key] = self.times.get(key, 0) + 1
        return Strongest()(request)


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def plain(tiny_dataset: Path, tmp_path: Path, asked: Asked) -> Iterator[Mapping[str, Any]]:
    with ScriptedServer(asked, latency=0.02).in_thread() as server:
        card = tmp_path / "card.yaml"
        card.write_text(f"""
description: No model, but a script.
provider: openai
model: scripted
parameters: {{max_tokens: 600}}
connection: {{base_url: {server.url}/v1}}
context_tokens: 128000
prices: {{input: {INPUT}, output: {OUTPUT}, as_of: 2026-01-05, source: made up for tests}}
""")
        team = {"name": "llm", "options": {"model": str(card), "team": "llm-pooled"}, "label": "team"}
        yield {"name": "x", "datasets": [str(tiny_dataset)], "diagnosers": [team], "concurrency": 8, "limit": CASES}


def planned(plain: Mapping[str, Any], **more: Any) -> Plan:
    return plan_from({**plain, **more}, source="test")


def usages(record: RunRecord) -> list[Usage]:
    return [result.diagnosis.usage for result in record.results]


def tokens_of(usage: Usage) -> int:
    assert usage.input_tokens is not None
    assert usage.output_tokens is not None
    return usage.input_tokens + usage.output_tokens


def paid(folder: Path) -> float:
    """Return what all answers on cassettes cost, those of diagnoses that are not in the record among them."""
    usd = 0.0
    for file in (folder / "cassettes").iterdir():
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            tokens = json.loads(line).get("reply", {}).get("tokens", {})
            usd += (tokens.get("input", 0) * INPUT + tokens.get("output", 0) * OUTPUT) / 1e6
    return usd


@pytest.mark.parametrize("kind", ["tokens", "usd"])
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_agents_that_ask_at_once_stay_within_a_diagnosis_limit_and_give_a_verdict(
    plain: Mapping[str, Any], tmp_path: Path, kind: str, share: float
) -> None:
    (whole,) = usages(run(planned(plain, limit=1), tmp_path / "whole"))
    assert whole.usd is not None
    limit = int(share * tokens_of(whole)) if kind == "tokens" else share * whole.usd
    record = run(planned(plain, spending={kind: limit}), tmp_path / "run")

    assert len(record.results) == CASES
    for result, usage in zip(record.results, usages(record), strict=True):
        assert result.diagnosis.verdict is not None
        assert usage.usd is not None
        assert usage.calls
        assert (tokens_of(usage) if kind == "tokens" else usage.usd) <= limit
        assert usage.troubles["coordination.budget"]
    assert verify(tmp_path / "run").passed


@pytest.mark.parametrize("share", [0.4, 1.5, 3.3])
def test_a_run_stays_within_its_total_and_what_it_cut_short_is_gone_on_with_at_no_cost(
    plain: Mapping[str, Any], asked: Asked, tmp_path: Path, share: float
) -> None:
    undisturbed = run(planned(plain), tmp_path / "undisturbed")
    dearest = max(usage.usd or 0.0 for usage in usages(undisturbed))
    plan, steps = planned(plain, total_usd=share * dearest), list[Step]()
    record = run(plan, tmp_path / "run", watch=steps.append)

    assert len(record.results) < CASES
    assert 0.0 < paid(tmp_path / "run") <= share * dearest
    assert paid(tmp_path / "run") == pytest.approx(steps[-1].usd)
    assert steps[-1].interrupted or share > 1
    assert all("coordination.budget" not in usage.troubles for usage in usages(record))

    rest = run(replace(plan, total_usd=None), tmp_path / "run")
    assert fingerprint(rest) == fingerprint(undisturbed)
    assert set(asked.times.values()) == {2}, "a call was paid for twice"
    assert verify(tmp_path / "run").passed
