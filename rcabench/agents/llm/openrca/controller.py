"""The RCA-agent's controller: plans one step at a time, reads results, and gives the answer in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rcabench.agents.llm.models.chat import Message, ModelError, Role
from rcabench.agents.llm.openrca.executor import Executor, Result
from rcabench.agents.llm.openrca.rca_calls import Calls, TimeToAnswer
from rcabench.agents.llm.openrca.rca_text import RoleText
from rcabench.agents.llm.talk.answer import AnswerForm, read_answer
from rcabench.agents.llm.text import cut, one_line
from rcabench.core.trouble import Trouble

AGENT = "controller"
_MOST_NONSENSE = 3
_MOST_FAILURES = 5
"""Steps in a row that come to nothing, after which it is asked for its answer."""
_SHORT = 1_500

STEP_FORM = AnswerForm(
    name="step",
    schema={
        "type": "object",
        "properties": {
            "analysis": {"type": "string"},
            "completed": {"type": "boolean"},
            "instruction": {"type": "string"},
        },
        "required": ["completed", "instruction"],
    },
)


@dataclass(kw_only=True, slots=True, eq=False)
class Controller:
    """One diagnosis's controller.

    Attributes:
        calls: to the model.
        executor: who carries instructions out.
        wording: of its prompts.
        system, question: its first two messages.
        steps: how many it may take.
        say: told in short of all that happens, for people.
        taken: steps so far.
        analysis: its last one.
    """

    calls: Calls
    executor: Executor
    wording: RoleText
    system: str
    question: str
    steps: int
    say: Callable[[str, str], None]
    taken: int = 0
    analysis: str = ""
    _messages: list[Message] = field(default_factory=list)
    _results: list[int] = field(default_factory=list)

    async def investigate(self) -> str:
        """Take steps until it has done, may not go on, or makes no progress; return why it ended."""
        self._messages = [
            Message(role=Role.SYSTEM, text=self.system),
            Message(role=Role.USER, text=self.question),
        ]
        nonsense = failures = 0
        while self.taken < self.steps:
            self.taken += 1
            try:
                text = await self._planned()
                step, faults = read_answer(text, STEP_FORM)
                if step is None:
                    nonsense += 1
                    self._object(text, faults)
                    if nonsense >= _MOST_NONSENSE:
                        return "no plan"
                    continue
                nonsense = 0
                self.analysis = str(step.get("analysis") or step["instruction"])
                self.say(AGENT, f"step {self.taken}: {one_line(self.analysis, 600)}")
                self._answered(text)
                if step["completed"] or not str(step["instruction"]).strip():
                    return "completed"
                self.say(AGENT, f"instruction: {one_line(str(step['instruction']), 600)}")
                result = await self.executor.carry_out(str(step["instruction"]))
            except TimeToAnswer as stop:
                self.say(AGENT, f"asked for the answer: {stop}")
                return "spent"
            except ModelError as error:
                self.say(AGENT, f"{error.trouble}: {one_line(str(error), 200)}")
                return str(error.trouble)
            self._told(result)
            failures = failures + 1 if result.failed else 0
            if failures >= _MOST_FAILURES:
                return "no progress"
        return "no steps left"

    async def conclude(self, choices: dict[str, str]) -> str:
        """Ask for the answer.

        Raises:
            ModelError: there is none.
        """
        # What was shown last has not been analysed where the steps are used up, so it stays in full.
        self._ask(self.wording.filled("final", **choices))
        try:
            return await self.calls.ask(AGENT, self._messages, closing=True)
        except ModelError as error:
            if error.trouble is not Trouble.CONTEXT_OVERFLOW:
                raise
            self._shorten(keep=0)
            return await self.calls.ask(AGENT, self._messages, closing=True)

    async def conclude_again(self, text: str, choices: dict[str, str]) -> str:
        """Ask for the answer once more, where there was none in what it said.

        Raises:
            ModelError: there is none.
        """
        self._answered(text)
        self._ask(self.wording.filled("again", **choices))
        return await self.calls.ask(AGENT, self._messages, closing=True)

    async def _planned(self) -> str:
        try:
            return await self.calls.ask(AGENT, self._messages)
        except ModelError as error:
            if error.trouble is not Trouble.CONTEXT_OVERFLOW or not self._shorten(keep=1):
                raise
            return await self.calls.ask(AGENT, self._messages)

    def _told(self, result: Result) -> None:
        self._results.append(len(self._messages))
        left = str(self.steps - self.taken)
        self._ask(self.wording.filled("result", result=result.text, left=left))

    def _object(self, text: str, faults: tuple[str, ...]) -> None:
        self.calls.meter.count(AGENT, Trouble.VALIDATION_FAILED)
        self.say(AGENT, f"no step: {one_line(text, 200)}")
        self._answered(text)
        self._ask(self.wording.filled("repair", faults="\n".join(f"- {fault}" for fault in faults)))

    def _answered(self, text: str) -> None:
        self._messages.append(Message(role=Role.ASSISTANT, text=text if text.strip() else "(nothing)"))

    def _ask(self, text: str) -> None:
        last = self._messages[-1]
        if last.role is Role.USER:
            # Some servers want the roles to alternate.
            self._messages[-1] = Message(role=Role.USER, text=f"{last.text}\n\n{text}")
        else:
            self._messages.append(Message(role=Role.USER, text=text))

    def _shorten(self, *, keep: int) -> bool:
        """Cut the results that were shown first; whether there was anything to cut."""
        places = self._results[: len(self._results) - keep] if keep else self._results
        shorter = False
        for place in places:
            text = self._messages[place].text
            if len(text) > _SHORT:
                self._messages[place] = Message(role=Role.USER, text=cut(text, _SHORT, notice="\n(left out)"))
                shorter = True
        return shorter
