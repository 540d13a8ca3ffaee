"""What the built-in tools and script tools really do, and whom the others are handed to."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import orjson

from dryad.execution import arithmetic, http_tools, messages, tables, workspace
from dryad.execution.mcp import McpServers
from dryad.execution.memories import RecentMemory
from dryad.execution.memory_tools import MemoryTools
from dryad.execution.outside import NotSent, Outside
from dryad.execution.plain_text import readable
from dryad.execution.tool_calls import ToolOutcome
from dryad.execution.volumes import Volumes
from dryad.execution.workbench import Find, Ran, RunCode, Shelve
from dryad.foundation.canonical import canonical_json, digest
from dryad.foundation.clock import Clock, utc_now
from dryad.foundation.errors import DryadError, Refused, Unavailable
from dryad.foundation.ids import TenantId
from dryad.foundation.schemas import violation
from dryad.foundation.tool_history import Errand
from dryad.foundation.tool_rules import is_stateful
from dryad.foundation.tools import ApprovalPolicy, Permit, Tools, ToolSpec

__all__ = ["Errand", "GrantedTools", "Toolbox"]

_SHOWN = 20_000
"""Characters of a program's output, and bytes of any result, that a model is shown."""

_BEGINNING = 2_000
_STATE = "state/"
"""Where a stateful tool finds and leaves what it keeps."""

_MOST_RESULT_BYTES = 20_000_000


