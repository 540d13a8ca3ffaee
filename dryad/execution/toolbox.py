"""What the built-in tools and script tools really do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson

from dryad.execution import arithmetic, mailbox, workspace
from dryad.execution.tool_calls import Passage, ToolOutcome
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.errors import Refused, Unavailable
from dryad.foundation.ids import TaskId, TenantId
from dryad.foundation.schemas import violation
from dryad.foundation.tools import ApprovalPolicy, Permit, Tools, ToolSpec

_SHOWN = 20_000
"""Characters of a program's output that a model is shown."""

_NOTIFY_SECONDS = 10


class Found(Protocol):
    """A passage as a search returns it."""

    @property
    def document(self) -> str: ...  # noqa: D102 - named as in `Passage`
    @property
    def title(self) -> str: ...  # noqa: D102
    @property
    def section(self) -> str: ...  # noqa: D102
    @property
    def start(self) -> int: ...  # noqa: D102
    @property
    def stop(self) -> int: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def provenance(self) -> str: ...  # noqa: D102


class Search(Protocol):
    """Where documents are found; the Librarian is one. Blocking."""

    def search(
        self, tenant: TenantId, query: str, limit: int, *, category: str | None = None
    ) -> Sequence[Found]:
        """Return the best passages, best first."""
        ...


class Ran(Protocol):
    """What a program did."""

    @property
    def exit_code(self) -> int: ...  # noqa: D102 - named as in the sandbox's result
    @property
    def stdout(self) -> str: ...  # noqa: D102
    @property
    def stderr(self) -> str: ...  # noqa: D102
    @property
    def violations(self) -> Sequence[str]: ...  # noqa: D102


class RunCode(Protocol):
    """Runs a Python program with files beside it, inside the sandbox and nowhere else."""

    async def __call__(self, code: str, files: Mapping[str, bytes], /) -> Ran:
        """Run it to its end.

        Raises:
            Refused: this machine has no sandbox that is good enough.
        """
        ...


@dataclass(frozen=True)
class Errand:
    """For whom a tool is called."""

    tenant: TenantId
    task: TaskId
    agent: str


