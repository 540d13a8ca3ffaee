"""The one place where a run waits for a person."""

from typing import Any, Literal

from prefect import suspend_flow_run
from prefect.input import RunInput
from pydantic import BaseModel, Field, create_model

from dryad.orchestration.review.plans import filled_in_plan
from dryad.orchestration.review.questions import Case, Question
from tasks.orchestration import settle_case


class Answer(RunInput):
    """The form a reviewer sees; `decision` is narrowed to the case and has no default."""

    decision: str = Field(title="Decision")
    reason: str = Field(title="Reason", description="In a few words; kept for ever.")


_NAMED: dict[str, Any] = {
    "approver": (
        str,
        Field("", title="Your name", description="For the report; unverified in this mode."),
    )
}
_SIGNED: dict[str, Any] = {
    "approver": (str, Field("", title="Your id", description="As it was enrolled.")),
    "code": (
        str,
        Field("", title="Code", description="The one the question asks for: one-time or decision."),
    ),
}
_REPLY: dict[str, Any] = {
    "reply": (str, Field("", title="Reply", description="Only to reply: your answer instead."))
}
_EDIT: dict[str, Any] = {
    "edited_arguments": (
        dict[str, Any],
        Field(
            {}, title="Edited arguments", description="Only to edit: all of them, as they shall be."
        ),
    )
}


class PlanStep(BaseModel):
    """One step of a plan, as a reviewer may change it."""

    id: str = Field(title="Step")
    text: str = Field(title="What is to be done")
    capability: str = Field(title="Capability it takes")
    tools: list[str] = Field([], title="Tools it may use")
    after: list[str] = Field([], title="Steps it waits for")


async def ask(question: Question, *, seconds: int) -> Case:
    """Return the case with what a person said; until then, end this process and wait.

    Call it in the flow body only: after the answer the body runs again from its top.

    Args:
        question: What is asked.
        seconds: How long an answer is waited for; 0: the installation's usual time.
    """
    case = await settle_case(question.member, question, seconds)
    if case.verdict is None:
        # Never returns: the run is suspended, and whoever answers starts it again.
        await suspend_flow_run(_form(case), key=case.key, timeout=None)  # pyright: ignore[reportGeneralTypeIssues] - typed as if it were sync
    return case


def _form(case: Case) -> type[RunInput]:
    options = tuple(f"{word} #{case.id}" for word in case.form_words)
    fields: dict[str, Any] = {
        "decision": (Literal[options], Field(title="Decision")),
        **(_NAMED if case.proof == "none" else _SIGNED),
        **_REPLY,
        **(_edits(case) if "edit" in case.form_words else {}),
    }
    model = create_model("Answer", __base__=Answer, **fields)
    return model.with_initial_data(description=case.brief)


def _edits(case: Case) -> dict[str, Any]:
    """Return what a reviewer may change: the plan, filled in as it stands, or arguments."""
    if case.plan is None:
        return _EDIT
    filled_in = [PlanStep.model_validate(step) for step in filled_in_plan(case.plan)]
    about = "Only to edit: change, add or take away steps, and choose edit above."
    plan: Any = (list[PlanStep], Field(filled_in, title="The plan", description=about))
    return {"plan": plan, **(_EDIT if case.kind == "approval" else {})}
