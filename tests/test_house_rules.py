"""The house's rules that no linter knows: each finds what it is for, and the house keeps them.

What a rule lets pass stands in `[[tool.dryad.ratchet]]` of `pyproject.toml` with its reason. The
list only shrinks: an entry that is no longer needed, or allows more than is there, fails too.
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("dryad", "flows", "tasks", "blocks", "deployments")
EVERYTHING = (*PRODUCT, "tests", "benchmarks", "docs")

SLACK = 25
"""An exception may allow a little more than there is, so that not every edit touches the list."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One Python file, parsed."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule; `amount` where the rule is a limit."""

    where: str
    what: str
    amount: int = 1


Rule = Callable[[Source], Iterator[Finding]]


def file_lines(source: Source) -> Iterator[Finding]:
    """A file has at most 400 lines. Migrations are history and stay as they are."""
    lines = len(source.text.splitlines())
    if lines > 400 and "migrations/versions" not in source.path:
        yield Finding(source.path, f"{lines} lines", lines)


def function_lines(source: Source) -> Iterator[Finding]:
    """A function has at most 50 lines; its docstring is free, and so are migrations."""
    for function in source.functions if "migrations/versions" not in source.path else ():
        first, last = function.body[0], function.end_lineno or function.lineno
        lines = last - function.lineno + 1
        if ast.get_docstring(function) is not None:
            lines -= (first.end_lineno or first.lineno) - first.lineno + 1
        if lines > 50:
            yield Finding(f"{source.path}:{function.name}", f"{lines} lines", lines)


def vague_name(source: Source) -> Iterator[Finding]:
    """Every file and folder says what it holds."""
    for part in Path(source.path).with_suffix("").parts:
        if part in {"utils", "util", "helpers", "common", "misc", "manager", "managers"}:
            yield Finding(source.path, f"{part!r} names nothing")


def environment(source: Source) -> Iterator[Finding]:
    """Only the settings read the environment."""
    for node in ast.walk(source.tree):
        read = (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
            and node.attr in {"environ", "environb", "getenv"}
        ) or (
            isinstance(node, ast.ImportFrom)
            and node.module == "os"
            and any(alias.name in {"environ", "environb", "getenv"} for alias in node.names)
        )
        if read:
            yield Finding(source.path, f"reads the environment in line {node.lineno}")


def swallowed_error(source: Source) -> Iterator[Finding]:
    """Nothing survives a `BaseException` (a suspension is one); no broad error is dropped."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler):
            caught = "BaseException" if node.type is None else ast.unparse(node.type)
            last = ast.unparse(node.body[-1])
            survives = last != "raise" and not last.startswith("os._exit(")
            inert = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
            if ("BaseException" in caught and survives) or (
                inert and re.search(r"\bException\b", caught)
            ):
                yield Finding(source.path, f"drops {caught} in line {node.lineno}")
        elif isinstance(node, ast.With | ast.AsyncWith):
            managers = ", ".join(ast.unparse(item.context_expr) for item in node.items)
            if re.search(r"\bsuppress\(.*\b(Base)?Exception\b", managers):
                yield Finding(source.path, f"suppresses everything in line {node.lineno}")


