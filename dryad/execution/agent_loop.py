"""One episode of one agent: it works until it is done, or until it must ask a person.

Every model call and every tool call is a step of the run's journal. A step that was recorded is
not done again: a process that takes a run over replays the conversation from the journal and goes
on where the other one died. Effects are announced before they happen; one that was announced and
never reported is repeated only when its tool is idempotent, else a person decides.

Steps of a member are counted over its whole conversation: `<member>/model` by answer,
`<member>/<tool>` by tool call. Tool calls of one answer are made one after another, in its order.

A limit stops the episode *before* the step that would pass it, and so do answers of no use, which a
retry would only read again. The episode then ends as `Done` with status `stopped` and the reason; a
replay reaches the same end.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

from pydantic_ai import (
    Agent,
    DeferredToolRequests,
    DeferredToolResults,
    ToolApproved,
    ToolDenied,
    capture_run_messages,
)
from pydantic_ai.exceptions import AgentRunError, ApprovalRequired, ToolFailed
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext, ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_ai.usage import UsageLimits
from pydantic_core import SchemaValidator, core_schema

from dryad.execution.citations import cited
from dryad.execution.episodes import Asks, Done, Episode, Progress, Usage, Verdict
from dryad.execution.guard import UNGUARDED, Guard
from dryad.execution.models.language import Language, in_our_words
from dryad.execution.models.providers import FELL_BACK
from dryad.execution.steps import StepLog
from dryad.execution.tool_calls import ToolCaller
from dryad.execution.work import Ask, Failed, Work
from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import InvalidRequest, LimitExceeded, Unavailable

_ARGUMENTS = SchemaValidator(core_schema.dict_schema())
_PASSING = frozenset({"timestamp", "run_id", "conversation_id", "metadata"})
"""What a message says about its own making: another attempt says it differently."""

_RETRIES = 2
"""How often a model is told that its answer was malformed before the episode fails."""


async def advance(
    episode: Episode,
    *,
    model: Language,
    tools: ToolCaller,
    steps: StepLog,
    guard: Guard = UNGUARDED,
) -> Done | Asks:
    """Let an agent work until it is done or must ask.

    Args:
        episode: What it works on, from where.
        model: What it thinks with.
        tools: What it may call.
        steps: The journal of the run.
        guard: Asked before, and told after, every step that is not replayed.

    Returns:
        `Done` with the answer, or stopped by a limit or by answers of no use; `Asks` with all
        questions of the last answer.

    Raises:
        InvalidRequest: a pending question has no verdict.
        Unavailable: the model or a tool is down.
        Refused: the guard stopped the run, or the provider refused.
        Superseded: another process carries the run now.
        Corrupt: a step was recorded with other inputs.
    """
    history = ModelMessagesTypeAdapter.validate_python(
        episode.progress.messages if episode.progress else []
    )
    work = _resumed(episode, history, tools, steps, guard)
    verdicts = _verdicts(work, episode)
    agent = await _agent(episode, history, model, work)
    with capture_run_messages() as messages:
        try:
            async with model:
                result = await agent.run(
                    None if history else episode.prompt,
                    message_history=history or None,
                    deferred_tool_results=verdicts,
                    usage_limits=UsageLimits(request_limit=None),  # ours are checked before a step
                )
        except LimitExceeded as limit:
            return Done("stopped", "", _kept(work, messages), reason=str(limit))
        except AgentRunError as error:
            useless = in_our_words(error, model.model_name)
            return Done("stopped", "", _kept(work, messages), reason=useless.message)
    progress = _kept(work, result.all_messages())
    if isinstance(result.output, DeferredToolRequests):
        return Asks(replace(progress, pending=tuple(work.questions)))
    return Done("done", result.output, progress, citations=cited(result.output, progress.sources))


def _resumed(
    episode: Episode,
    history: Sequence[ModelMessage],
    tools: ToolCaller,
    steps: StepLog,
    guard: Guard,
) -> Work:
    """Return the work as far as the conversation tells of it."""
    answers = [message for message in history if isinstance(message, ModelResponse)]
    work = Work(episode, tools, steps, guard, answers=len(answers))
    for answer in answers:
        work.count_calls([call.tool_call_id for call in answer.tool_calls])
    return work


async def _agent(
    episode: Episode, history: Sequence[ModelMessage], model: Language, work: Work
) -> Agent[None, str | DeferredToolRequests]:
    """Return the library's agent, which thinks and acts through the journal alone."""
    return Agent(
        _Journalled(model, work, said=len(canonical_json(_plain(history)))),
        instructions=episode.instructions or None,
        toolsets=[_Offered(work, await work.offered(), [asked.tool for asked in work.pending])],
        output_type=[str, DeferredToolRequests],
        retries=_RETRIES,
        name=episode.member,
    )


def _verdicts(work: Work, episode: Episode) -> DeferredToolResults | None:
    if not work.pending:
        return None
    results = DeferredToolResults()
    for question in work.pending:
        verdict = episode.verdicts.get(question.call_id)
        if verdict is None:
            raise InvalidRequest(f"the question about {question.tool} has no verdict yet")
        if verdict.decision == "reject":
            work.denied(question.call_id)
            results.approvals[question.call_id] = ToolDenied(_no(verdict, question.kind))
        else:
            edited = dict(verdict.arguments or {}) if verdict.decision == "edit" else None
            results.approvals[question.call_id] = ToolApproved(override_args=edited)
    return results


