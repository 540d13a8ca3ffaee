"""The provider for installations without a language model: rules that really use the tools.

It quotes what a search returns, computes with a program, sends and writes what the task spells
out, and says plainly what it cannot do. The same conversation always gets the same answer, and
every answer says that it is degraded.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings

from dryad.execution.models.errands import Action, Reading, read_task
from dryad.execution.models.extracts import best_sentences, content_words, sentences
from dryad.execution.models.sums import Sum, find_sum

LABEL = "(Degraded: no language model took part; rules put this answer together.)"
"""The last line of every answer."""

_JOINS = re.compile(r"\b(?:synthesi[sz]e|combine|merge|consolidate|summari[sz]e)\b", re.IGNORECASE)
_JUDGES = re.compile(r"\b(?:critique|criticise|criticize|review)\b", re.IGNORECASE)
_BUILT = re.compile(r"\s*" + re.escape(LABEL))
_CITATION = re.compile(r"\[(\d+)\]")
_DID_NOT = re.compile(r"\b(?:I did not|I cannot|do not answer|failed)\b")


@dataclass(frozen=True)
class _Return:
    """What came back of one call."""

    content: Any
    ok: bool


class _NextCall(Exception):
    """The answer needs a call that was not made yet."""

    def __init__(self, part: ToolCallPart) -> None:
        super().__init__(part)
        self.part = part


class _Calls:
    """The calls of one conversation, met again in the order in which they were made."""

    def __init__(self, tools: set[str], returns: Sequence[_Return]) -> None:
        self._tools = tools
        self._returns = returns
        self._met = 0

    def has(self, tool: str) -> bool:
        """Whether the tool is offered."""
        return tool in self._tools

    def call(self, tool: str, arguments: dict[str, Any]) -> _Return:
        """Return what came of the next call.

        Raises:
            _NextCall: it has to be made first.
        """
        self._met += 1
        if self._met <= len(self._returns):
            return self._returns[self._met - 1]
        raise _NextCall(ToolCallPart(tool, arguments, tool_call_id=f"offline_{self._met}"))


class OfflineModel(Model):
    """A deterministic model that reads a task by rules and uses the tools it is offered."""

    @property
    def model_name(self) -> str:
        """The model's name in results."""
        return "offline"

    @property
    def system(self) -> str:
        """The provider's name in results."""
        return "offline"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,  # noqa: ARG002 - there is nothing to set
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the next call the task needs, or the answer."""
        reading = read_task(_prompt(messages), _instructions(messages))
        tools = {tool.name for tool in model_request_parameters.function_tools}
        try:
            part = TextPart(_answer(reading, _Calls(tools, list(_returns(messages)))))
        except _NextCall as needed:
            part = needed.part
        return ModelResponse(
            parts=[part],
            model_name=self.model_name,
            provider_name=self.system,
            finish_reason="tool_call" if isinstance(part, ToolCallPart) else "stop",
        )


def _answer(reading: Reading, calls: _Calls) -> str:
    found = _find_out(reading, calls)
    done = [_act(action, found, calls) for action in reading.actions]
    lost = [f"I did not understand this command: {command}" for command in reading.unclear]
    said = [part for part in (found, *done, *lost) if part]
    return "\n\n".join([*(said or ["I cannot tell what is asked."]), LABEL])


def _find_out(reading: Reading, calls: _Calls) -> str:
    """Answer the question of a task: by computing, from findings, or from documents."""
    question, context = reading.question, reading.context
    sought = find_sum(question, context)
    if sought is not None:
        return _compute(sought, calls)
    if context and (_JOINS.search(question) or _JUDGES.search(question)):
        return _from_findings(question, context)
    words = content_words(question)[:24]
    if not words:
        return ""
    if calls.has("search_memory"):
        back = calls.call("search_memory", {"query": " ".join(words)[:1000]})
        return _said_otherwise(back, "search the documents") or _cited(question, back.content)
    given = _quoted(question, [(None, context)])
    return given or "I cannot search documents: I have no tool for it."


def _compute(sought: Sum, calls: _Calls) -> str:
    if calls.has("run_python"):
        back = calls.call("run_python", {"code": sought.program})
        return _said_otherwise(back, "run the program") or _printed(back.content["result"])
    if sought.expression and calls.has("calculate"):
        back = calls.call("calculate", {"expression": sought.expression})
        return _said_otherwise(back, "calculate this") or (
            f"Calculated: {sought.expression} = {back.content['result']['value']}"
        )
    return "I cannot compute this: I have no tool for it."


def _printed(result: Mapping[str, Any]) -> str:
    if result["exit_code"] == 0:
        return f"Computed by a program: {result['stdout'].strip()}"
    why = result["stderr"].strip().splitlines() or result["violations"] or ["it said nothing"]
    return f"The program failed with exit code {result['exit_code']}: {why[-1]}"


def _cited(question: str, told: Mapping[str, Any]) -> str:
    passages = [(source["number"], source["text"]) for source in told.get("sources", ())]
    return _quoted(question, passages) or "The documents I can search do not answer this."


def _act(action: Action, found: str, calls: _Calls) -> str:
    """Send a message or write a file, with the text of the task or what was found."""
    notify = action.kind == "notify"
    doing = f"send a message to {action.to}" if notify else f"write the file {action.to}"
    text = action.text or found
    if not text:
        return f"I did not {doing}: there is nothing to pass on."
    if not calls.has(action.kind):
        return f"I cannot {doing}: I have no tool for it."
    arguments = (
        {"to": action.to, "message": text[:10_000]} if notify else
        {"path": action.to, "content": text}
    )  # fmt: skip
    back = calls.call(action.kind, arguments)
    if otherwise := _said_otherwise(back, doing):
        return otherwise
    if notify:
        sent = {**arguments, **back.content.get("a_person_changed_the_arguments_to", {})}
        return f"Sent to {sent['to']}: {sent['message']}"
    result = back.content["result"]
    return f"Wrote {result['path']} ({result['size_bytes']} bytes)."


def _said_otherwise(back: _Return, doing: str) -> str:
    """Say why a call came to nothing, or what a person said instead; '' when it was done."""
    if not back.ok:
        return f"I did not {doing}: {back.content}"
    if "a_person_answered" in back.content:
        return (
            f"A person answered instead of letting me {doing}: {back.content['a_person_answered']}"
        )
    return ""


def _quoted(question: str, passages: Sequence[tuple[int | None, str]]) -> str:
    """Answer with sentences of the passages, each cited by its number if it has one."""
    lines: list[str] = []
    for quote in best_sentences(question, [text for _, text in passages]):
        number = passages[quote.place][0]
        if number is None:
            lines.append(f"- {quote.text}")
        else:  # a number in brackets that the document has itself would read as our citation
            own = _CITATION.sub(r"(\1)", quote.text)
            lines.append(f"- {own} [{number}]")
    return "\n".join(lines)


def _from_findings(question: str, context: str) -> str:
    """Join or judge what others found, block by block."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n", _BUILT.sub("", context))]
    blocks = [block for block in blocks if block]
    if _JUDGES.search(question):
        return "\n".join(f"- {_judgement(block)}" for block in blocks)
    kept: dict[str, None] = {}
    for block in blocks:
        quotes = [quote.text for quote in best_sentences(question, [block])]
        for sentence in quotes or sentences(block)[:3]:
            kept.setdefault(sentence)
    return "\n".join(f"- {sentence}" for sentence in kept)


def _judgement(block: str) -> str:
    head = sentences(block)[0][:100]
    if _DID_NOT.search(block):
        return f"“{head}”: it says itself that something was not done."
    cited = len(set(_CITATION.findall(block)))
    if cited:
        return f"“{head}”: supported by {cited} cited source{'s' if cited > 1 else ''}."
    if block.startswith("Computed by a program"):
        return f"“{head}”: computed, not estimated."
    return f"“{head}”: no source is cited."


def _prompt(messages: Sequence[ModelMessage]) -> str:
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                if isinstance(part.content, str):
                    return part.content
                return "\n".join(item for item in part.content if isinstance(item, str))
    return ""


def _instructions(messages: Sequence[ModelMessage]) -> str:
    requests = [message for message in messages if isinstance(message, ModelRequest)]
    return (requests[-1].instructions or "") if requests else ""


def _returns(messages: Sequence[ModelMessage]) -> Iterator[_Return]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                content: Any = part.content
                yield _Return(content, part.outcome == "success")
