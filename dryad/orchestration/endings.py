"""How a task ends: with an answer, or with what a person said instead; counted once."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy.orm import Session

from dryad.execution.agents import Agents
from dryad.execution.episodes import Usage
from dryad.foundation.database import Database
from dryad.orchestration.critic import Checked
from dryad.orchestration.evidence import Rung
from dryad.orchestration.findings import Finding, synthesise
from dryad.orchestration.review.questions import Case
from dryad.orchestration.standing import End, Task
from dryad.orchestration.task_force import TaskForces
from dryad.orchestration.tasks import Tasks


class Endings:
    """Writes down how a task ended, what it took, and how its agents did.

    A task that has ended stays as it is: a process may have died after it had written that down.
    """

    def __init__(
        self, database: Database, tasks: Tasks, agents: Agents, forces: TaskForces
    ) -> None:
        self._database = database
        self._tasks = tasks
        self._agents = agents
        self._forces = forces

    def conclude(self, task: Task, findings: Sequence[Finding], checked: Checked) -> Task:
        """End a task with what its members found.

        A part that was stopped, and that no person accepted so, makes the task stop too.

        Args:
            task: The task.
            findings: What is taken of each member.
            checked: What was doubted on the way; a person's rung stands in it once one agreed.
        """
        if (ended := self._tasks.find(task.id)).ended:
            return ended
        climbed = [rung.to_json() for rung in checked.ladder]
        members = [found.seat.member for found in findings]
        self._forces.resolve(task.id, {"members": members, "ladder": climbed})
        stopped = [found for found in findings if found.done.status == "stopped"]
        refused = bool(stopped) and not checked.asks
        with self._database.transaction() as session:
            self._count(task, findings, checked, session)
            ended = self._tasks.finish(
                task.id,
                "refused" if refused else "done",
                reason=stopped[0].done.reason if refused else "",
                result=_result(findings, checked),
                session=session,
            )
        self._credit(task, findings, checked.ladder)
        return ended

    def judge(self, task: Task, case: Case, findings: Sequence[Finding], checked: Checked) -> Task:
        """End a task whose plan, or whose answer, a person did not allow.

        A reply is the answer then. What members did before stays in the result, without what they
        said.

        Args:
            task: The task.
            case: The answered question.
            findings: What members had found, if they worked already.
            checked: What was doubted of it.
        """
        verdict = case.verdict
        assert verdict is not None
        if (ended := self._tasks.find(task.id)).ended:
            return ended
        end: End
        if verdict.decision == "reply":
            end, reason = "done", f"answered by {verdict.by}"
        elif verdict.via == "deadline":
            end, reason = "expired", verdict.reason
        else:
            end, reason = "rejected", f"{verdict.by}: {verdict.reason}"
        said: dict[str, Any] = {"answer": verdict.reply, "citations": [], "degraded": ""}
        self._forces.fail(task.id)
        with self._database.transaction() as session:
            self._count(task, findings, checked, session)
            ended = self._tasks.finish(
                task.id,
                end,
                reason=reason,
                result={**_result(findings, checked), **said}
                if findings or end == "done"
                else None,
                session=session,
            )
        self._credit(task, findings, checked.ladder, refuted=verdict.via != "deadline")
        return ended

    def _count(
        self, task: Task, findings: Sequence[Finding], checked: Checked, session: Session
    ) -> None:
        """Count to the task what members and critic used, also for answers that were not taken."""
        spent = [(found.done.usage.tokens, float(found.done.usage.cost_usd)) for found in findings]
        spent += [(rung.tokens, rung.cost_usd) for rung in checked.ladder]
        spent.append((checked.critique.tokens, float(checked.critique.cost_usd)))
        for tokens, cost_usd in spent:
            self._tasks.usage(task.id, tokens=tokens, cost_usd=cost_usd, session=session)

    def _credit(
        self,
        task: Task,
        findings: Sequence[Finding],
        ladder: Sequence[Rung],
        *,
        refuted: bool = False,
    ) -> None:
        """Note how each agent did; `refuted`: a person said no to what was in doubt."""
        denied = {rung.member for rung in ladder if refuted and rung.step == "a person"}
        for found in findings:
            success = found.done.status == "done" and found.seat.member not in denied
            self._note(task, found.seat.agent, found.done.usage, success=success)
        for rung in ladder:
            if rung.outcome == "accepted":  # the other agent did what this one could not
                used = Usage(tokens=rung.tokens, cost_usd=Decimal(str(rung.cost_usd)))
                self._note(task, rung.agent, used, success=False)

    def _note(self, task: Task, agent: str, used: Usage, *, success: bool) -> None:
        self._agents.finished(
            task.tenant,
            agent,
            success=success,
            tokens=used.tokens,
            cost_usd=float(used.cost_usd),
            seconds=used.seconds,
        )


def _result(findings: Sequence[Finding], checked: Checked) -> dict[str, Any]:
    ladder = [rung.to_json() for rung in checked.ladder]
    return {**synthesise(findings, ladder), "critique": checked.critique.to_json()}
