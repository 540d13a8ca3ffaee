"""Errors cross process borders whole, and each says what to do."""

import pickle
import re
from collections.abc import Iterator

import pytest

from dryad.foundation import errors
from dryad.foundation.errors import DryadError


def family(root: type[DryadError]) -> Iterator[type[DryadError]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


CLASSES = list(dict.fromkeys(family(DryadError)))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("arguments", [("what is wrong",), ("what is wrong", "do this")])
def test_an_error_comes_out_of_a_pickle_as_it_went_in(
    kind: type[DryadError], arguments: tuple[str, ...]
):
    error = kind(*arguments)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (back.args, str(back), back.next_step) == (error.args, "what is wrong", error.next_step)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_says_what_to_do_next_and_how_it_ends_a_command(kind: type[DryadError]):
    assert kind("x").next_step == kind.default_next_step
    assert kind.default_next_step
    assert kind("x", "try that").next_step == "try that"
    assert kind.exit_status in {1, 2}
    assert 400 <= kind.http_status < 600
    assert re.fullmatch(r"[a-z_]+", kind.code)
    assert kind.__doc__


def test_every_code_means_one_error():
    codes = [kind.code for kind in CLASSES if kind.__module__ == errors.__name__]
    assert len(codes) == len(set(codes)) == 10
