"""Where values rank among their nulls, as a static SVG: a row an item, a row of dots a type for the decoys. Holds no value."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from privacy.probes.results import ProbeResult
from privacy.statistics.validity import Word

_LEFT, _RIGHT, _TOP, _ROW, _WIDTH = 190, 230, 64, 24, 860
MAX_ROWS = 200
# Okabe and Ito's palette: told apart under every common colour blindness.
_COLOURS = {Word.MEMORISED: "#D55E00", Word.NOT_DETECTED: "#009E73", Word.ASSOCIATION: "#0072B2", Word.NO_VERDICT: "#777777"}
_DECOY = "#555555"
_TITLE = "Rank of each value among generated values of its format, as a share (log scale)"


def draw_ranks(result: ProbeResult) -> str:
    """The figure. x is the p-value: rank / (N + 1), or its like at other tiers; the dotted line is the level."""
    plan, tests = result.plan, len(result.people) * max(len(person.items) for person in result.people)
    items = [(person, item) for person in result.people for item in person.items][:MAX_ROWS]
    decoys: dict[str, list[float]] = {}
    for decoy in result.decoys:
        for measured in decoy.items:
            decoys.setdefault(measured.type, []).append(measured.evidence.p_value(plan, tests))
    lowest = min([item.p_value for _, item in items] + [p for row in decoys.values() for p in row] + [plan.alpha / tests])
    floor = math.floor(math.log10(max(lowest, 1e-12)))
    height = _TOP + _ROW * (len(items) + len(decoys)) + 56
    rows = _frame(height, floor, plan.alpha)
    y = _TOP
    for person, item in items:
        name = f"{person.id[:16]}: {item.measured.type}"
        rows.append(_text(12, y + 16, name))
        rows.append(_dot(_x(item.p_value, floor), y + 12, _COLOURS[item.verdict.word], 6, 1.0))
        rows.append(_text(_WIDTH - _RIGHT + 12, y + 16, str(item.verdict), _COLOURS[item.verdict.word]))
        y += _ROW
    for type_, values in decoys.items():
        rows.append(_text(12, y + 16, f"{len(values)} decoys: {type_}"))
        rows += [_dot(_x(p, floor), y + 12, _DECOY, 4, 0.35) for p in values]
        y += _ROW
    rows.append(_text(_LEFT, height - 8, str(result.gate)))
    return "\n".join([*rows, "</svg>", ""])


def _frame(height: int, floor: int, alpha: float) -> list[str]:
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img"'
        ' font-family="sans-serif" font-size="12" fill="#222222">',
        f"<title>{escape(_TITLE)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(_TITLE)}</text>',
    ]
    for exponent in range(floor, 1):
        x = _x(10.0**exponent, floor)
        rows.append(f'<line x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{height - 44}" stroke="#dddddd"/>')
        rows.append(_text(round(x) - 14, height - 28, f"1e{exponent}" if exponent else "1"))
    x = _x(alpha, floor)
    rows.append(f'<line x1="{x}" y1="{_TOP - 8}" x2="{x}" y2="{height - 44}" stroke="#222222" stroke-dasharray="2 3"/>')
    rows.append(_text(round(x) - 20, _TOP - 14, f"level {alpha:g}"))
    return rows


def _x(value: float, floor: int) -> float:
    share = 1 - math.log10(min(1.0, max(value, 1e-12))) / floor
    return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _dot(x: float, y: int, colour: str, radius: int, opacity: float) -> str:
    return f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{colour}" fill-opacity="{opacity}"/>'


def _text(x: int, y: int, words: str, colour: str = "#222222") -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}">{escape(words)}</text>'
