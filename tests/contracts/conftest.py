"""The ledger and clock of memory's own tests, for the contracts its stores keep."""

from tests.dryad.memory.conftest import clock, ledger

__all__ = ["clock", "ledger"]
