"""Every error: its code, its statuses, and what to do."""

from collections.abc import Iterator

from docs.generator.markdown import page, summary, table
from dryad.foundation.errors import DryadError

INTRODUCTION = """\
Everything DRYAD raises on purpose, grouped by what the caller should do. The command line prints
one line and the next step, and ends with the exit status; the API answers
`application/problem+json` with the code and the HTTP status. A retry heals only `unavailable`."""


def errors() -> str:
    """Return the page of all errors."""
    rows = [
        (
            "&emsp;" * depth + f"`{error.__name__}`",
            f"`{error.code}`",
            str(error.exit_status),
            str(error.http_status),
            summary(error),
            error.default_next_step,
        )
        for error, depth in family(DryadError)
    ]
    head = ("Error", "Code", "Exit", "HTTP", "Meaning", "Next step")
    return page("Errors", INTRODUCTION, table(head, rows))


def family(error: type[DryadError], depth: int = 0) -> Iterator[tuple[type[DryadError], int]]:
    """Yield `error` and everything below it in the library's own file, with its depth."""
    yield error, depth
    for child in error.__subclasses__():
        if child.__module__ == DryadError.__module__:
            yield from family(child, depth + 1)
