"""The RCA-agent's executor: an instruction becomes Python, runs in the sandbox, is mended, and is reported in words."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from rcabench.agents.llm.models.chat import Message, ModelError, Role
from rcabench.agents.llm.openrca.rca_calls import Calls
from rcabench.agents.llm.openrca.rca_text import RoleText
from rcabench.agents.llm.talk.tool import ToolError
from rcabench.agents.llm.text import cut, one_line, speakable
from rcabench.agents.llm.tracing.spans import span
from rcabench.core.trouble import Trouble
from rcabench.sandbox.box import Sandbox
from rcabench.sandbox.outcome import Mishap, Ran

AGENT = "executor"
MOST_REPAIRS = 2
LONGEST_OUTPUT = 65_536
"""Characters of output that are shown: OpenRCA's 16,384 tokens, at four characters each."""
_REMEMBERED = 2_000
"""Characters of an earlier step's output that the executor still sees."""
_CUT = "\n(cut here: this is more than 16,384 tokens; print less)"
_FENCED = re.compile(r"```[ \t]*(?:python|py|Python)?[ \t]*\r?\n(.*?)(?:\r?\n[ \t]*```|\Z)", re.DOTALL)
_TROUBLES = {Mishap.TIMEOUT: Trouble.TOOL_TIMEOUT, Mishap.FORBIDDEN: Trouble.BAD_ARGUMENTS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came of one instruction.

    Attributes:
        text: for the controller: the report, and the output; or why there is none.
        failed: whether the instruction was not carried out.
    """

    text: str
    failed: bool = False


@dataclass(kw_only=True, slots=True, eq=False)
class Executor:
    """One diagnosis's executor.

    Attributes:
        calls: to the model.
        sandbox: where code runs.
        wording: of its prompts.
        system: its first message.
        say: told in short of all that happens, for people.
    """

    calls: Calls
    sandbox: Sandbox
    wording: RoleText
    system: str
    say: Callable[[str, str], None]
    _history: list[Message] = field(default_factory=list)
    _runs: int = 0

    async def carry_out(self, instruction: str) -> Result:
        """Carry out one instruction; what code and model do wrong is the result.

        Raises:
            TimeToAnswer: nothing may be asked any more but the answer.
        """
        with span("invoke_agent", AGENT) as opened, self.calls.meter.conversation(AGENT):
            try:
                return await self._carried_out(instruction)
            except ModelError as error:
                opened.failed(error.trouble)
                if error.trouble is Trouble.CONTEXT_OVERFLOW:
                    # The next instruction is met with a short memory.
                    self._history.clear()
                self.say(AGENT, f"{error.trouble}: {one_line(str(error), 200)}")
                return Result(text=f"The executor gave no answer ({error.trouble}).", failed=True)

    async def _carried_out(self, instruction: str) -> Result:
        asked = Message(role=Role.USER, text=self.wording.filled("instruction", instruction=instruction))
        messages = [Message(role=Role.SYSTEM, text=self.system), *self._history, asked]
        ran = Ran()
        for attempt in range(1 + MOST_REPAIRS):
            reply = await self.calls.ask(AGENT, messages)
            code = code_in(reply)
            ran = await self._run(code)
            if ran.error is None:
                return await self._reported(asked, messages, code, ran)
            if attempt < MOST_REPAIRS:
                error = self.wording.filled("error", error=_told(ran), output=shown(ran))
                messages += [_assistant(reply), Message(role=Role.USER, text=error)]
        self.calls.meter.count(AGENT, Trouble.TOOL_FAILED)
        text = f"The instruction could not be carried out; its code failed {1 + MOST_REPAIRS} times. The last error:\n"
        return Result(text=text + _told(ran), failed=True)

    async def _reported(self, asked: Message, messages: list[Message], code: str, ran: Ran) -> Result:
        output = shown(ran)
        written = _assistant(f"```python\n{code}\n```")
        question = Message(role=Role.USER, text=self.wording.filled("report", output=output))
        report = await self.calls.ask(AGENT, [*messages, written, question])
        self.say(AGENT, one_line(report, 1_000))
        # Attempts that failed are forgotten; what worked is built upon.
        short = self.wording.filled("report", output=cut(output, _REMEMBERED, notice="\n..."))
        self._history += [asked, written, Message(role=Role.USER, text=short), _assistant(report)]
        return Result(text=f"{report.strip()}\n\nOutput:\n{output}")

    async def _run(self, code: str) -> Ran:
        """Run code in the sandbox; a session that a recorded run lost is lost again."""
        self._runs += 1
        label = f"run {self._runs}"
        with span("execute_tool", "python") as opened:
            opened.set({"gen_ai.tool.call.arguments": json.dumps({"code": code}, ensure_ascii=False)})
            try:
                self.calls.mishaps.meet(label)
                ran = await asyncio.to_thread(self.sandbox.run, code)
            except ToolError as recorded:
                await asyncio.to_thread(self.sandbox.forget)
                ran = Ran(error=Mishap.TIMEOUT, problem=str(recorded), fresh=True)
            else:
                if ran.fresh and ran.error is not None:
                    # Whether a session is lost may depend on the clock; how far it came then does so in any case.
                    self.calls.mishaps.keep(label, ToolError(Trouble.TOOL_TIMEOUT, f"{ran.error}: {ran.problem}"))
                    ran = Ran(error=Mishap.TIMEOUT, problem=f"{ran.error}: {ran.problem}", fresh=True)
            opened.set({"gen_ai.tool.call.result": shown(ran) if ran.error is None else _told(ran)})
            if ran.error is not None:
                trouble = _TROUBLES.get(ran.error, Trouble.TOOL_FAILED)
                self.calls.meter.count(AGENT, trouble)
                opened.failed(trouble)
        outcome = f"{len(ran.output)} characters" if ran.error is None else f"{ran.error}: {one_line(ran.problem, 200)}"
        self.say(AGENT, f"python({one_line(code, 300)}): {outcome}")
        return ran


def code_in(reply: str) -> str:
    """Return the code that a reply holds: its fenced blocks, or all of it where there are none.

    Example:
        >>> code_in("Here it is:\\n```python\\nprint(1)\\n```\\nDone.")
        'print(1)'
        >>> code_in("print(2)")
        'print(2)'
    """
    blocks = _FENCED.findall(reply)
    return "\n".join(blocks) if blocks else reply.strip()


def shown(ran: Ran) -> str:
    """Return what a step printed as a model gets to read it; the same for the same code and data."""
    output = speakable(ran.output).rstrip()
    if ran.truncated or len(output) > LONGEST_OUTPUT:
        output = output[: LONGEST_OUTPUT - len(_CUT)] + _CUT
    return output or "(nothing)"


def _told(ran: Ran) -> str:
    fresh = "\nThe session was ended: all variables are gone, load anew what is needed." if ran.fresh else ""
    return cut(f"{speakable(ran.problem)}{fresh}", 8_000)


def _assistant(text: str) -> Message:
    # Servers refuse messages without text.
    return Message(role=Role.ASSISTANT, text=text if text.strip() else "(nothing)")