class Toolbox:
    """The implementations of the tools a tenant can register."""

    def __init__(
        self,
        *,
        search: Search,
        run_code: RunCode,
        workspaces: Path,
        mailbox: Path,
        clock: Clock = utc_now,
    ) -> None:
        """Hand over what the tools work with.

        Args:
            search: Where documents are found.
            run_code: Runs programs in the sandbox.
            workspaces: Holds a directory of files for each task, by tenant.
            mailbox: Takes the messages of tenants that have no address to send to.
            clock: Tells the time.
        """
        self._search = search
        self._run_code = run_code
        self._workspaces = workspaces
        self._mailbox = mailbox
        self._clock = clock
        self._builtin: Mapping[str, Callable[..., Awaitable[ToolOutcome]]] = {
            "search_memory": self._search_memory,
            "run_python": self._run_python,
            "calculate": self._calculate,
            "clock": self._tell_time,
            "write_file": self._write_file,
            "notify": self._notify,
        }

    async def run(self, step: str, permit: Permit, errand: Errand) -> ToolOutcome:
        """Do what was permitted.

        Args:
            step: The same when the call is repeated; passed on to receivers as idempotency key.
            permit: The tool and its arguments.
            errand: For whom.

        Raises:
            Refused: a rule of the tool stopped it before anything happened.
            InvalidRequest: the same, for what it was given.
            Unavailable: nobody knows whether it happened.
        """
        spec, arguments = permit.spec, permit.arguments
        if spec.kind == "script":
            outcome = await self._run_script(spec, arguments)
        elif spec.name in self._builtin:
            outcome = await self._builtin[spec.name](errand, arguments, step=step, spec=spec)
        else:
            raise Refused(f"tool {spec.name} is registered, but nothing here implements it")
        if not outcome.failed and (problem := violation(spec.output_schema, outcome.value)):
            return ToolOutcome(failed=f"{spec.name} returned what it must not: {problem}")
        return outcome

    async def _search_memory(
        self, errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        found = await asyncio.to_thread(
            self._search.search,
            errand.tenant,
            arguments["query"],
            arguments.get("limit", 5),
            category=arguments.get("category"),
        )
        names = Passage.__dataclass_fields__
        passages = tuple(Passage(**{n: getattr(hit, n) for n in names}) for hit in found)
        untrusted = any(passage.provenance != "trusted" for passage in passages)
        return ToolOutcome({"found": len(passages)}, untrusted=untrusted, passages=passages)

    async def _run_python(
        self, _errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        files = {name: text.encode() for name, text in arguments.get("files", {}).items()}
        ran = await self._run_code(arguments["code"], files)
        return ToolOutcome(
            {
                "exit_code": ran.exit_code,
                "stdout": _cut(ran.stdout),
                "stderr": _cut(ran.stderr),
                "violations": list(ran.violations),
            }
        )

    async def _run_script(self, spec: ToolSpec, arguments: Mapping[str, Any]) -> ToolOutcome:
        """Run a registered program: arguments in `arguments.json`, its result printed as JSON."""
        files = {"arguments.json": orjson.dumps(arguments)}
        ran = await self._run_code(spec.config["code"], files)
        if ran.exit_code != 0:
            return ToolOutcome(failed=f"{spec.name} ended with {ran.exit_code}: {_cut(ran.stderr)}")
        try:
            return ToolOutcome(orjson.loads(ran.stdout))
        except orjson.JSONDecodeError:
            return ToolOutcome(failed=f"{spec.name} printed no JSON: {_cut(ran.stdout)}")

    async def _calculate(
        self, _errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        value = arithmetic.evaluate(arguments["expression"])
        # JSON readers disagree on integers beyond 53 bits: those are told as text.
        exact = value if isinstance(value, float) or abs(value) < 2**53 else str(value)
        return ToolOutcome({"value": exact})

    async def _tell_time(
        self, _errand: Errand, _arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        return ToolOutcome({"utc": self._clock().isoformat(timespec="seconds")})

    async def _write_file(
        self, errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        directory = self._workspaces / errand.tenant / errand.task
        content = arguments["content"].encode()
        written = await asyncio.to_thread(workspace.write, directory, arguments["path"], content)
        return ToolOutcome(written._asdict())

    async def _notify(
        self, errand: Errand, arguments: Mapping[str, Any], *, step: str, spec: ToolSpec, **_: Any
    ) -> ToolOutcome:
        """Post one JSON document to the tenant's address; a redirect is not followed.

        A tenant without an address has a mailbox on this machine, so that a message that was
        approved goes somewhere a person can read it.
        """
        import httpx  # noqa: PLC0415 - slow, and only senders need it

        url = spec.config.get("url")
        if url is None:
            letter = {**arguments, "task": errand.task, "agent": errand.agent, "step": step}
            letter["at"] = self._clock().isoformat()
            await asyncio.to_thread(mailbox.deliver, self._mailbox, errand.tenant, letter)
            return ToolOutcome({"status": 200, "delivered_to": f"mailbox/{errand.tenant}.jsonl"})
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise Refused(
                f"the address of tool {spec.name} is no URL",
                f'`dryad tools configure {spec.name} \'{{"url": "https://…"}}\'` sets one.',
            )
        letter = {**arguments, "task": errand.task, "agent": errand.agent}
        try:
            async with httpx.AsyncClient(
                timeout=_NOTIFY_SECONDS, follow_redirects=False, trust_env=False
            ) as client:
                answer = await client.post(url, json=letter, headers={"Idempotency-Key": step})
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol):
            return ToolOutcome(failed="the receiver cannot be reached; nothing was sent")
        except httpx.InvalidURL as error:
            raise Refused(f"the address of tool {spec.name} is no URL") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"the receiver did not confirm: {type(error).__name__}") from error
        if answer.status_code >= 500:
            raise Unavailable(f"the receiver failed with HTTP {answer.status_code}")
        if not answer.is_success:
            return ToolOutcome(failed=f"the receiver refused with HTTP {answer.status_code}")
        return ToolOutcome({"status": answer.status_code, "delivered_to": httpx.URL(url).host})


class GrantedTools:
    """The `ToolCaller` of one agent on one task: asks the registry, then the toolbox."""

    def __init__(
        self,
        tools: Tools,
        toolbox: Toolbox,
        errand: Errand,
        *,
        policy: Callable[[], ApprovalPolicy | None],
        role: str = "",
    ) -> None:
        self._tools = tools
        self._toolbox = toolbox
        self.errand = errand
        self._policy = policy
        self._role = role

    def offered(self) -> Sequence[ToolSpec]:
        """See `ToolCaller.offered`."""
        return self._tools.offered(self.errand.tenant, self.errand.agent, role=self._role)

    def permit(self, tool: str, arguments: Mapping[str, Any], *, untrusted: bool) -> Permit:
        """See `ToolCaller.permit`; the policy is read anew for every call."""
        return self._tools.permit(
            self.errand.tenant,
            self.errand.agent,
            tool,
            arguments,
            policy=self._policy(),
            role=self._role,
            untrusted=untrusted,
        )

    async def call(self, step: str, permit: Permit) -> ToolOutcome:
        """See `ToolCaller.call`."""
        return await self._toolbox.run(step, permit, self.errand)


def _cut(text: str) -> str:
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]}\n… cut: {len(text) - _SHOWN} characters more"