def file_entrypoint(source: Source) -> Iterator[Finding]:
    """Entrypoints are module paths: a file path imports its module twice."""
    for node in ast.walk(source.tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and re.fullmatch(r"[\w./-]+\.py:\w+", text):
            yield Finding(source.path, f"{text!r} is a file")


def twin(source: Source) -> Iterator[Finding]:
    """Nothing exists once synchronous and once asynchronous."""
    for scope in ast.walk(source.tree):
        if not isinstance(scope, ast.Module | ast.ClassDef):
            continue
        names = {node.name for node in scope.body if isinstance(node, Function)}
        for name in sorted(names):
            for other in (f"a{name}", f"{name}_async", f"async_{name}", f"{name}_sync"):
                if other in names:
                    yield Finding(f"{source.path}:{name}", f"also exists as {other}")


def synchronous_flow(source: Source) -> Iterator[Finding]:
    """A flow is async: a synchronous one costs a second."""
    for function in source.functions:
        decorators = {ast.unparse(line).split("(")[0] for line in function.decorator_list}
        if isinstance(function, ast.FunctionDef) and decorators & {"flow", "prefect.flow"}:
            yield Finding(f"{source.path}:{function.name}", "is synchronous")


def silent_skip(source: Source) -> Iterator[Finding]:
    """Tests are skipped by `tests.services.need` or for a platform, so that CI can refuse it."""
    if source.path == "tests/services.py":
        return
    for node in ast.walk(source.tree):
        call = ast.unparse(node) if isinstance(node, ast.Call | ast.Attribute) else ""
        if re.match(r"pytest\.(mark\.)?(skip|skipif|importorskip)\((?!sys\.platform)", call):
            yield Finding(source.path, f"calls {call}")


RULES: dict[str, tuple[Rule, tuple[str, ...]]] = {
    "file-lines": (file_lines, EVERYTHING),
    "function-lines": (function_lines, EVERYTHING),
    "vague-name": (vague_name, EVERYTHING),
    "environment": (environment, PRODUCT),
    "swallowed-error": (swallowed_error, EVERYTHING),
    "file-entrypoint": (file_entrypoint, PRODUCT),
    "twin": (twin, PRODUCT),
    "synchronous-flow": (synchronous_flow, PRODUCT),
    "silent-skip": (silent_skip, ("tests",)),
}


def sources(folders: tuple[str, ...]) -> Iterator[Source]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield Source(path.relative_to(ROOT).as_posix(), path.read_text())


def ratchet() -> list[dict[str, Any]]:
    """Return the exceptions, each with its rule, place and reason."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dryad"]["ratchet"]


def allowed(rule: str) -> dict[str, int]:
    """Return what the ratchet lets pass of `rule`: place → amount."""
    return {e["where"]: e.get("allowed", 1) for e in ratchet() if e["rule"] == rule}


@pytest.mark.parametrize("name", RULES)
def test_the_house_keeps_its_rules_and_its_list_of_exceptions_shrinks(name: str):
    rule, folders = RULES[name]
    exceptions, found = allowed(name), dict[str, Finding]()
    for source in sources(folders):
        found.update((finding.where, finding) for finding in rule(source))
    broken = [
        f"{f.where}: {f.what}" for f in found.values() if f.amount > exceptions.get(f.where, 0)
    ]
    assert not broken, f"{rule.__doc__}\n" + "\n".join(broken)
    stale = [
        where
        for where, amount in exceptions.items()
        if where not in found or found[where].amount < amount - SLACK
    ]
    assert not stale, f"the ratchet allows more than is needed: {stale}"


LONG = "def f():\n    '''Say.\n\n    More.\n    '''\n" + "    x = 1\n" * 49
LINUX = "@pytest.mark.skipif(sys.platform != 'linux', reason='')\n"
EXAMPLES = [
    ("file-lines", "a.py", "x = 1\n" * 401, "x = 1\n" * 400),
    ("function-lines", "a.py", LONG + "    x = 1\n", LONG),
    ("vague-name", "dryad/utils/a.py", "", None),
    ("vague-name", "dryad/manager.py", "", None),
    ("environment", "a.py", "import os\nos.environ['X']", "import os\nos.getpid()"),
    ("environment", "a.py", "import os\nos.getenv('X')", "os = 1"),
    ("environment", "a.py", "from os import environ", "from os import getpid"),
    ("swallowed-error", "a.py", "try: f()\nexcept: g()", "try: f()\nexcept OSError: pass"),
    (
        "swallowed-error",
        "a.py",
        "try: f()\nexcept BaseException: g()",
        "try: f()\nexcept BaseException:\n  g()\n  raise",
    ),
    (
        "swallowed-error",
        "a.py",
        "try: f()\nexcept Exception: pass",
        "try: f()\nexcept Exception as e: g(e)",
    ),
    ("swallowed-error", "a.py", "with suppress(Exception): f()", "with suppress(OSError): f()"),
    ("file-entrypoint", "a.py", "deploy('flows/a.py:run')", "deploy('flows.a.run')"),
    ("twin", "a.py", "def read(): ...\nasync def aread(): ...", "def read(): ...\ndef add(): ..."),
    ("twin", "a.py", "class A:\n  def put(self): ...\n  def put_async(self): ...", None),
    ("synchronous-flow", "a.py", "@flow(name='x')\ndef f(): ...", "@flow\nasync def f(): ..."),
    ("silent-skip", "a.py", "import pytest\npytest.importorskip('x')", "services.need('docker')"),
    ("silent-skip", "a.py", "@pytest.mark.skipif(True)\ndef f(): ...", f"{LINUX}def f(): ..."),
]


@pytest.mark.parametrize(("name", "path", "bad", "good"), EXAMPLES)
def test_each_rule_finds_what_it_is_for(name: str, path: str, bad: str, good: str | None):
    rule, _ = RULES[name]
    assert list(rule(Source(path, bad)))
    assert good is None or not list(rule(Source(path, good)))


def test_every_exception_names_a_rule_and_a_reason():
    assert {entry["rule"] for entry in ratchet()} <= {*RULES, "adapter"}
    assert all(len(entry["why"]) > 20 for entry in ratchet())


def test_every_rule_has_an_example():
    assert {name for name, *_ in EXAMPLES} == RULES.keys()


def test_deployments_name_modules_and_not_files():
    entrypoints = re.findall(r"entrypoint: *(\S+)", (ROOT / "prefect.yaml").read_text())
    assert [name for name in entrypoints if not re.fullmatch(r"flows(\.\w+){2,}", name)] == []


def test_what_is_patched_stays_a_rarity():
    patched = tested = 0
    for source in sources(("tests",)):
        if source.path != Path(__file__).relative_to(ROOT).as_posix():
            patched += len(re.findall(r"monkeypatch\.setattr|mock\.patch|MagicMock", source.text))
        tested += sum(function.name.startswith("test_") for function in source.functions)
    assert patched <= 3 * tested / 100, f"{patched} patches in {tested} tests; at most 3 per 100"
