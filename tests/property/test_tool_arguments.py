"""Whatever a model writes as arguments, a tool answers or says what is wrong."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from rcabench.agents.llm.talk.tool import Tool, ToolError, ToolResult
from rcabench.agents.llm.tools.arguments import DESCRIPTIONS
from rcabench.agents.llm.tools.question_tools import tools_for
from rcabench.agents.scene import survey
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Modality
from rcabench.testing import small_incident, small_telemetry

TELEMETRY = small_telemetry()
TOOLS = tools_for(tuple(Modality), survey(small_incident(), TELEMETRY), TELEMETRY)

TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=20),
    st.sampled_from(
        [
            "cart", "cart-0", "host-a", "cpu_usage", "Query", "2026-01-05T10:05:00Z", "2026-01-05",
            "9999-12-31T23:59:59",
            "5", "-1", "true", '["cart"]', "[[[[", "%", "'; DROP TABLE spans; --", "SELECT * FROM metrics",
            "SELECT count(*) FROM spans, logs, metrics", "SELECT body FROM logs WHERE body LIKE",
            "WITH a AS (SELECT 1) FROM a",
        ]
    ),
)  # fmt: skip
NUMBER = st.one_of(st.integers(), st.floats(), st.sampled_from([0, 1, 7, 10**400, -(10**400)]))
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBER, TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)
NAME = st.one_of(st.sampled_from(sorted(DESCRIPTIONS)), TEXT)
ARGUMENTS = st.one_of(st.dictionaries(NAME, VALUE, max_size=4), VALUE)


@settings(max_examples=300)
@given(place=st.integers(0, len(TOOLS) - 1), arguments=ARGUMENTS)
@example(place=0, arguments={1: 2})
@example(place=0, arguments={"start": object()})
@example(place=len(TOOLS) - 1, arguments={"sql": "SELECT '\udcff'"})
def test_any_arguments_give_a_result_or_an_error_in_words(place: int, arguments: Any) -> None:
    tool = TOOLS[place]
    result = _outcome(tool, arguments)
    if isinstance(result, ToolError):
        assert result.trouble is Trouble.BAD_ARGUMENTS
        assert " A right call: {" in str(result)
        assert len(str(result).encode("utf-8")) < 8_000
        return
    assert isinstance(result, ToolResult)
    result.text.encode("utf-8")
    assert len(result.text) < 9_000
    assert result.question is not None
    assert TELEMETRY.ask(result.question) is not None


def _outcome(tool: Tool, arguments: Any) -> ToolResult | ToolError:
    try:
        return tool.run(arguments)
    except ToolError as error:
        return error
