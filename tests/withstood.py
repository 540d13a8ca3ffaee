"""How many attacks on which guarantee each rung of the sandbox withstood: a table at the end.

Where tests run side by side, what one process saw reaches the one that prints with its reports.
"""

from collections import Counter

import pytest

_PROPERTY = "withstood"
_held: Counter[tuple[str, str]] = Counter()


def record(node: pytest.Item, guarantee: str, place: str) -> None:
    """Note on a test that it attacks `guarantee` at `place`; it counts if the test passes."""
    node.user_properties.append((_PROPERTY, f"{guarantee}/{place}"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count what a test noted, whichever process it ran in."""
    if report.when == "call" and report.passed:
        for name, value in report.user_properties:
            if name == _PROPERTY:
                guarantee, _, place = str(value).partition("/")
                _held[guarantee, place] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if not _held:
        return
    places = sorted({place for _, place in _held})
    terminalreporter.section("attacks withstood")
    terminalreporter.line(f"{'guarantee':16}" + "".join(f"{place:>14}" for place in places))
    for guarantee in sorted({guarantee for guarantee, _ in _held}):
        counts = "".join(f"{_held[guarantee, place]:>14}" for place in places)
        terminalreporter.line(f"{guarantee:16}{counts}")
    sums = (sum(n for (_, at), n in _held.items() if at == place) for place in places)
    terminalreporter.line(f"{'all':16}" + "".join(f"{total:>14}" for total in sums))
