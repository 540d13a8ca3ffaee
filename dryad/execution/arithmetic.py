"""Arithmetic on numbers somebody typed: parsed, never evaluated as code."""

import ast
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dryad.foundation.errors import InvalidRequest

Number = int | float

_LONGEST = 500
_LARGEST = 1e300
_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}
_FUNCTIONS: Mapping[str, Callable[[Sequence[Number]], Number]] = {
    "abs": lambda numbers: abs(_only(numbers)),
    "round": lambda numbers: round(_only(numbers)),
    "sqrt": lambda numbers: math.sqrt(_only(numbers)),
    "min": min,
    "max": max,
    "sum": sum,
    "mean": statistics.fmean,
    "median": statistics.median,
}


def evaluate(expression: str) -> Number:
    """Return the value of an arithmetic expression.

    Raises:
        InvalidRequest: it is longer than 500 characters, no arithmetic, has no value, or a value
            beyond 1e300.
    """
    if len(expression) > _LONGEST:
        raise InvalidRequest(f"an expression has at most {_LONGEST} characters")
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
    except InvalidRequest:
        raise
    except ZeroDivisionError as error:
        raise InvalidRequest(f"{expression!r} divides by zero") from error
    except (ArithmeticError, RecursionError, SyntaxError, TypeError, ValueError) as error:
        raise InvalidRequest(f"{expression[:80]!r} has no value: {error}") from error
    return value


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _bounded(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _bounded(_OPERATORS[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name]([_value(argument) for argument in arguments]))
        case _:
            raise InvalidRequest(
                f"only numbers, + - * / // % ** and {', '.join(_FUNCTIONS)} are arithmetic here"
            )


def _only(numbers: Sequence[Number]) -> Number:
    (number,) = numbers
    return number


def _power(base: Number, exponent: Number) -> Number:
    if base and math.log10(abs(base)) * exponent > 300:
        raise InvalidRequest("the value is beyond 1e300")
    if base < 0 and exponent != int(exponent):
        raise InvalidRequest("a root of a negative number is not real")
    return _bounded(base**exponent)


def _bounded(value: Number) -> Number:
    if isinstance(value, complex) or not abs(value) <= _LARGEST:
        raise InvalidRequest("the value is beyond 1e300")
    return value
