"""A policy that plays both roles of the RCA-agent: two steps, a little pandas, and the largest change is the cause."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rcabench.agents.llm.models.chat import Message, Role
from rcabench.testing.scripted.exchange import ScriptedReply, ScriptedRequest

_LOAD = "Load the metrics, name the component of every row, and report how many series there are."
_COMPARE = "Compare every series with its median over the whole time, and report the largest lasting changes."
_PLAN = (_LOAD, _COMPARE)

_LOADING = """
metrics = pd.read_parquet("metrics.parquet")
metrics["component"] = metrics["pod"].fillna(metrics["service"]).fillna(metrics["host"])
print(metrics.groupby(["component", "metric"]).ngroups, "series")
"""
_COMPARING = """
start, end = pd.Timestamp("{start}"), pd.Timestamp("{end}")
series = metrics.dropna(subset=["component", "value"]).sort_values("time", kind="stable")
value = series.groupby(["component", "metric"])["value"]
median = value.transform("median")
series["change"] = ((series["value"] - median) / median.abs().where(median != 0)).abs()
change = series.groupby(["component", "metric"])["change"]
series["lasting"] = change.transform(lambda c: c[::-1].rolling(3, min_periods=1).min()[::-1])
window = series[(series["time"] >= start) & (series["time"] < end)].dropna(subset=["lasting"])
best = window.groupby(["component", "metric"])["lasting"].max().sort_values(ascending=False, kind="stable")
for (component, metric), largest in best.head(20).items():
    one = window[(window["component"] == component) & (window["metric"] == metric)]
    onset = one[one["lasting"] > largest / 2]["time"].min().tz_convert("{zone}")
    print("FOUND", component, metric, round(largest, 3), onset.strftime("%Y-%m-%d %H:%M:%S"), sep="|")
"""
_FOUND = re.compile(r"^FOUND\|(.*)\|(.*)\|([0-9.]+|inf)\|(.*)$", re.MULTILINE)
_FAILURES = re.compile(r"Failures in it: (\d+)")
_REASONS = re.compile(r"^Reasons: (.*)$", re.MULTILINE)
_ZONE = re.compile(r'tz_convert\("([^"]+)"\)')
_WINDOW = re.compile(r"window is (\S+) to (\S+)\.(?:\s|$)")


@dataclass(frozen=True, slots=True)
class RcaAgentScript:
    """Plans two steps, writes the code for them, reports the output's beginning, and answers with what changed most.

    It knows no system and no fault: what it finds shows that the harness works, and nothing that a model
    can do.

    Attributes:
        blunders: how many times code fails before it is written as it should be.
        hostile: code that the executor writes instead in the first step.

    Example:
        >>> asked = (Message(role=Role.SYSTEM, text="You lead the diagnosis"), Message(role=Role.USER, text="What?"))
        >>> json.loads(RcaAgentScript()(ScriptedRequest(messages=asked)).text)["completed"]
        False
    """

    blunders: int = 0
    hostile: str | None = None

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        """Return the reply to a request."""
        messages = request.messages
        plans = messages[0].text.startswith("You lead the diagnosis")
        return ScriptedReply(text=_planned(messages) if plans else self._executed(messages))

    def _executed(self, messages: Sequence[Message]) -> str:
        last = messages[-1].text
        if last.startswith("The code ran."):
            return "It shows: " + last.partition("Its output:")[2].strip().partition("\n")[0][:200]
        asked = [message.text for message in messages if message.text.startswith("Instruction: ")][-1]
        failed = sum(message.text.startswith("The code failed:") for message in messages)
        if _LOAD in asked and self.hostile is not None:
            return f"```python\n{self.hostile}\n```"
        if failed < self.blunders:
            return f"```python\nprint(not_defined_{failed})\n```"
        return f"Like this:\n```python\n{_code(asked, messages[0].text).strip()}\n```"


def _code(instruction: str, system: str) -> str:
    if _LOAD in instruction:
        return _LOADING
    window, zone = _WINDOW.search(system), _ZONE.search(system)
    start, end = window.groups() if window else ("", "")
    return _COMPARING.format(start=start, end=end, zone=zone[1] if zone else "UTC")


def _planned(messages: Sequence[Message]) -> str:
    whole = "\n".join(message.text for message in messages if message.role is Role.USER)
    if "The diagnosis ends here." in whole:
        return json.dumps(_answer(whole), indent=4)
    taken = sum(message.role is Role.ASSISTANT for message in messages)
    if taken < len(_PLAN):
        return json.dumps({"analysis": f"Step {taken + 1}.", "completed": False, "instruction": _PLAN[taken]})
    found = _FOUND.search(whole)
    told = f"{found[1]} changed most." if found else "Nothing changed."
    return f"```json\n{json.dumps({'analysis': told, 'completed': True, 'instruction': told})}\n```"


def _answer(whole: str) -> dict[str, Any]:
    failures = _FAILURES.search(whole)
    reasons = _REASONS.search(whole)
    form = json.JSONDecoder().raw_decode(whole[whole.rindex('{\n    "1"') :])[0]["1"]
    chosen: dict[str, tuple[str, str]] = {}
    for component, metric, _, onset in _FOUND.findall(whole):
        chosen.setdefault(component, (metric, onset))
    answer = {}
    for number, (component, (metric, onset)) in enumerate(chosen.items(), start=1):
        if number > (int(failures[1]) if failures else 1):
            break
        values = (onset, component, _likest(metric, reasons[1].split(", ") if reasons else []))
        known = dict(zip(("datetime", "component", "reason"), values, strict=True))
        answer[str(number)] = {key: known[key.rpartition(" ")[2]] for key in form}
    return answer


def _likest(metric: str, reasons: Sequence[str]) -> str:
    """Return the reason of whose words most stand in a metric's name; the first of several."""
    name = metric.lower()
    likeness = [
        (sum(word[:3].lower() in name for word in reason.split()), -place) for place, reason in enumerate(reasons)
    ]
    return reasons[-max(likeness)[1]] if reasons else ""