def _no(verdict: Verdict, kind: str) -> str:
    reason = verdict.reason or "no reason was given"
    if kind == "doubt":
        return f"Nobody knows whether this happened, and a person decided to leave it: {reason}"
    return f"A person rejected this call, it did not happen: {reason}"


def _kept(work: Work, messages: Sequence[ModelMessage]) -> Progress:
    kept = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    return replace(work.progress, messages=kept)


def _plain(messages: Sequence[ModelMessage]) -> list[dict[str, Any]]:
    """Return messages as JSON without what changes between attempts."""
    dumped = ModelMessagesTypeAdapter.dump_python(list(messages), mode="json")
    return [
        {
            key: [_lasting(part) for part in value] if key == "parts" else value
            for key, value in _lasting(message).items()
        }
        for message in dumped
    ]


def _lasting(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in _PASSING}


class _Journalled(WrapperModel):
    """The model, asked only for answers the journal does not have."""

    def __init__(self, language: Language, work: Work, *, said: int) -> None:
        super().__init__(language)
        self._language = language
        self._work = work
        self._said = said
        """Bytes of the conversation so far."""

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Return the next answer of the conversation."""
        new = _plain(_since_last_answer(messages))
        self._said += len(canonical_json(new))
        tokens, usd = self._language.most(self._said)

        async def ask() -> dict[str, Any]:
            response = await self._language.request(
                messages, model_settings, model_request_parameters
            )
            _name_apart(response, messages)
            return _answer(response, self._language)

        stored = await self._work.think(self._language.model_name, new, Usage(1, tokens, usd), ask)
        self._said += len(canonical_json(stored))
        response = cast("ModelResponse", ModelMessagesTypeAdapter.validate_python([stored])[0])
        self._work.count_calls([call.tool_call_id for call in response.tool_calls])
        return response


def _since_last_answer(messages: Sequence[ModelMessage]) -> Sequence[ModelMessage]:
    for place in range(len(messages) - 1, -1, -1):
        if isinstance(messages[place], ModelResponse):
            return messages[place + 1 :]
    return messages


def _answer(response: ModelResponse, language: Language) -> dict[str, Any]:
    """Return an answer as it is recorded.

    Raises:
        Unavailable: it holds text that is no UTF-8.
    """
    try:
        stored = ModelMessagesTypeAdapter.dump_python([response], mode="json")[0]
        canonical_json(stored)
    except (TypeError, ValueError) as error:
        raise Unavailable(f"model {language.model_name} answered text that is no UTF-8") from error
    offline = response.provider_name == "offline"
    return {
        "response": stored,
        "model": response.model_name or language.model_name,
        "degraded": (language.degraded or FELL_BACK) if offline else "",
        "tokens": response.usage.total_tokens,
        "cost_usd": str(response.usage.cost or Decimal(0)),
    }


def _name_apart(response: ModelResponse, messages: Sequence[ModelMessage]) -> None:
    """Give calls whose id was used before an id of their own: results are matched by it."""
    used = {
        call.tool_call_id
        for message in messages
        if isinstance(message, ModelResponse)
        for call in message.tool_calls
    }
    for place, part in enumerate(response.parts):
        if not isinstance(part, ToolCallPart):
            continue
        if part.tool_call_id in used:
            part.tool_call_id = f"call_{len(messages)}_{place}"
        used.add(part.tool_call_id)


class _Offered(AbstractToolset[object]):
    """The tools of the episode, as pydantic-ai sees them."""

    def __init__(self, work: Work, shown: Sequence[dict[str, Any]], pending: Sequence[str]) -> None:
        self._work = work
        # A tool that was taken away since it was asked about: its call comes, and is refused.
        gone: list[dict[str, Any]] = [
            {"name": name, "description": "", "schema": {"type": "object"}} for name in pending
        ]
        self._tools = {
            tool["name"]: ToolsetTool[object](
                toolset=self,
                tool_def=ToolDefinition(
                    name=tool["name"],
                    description=tool["description"],
                    parameters_json_schema=tool["schema"],
                    sequential=True,
                ),
                max_retries=_RETRIES,
                args_validator=_ARGUMENTS,
            )
            for tool in [*gone, *shown]
        }

    @property
    def id(self) -> str:
        """Name of the toolset."""
        return "dryad"

    async def get_tools(self, ctx: RunContext[object]) -> dict[str, ToolsetTool[object]]:  # noqa: ARG002
        """Return the same tools at every step of the episode."""
        return self._tools

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[object],
        tool: ToolsetTool[object],  # noqa: ARG002
    ) -> Any:
        """Make, replay or defer one call."""
        call_id, answered = ctx.tool_call_id or "", ctx.tool_call_approved
        try:
            return await self._work.use(name, call_id, tool_args, answered=answered)
        except Ask as ask:
            raise ApprovalRequired from ask
        except Failed as failed:
            raise ToolFailed(str(failed)) from failed
