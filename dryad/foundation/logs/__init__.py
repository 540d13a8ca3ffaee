"""Structured logs: one JSON line per event, in three files that many processes share.

`gremlins_app.log` holds every event, `gremlins_access.log` those of the component `access`, and
`gremlins_errors.log` repeats the errors of both. Keys come in a fixed order: timestamp, level,
code, component, event, the ids that are bound, host, the event's own values, and `duration_ms`
last.
"""

from dryad.foundation.logs.files import FILES, rotate
from dryad.foundation.logs.reader import Counts, Filter, Page, count_by, read
from dryad.foundation.logs.writer import Log, bound, configure, get_logger

__all__ = [
    "FILES",
    "Counts",
    "Filter",
    "Log",
    "Page",
    "bound",
    "configure",
    "count_by",
    "get_logger",
    "read",
    "rotate",
]