class Toolbox:
    """The implementations of the tools a tenant can register."""

    def __init__(
        self,
        *,
        find: Find,
        shelve: Shelve,
        run_code: RunCode,
        workspaces: Path,
        mailbox: Path,
        outside: Outside | None = None,
        mcp: McpServers | None = None,
        volumes: Volumes | None = None,
        recent: RecentMemory | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """Hand over what the tools work with.

        Args:
            find: Finds documents.
            shelve: Keeps them.
            run_code: Runs programs in the sandbox.
            workspaces: Holds a directory of files for each task, by tenant.
            mailbox: Takes the messages of tenants that have no address to send to.
            outside: The way to other servers; default one that spares no port.
            mcp: The MCP servers there are; default none.
            recent: Where agents remember values; without it those tools are refused.
            volumes: Where stateful tools keep something; without it they are refused.
            clock: Tells the time.
        """
        self._run_code = run_code
        self._workspaces = workspaces
        self._mailbox = mailbox
        self._outside = outside or Outside()
        self._mcp = mcp or McpServers()
        self._volumes = volumes
        self._clock = clock
        self._builtin: Mapping[str, Callable[..., Awaitable[ToolOutcome]]] = {
            **MemoryTools(find, shelve, recent).tools,
            "run_python": self._run_python,
            "query_table": self._query_table,
            "calculate": self._calculate,
            "clock": self._tell_time,
            "write_file": self._write_file,
            "read_file": self._read_file,
            "list_files": self._list_files,
            "fetch": self._fetch,
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
            outcome = await self._run_script(errand, spec, arguments)
        elif spec.kind == "http":
            outcome = await http_tools.call(self._outside, spec, arguments, step)
        elif spec.kind == "mcp":
            outcome = await self._mcp.call(errand.tenant, spec, arguments)
        elif spec.name in self._builtin:
            outcome = await self._builtin[spec.name](errand, arguments, step=step, spec=spec)
        else:
            raise Refused(f"tool {spec.name} is registered, but nothing here implements it")
        if not outcome.failed and (problem := violation(spec.output_schema, outcome.value)):
            return ToolOutcome(
                failed=f"{spec.name} returned what it must not: {problem}",
                untrusted=outcome.untrusted,
            )
        return await self._shortened(step, outcome, errand)

    async def discover(self, tenant: TenantId, server: str) -> list[ToolSpec]:
        """Ask an MCP server what it has; see `McpServers.discover`."""
        return await self._mcp.discover(tenant, server)

    async def _shortened(self, step: str, outcome: ToolOutcome, errand: Errand) -> ToolOutcome:
        """Put a large value into a file of the task, and return where it is and how it begins."""
        if outcome.failed or outcome.passages:
            return outcome
        try:
            content = canonical_json(outcome.value)
        except TypeError:  # the agent loop says what is wrong with it
            return outcome
        if len(content) <= _SHOWN * 2:
            return outcome
        name = f"results/{digest(step)[:16]}.json"
        try:
            written = await asyncio.to_thread(
                workspace.write, self._room(errand), name, content, most=_MOST_RESULT_BYTES
            )
        except DryadError as error:
            beginning = content[:_BEGINNING].decode("utf-8", "ignore")
            note = f"the rest is lost: {error.message}"
            return ToolOutcome({"beginning": beginning, "note": note}, untrusted=outcome.untrusted)
        return ToolOutcome(
            {
                "file": written._asdict(),
                "beginning": content[:_BEGINNING].decode("utf-8", "ignore"),
                "note": "The result is too long to show; it is in the file, as JSON.",
            },
            untrusted=outcome.untrusted,
        )

    def _room(self, errand: Errand) -> Path:
        """Return the directory of the task's own files."""
        return self._workspaces / errand.tenant / errand.task

    async def _read(self, errand: Errand, path: str) -> bytes:
        return await asyncio.to_thread(workspace.read, self._room(errand), path)

    # -- programs and tables

    async def _run_python(
        self, errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        files = {name: text.encode() for name, text in arguments.get("files", {}).items()}
        for path in arguments.get("paths", ()):
            files[path] = await self._read(errand, path)
        ran = await self._run_code(arguments["code"], files)
        kept, notes = await self._keep(errand, ran.files)
        return ToolOutcome(
            {
                "exit_code": ran.exit_code,
                "stdout": _cut(ran.stdout),
                "stderr": _cut("\n".join([ran.stderr, *notes]) if notes else ran.stderr),
                "files": kept,
                "violations": list(ran.violations),
            },
            untrusted="paths" in arguments,  # files may hold, and be called, what others wrote
        )

    async def _keep(
        self, errand: Errand, files: Mapping[str, bytes]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Put what a program made among the task's files; return them, and why others are not."""
        kept: list[dict[str, Any]] = []
        notes: list[str] = []
        for name, content in sorted(files.items()):
            try:
                written = await asyncio.to_thread(
                    workspace.write, self._room(errand), name, content, most=_MOST_RESULT_BYTES
                )
            except DryadError as error:
                notes.append(f"{name[:80]!r} was not kept: {error.message}")
            else:
                kept.append(written._asdict())
        return kept, notes

    async def _run_script(
        self, errand: Errand, spec: ToolSpec, arguments: Mapping[str, Any]
    ) -> ToolOutcome:
        """Run a registered program: arguments in `arguments.json`, its result printed as JSON.

        A stateful one finds in `state/` what its session's last call that went well left there.
        """
        files = {"arguments.json": orjson.dumps(arguments)}
        if not is_stateful(spec):
            return _printed(spec, await self._run_code(spec.config["code"], files))
        if self._volumes is None:
            raise Refused(f"tool {spec.name} keeps something, and there is no place for it here")
        async with self._volumes.use(errand, spec.name) as kept:
            placed = {f"{_STATE}{name}": content for name, content in kept.files.items()}
            ran = await self._run_code(spec.config["code"], {**files, **placed})
            outcome = _printed(spec, ran)
            if "files" in ran.violations:
                outcome = ToolOutcome(failed=f"{spec.name} left more than can be kept")
            if not outcome.failed:
                left = {n: c for n, c in ran.files.items() if n.startswith(_STATE)}
                kept.change(
                    {name.removeprefix(_STATE): content for name, content in left.items()},
                    [name.removeprefix(_STATE) for name in ran.removed if name.startswith(_STATE)],
                )
        return outcome

    async def _query_table(
        self, errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        paths: Mapping[str, str] = arguments["tables"]
        contents = {table: await self._read(errand, path) for table, path in paths.items()}
        endings = {table: PurePosixPath(path).suffix for table, path in paths.items()}
        return await tables.query(self._run_code, arguments["sql"], contents, endings)

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

    # -- files of the task

    async def _write_file(
        self, errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        content = arguments["content"].encode()
        written = await asyncio.to_thread(
            workspace.write, self._room(errand), arguments["path"], content
        )
        return ToolOutcome(written._asdict())

    async def _read_file(
        self, errand: Errand, arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        """Return part of a file; it may hold what somebody outside wrote."""
        content = await self._read(errand, arguments["path"])
        start, limit = arguments.get("start", 0), arguments.get("limit", _SHOWN)
        text = content.decode("utf-8", "replace")
        value = {"text": text[start : start + limit], "characters": len(text)}
        return ToolOutcome(value, untrusted=True)

    async def _list_files(
        self, errand: Errand, _arguments: Mapping[str, Any], **_: Any
    ) -> ToolOutcome:
        """Return the files' names, which may be what somebody outside called them."""
        found = await asyncio.to_thread(workspace.listing, self._room(errand))
        return ToolOutcome({"files": [entry._asdict() for entry in found]}, untrusted=bool(found))

    # -- other servers

    async def _fetch(
        self, errand: Errand, arguments: Mapping[str, Any], *, spec: ToolSpec, **_: Any
    ) -> ToolOutcome:
        """Read one address, as text or into a file of the task; the hosts are configured."""
        reach = http_tools.reach_of(spec.config)
        try:
            reply = await self._outside.ask(reach, "GET", arguments["url"])
        except (NotSent, Unavailable) as reason:  # reading changes nothing, so this is certain
            return ToolOutcome(failed=reason.message)
        if reply.status != 200 or reply.cut:
            why = "is longer than the tool may read" if reply.cut else f"HTTP {reply.status}"
            return ToolOutcome(failed=f"{reply.url}: {why}")
        value: dict[str, Any] = {"url": reply.url, "kind": reply.kind}
        if "save_as" in arguments:
            written = await asyncio.to_thread(
                workspace.write,
                self._room(errand), arguments["save_as"], reply.content, most=_MOST_RESULT_BYTES,
            )  # fmt: skip
            value["file"] = written._asdict()
        else:
            value["text"] = readable(reply.content, reply.kind)
        return ToolOutcome(value, untrusted=True)

    async def _notify(
        self, errand: Errand, arguments: Mapping[str, Any], *, step: str, spec: ToolSpec, **_: Any
    ) -> ToolOutcome:
        return await messages.send(
            arguments, errand, step=step, spec=spec, mailbox=self._mailbox, clock=self._clock
        )


class GrantedTools:
    """The `ToolCaller` of one agent on one task: asks the registry, then the toolbox."""

    def __init__(
        self,
        tools: Tools,
        toolbox: Toolbox,
        errand: Errand,
        *,
        policy: Callable[[], ApprovalPolicy | None],
        heard_by: Callable[[], Collection[str]],
        role: str = "",
    ) -> None:
        """Give an agent its tools.

        Args:
            tools: The registry.
            toolbox: What makes the calls.
            errand: Who works for whom on what.
            policy: Reads the tenant's policy.
            heard_by: Tells the model providers that what is returned may get to.
            role: The agent's role; grants to it count.
        """
        self._tools = tools
        self._toolbox = toolbox
        self.errand = errand
        self._policy = policy
        self._heard_by = heard_by
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
            heard_by=self._heard_by,
        )

    async def call(self, step: str, permit: Permit) -> ToolOutcome:
        """See `ToolCaller.call`."""
        return await self._toolbox.run(step, permit, self.errand)


def _printed(spec: ToolSpec, ran: Ran) -> ToolOutcome:
    if ran.exit_code != 0:
        return ToolOutcome(failed=f"{spec.name} ended with {ran.exit_code}: {_cut(ran.stderr)}")
    try:
        return ToolOutcome(orjson.loads(ran.stdout))
    except orjson.JSONDecodeError:
        return ToolOutcome(failed=f"{spec.name} printed no JSON: {_cut(ran.stdout)}")


def _cut(text: str) -> str:
    if len(text) <= _SHOWN:
        return text
    return f"{text[:_SHOWN]}\n… cut: {len(text) - _SHOWN} characters more"
