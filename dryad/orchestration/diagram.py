"""Draw a reliability diagram: what was said to be likely against what was so, as SVG."""

from collections.abc import Sequence
from html import escape

_SIDE = 400
_MARGIN = 50
_FRAME = 'fill="none" stroke="#999"'
_COLOURS = ("#0b6e4f", "#3c91e6", "#c8553d", "#7a5195", "#bc8f00", "#555555")


def reliability_diagram(lines: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> str:
    """Return a picture of one line a scorer: a true scorer lies on the diagonal.

    Args:
        lines: Name, and (mean score, share of positives) of each bin, both in [0, 1].
    """
    drawn = [
        f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{_SIDE}" height="{_SIDE}" {_FRAME}/>',
        f'<line {_ends((0, 0), (1, 1))} stroke="#999" stroke-dasharray="4"/>',
    ]
    for place, (name, points) in enumerate(lines):
        colour = _COLOURS[place % len(_COLOURS)]
        where = [_at(*point) for point in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in where]
        drawn.append(
            f'<text x="{_MARGIN}" y="{_MARGIN * 2 + _SIDE + 16 * place}" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    for tenth in range(0, 11, 2):
        x, y = _at(tenth / 10, tenth / 10)
        drawn.append(f'<text x="{x - 8:.0f}" y="{_MARGIN + _SIDE + 16}">{tenth / 10:.1f}</text>')
        drawn.append(f'<text x="{_MARGIN - 28}" y="{y + 4:.0f}">{tenth / 10:.1f}</text>')
    height = 2 * _MARGIN + _SIDE + 16 * len(lines)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _MARGIN + _SIDE} {height}" '
        'font-family="sans-serif" font-size="12">'
        "<title>Share that takes several steps (up) by score (across)</title>"
        + "".join(drawn)
        + "</svg>\n"
    )


def _at(score: float, share: float) -> tuple[float, float]:
    return _MARGIN + score * _SIDE, _MARGIN + (1 - share) * _SIDE


def _ends(first: tuple[float, float], last: tuple[float, float]) -> str:
    (x1, y1), (x2, y2) = _at(*first), _at(*last)
    return f'x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"'
