"""Line charts as data (the form that a signed report's `figure` takes) and as static SVG: no script, no fonts from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from conformal.errors import LedgerError

# Okabe and Ito's palette: told apart under every common colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
MAX_POINTS, MAX_LINES, MAX_WORDS = 400, 32, 80
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM, _HEAD = 400, 300, 56, 14, 34, 40, 34
_INK, _GRID = "#222222", "#dddddd"
Point = tuple[float, ...]


@dataclass(frozen=True)
class Line:
    """Points (x, y), or (x, y, low, high) with an interval; `dots` draws them unconnected."""

    label: str
    points: tuple[Point, ...]
    dots: bool = False


@dataclass(frozen=True)
class Panel:
    """One chart; `marks` are dotted horizontal lines. What lies outside the ranges is drawn at their edge."""

    title: str
    x: str
    y: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    lines: tuple[Line, ...]
    marks: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Raises LedgerError for what cannot be drawn: no or too many lines, an empty range, a number that is none."""
        flat = [value for line in self.lines for point in line.points for value in point]
        ranges = [*self.x_range, *self.y_range]
        if not 0 < len(self.lines) <= MAX_LINES or not all(line.points for line in self.lines):
            raise LedgerError(f"a chart needs 1 to {MAX_LINES} lines, each with a point")
        if not all(map(math.isfinite, [*flat, *ranges, *self.marks])) or any(len(p) not in (2, 4) for p in self._points()):
            raise LedgerError("a chart's points must be 2 or 4 finite numbers")
        if self.x_range[0] >= self.x_range[1] or self.y_range[0] >= self.y_range[1]:
            raise LedgerError("a chart's ranges must rise")

    def _points(self) -> list[Point]:
        return [point for line in self.lines for point in line.points]

    def to_json(self) -> dict[str, Any]:
        """Long lines are thinned to MAX_POINTS points, the first and the last among them."""
        return {
            "title": _words(self.title),
            "x": _words(self.x),
            "y": _words(self.y),
            "x_range": list(self.x_range),
            "y_range": list(self.y_range),
            "marks": list(self.marks),
            "lines": [{"label": _words(line.label), "points": [list(p) for p in thin(line.points)]} for line in self.lines],
        }


def thin(points: Sequence[Point]) -> list[Point]:
    """At most MAX_POINTS of the points, evenly spread, the first and the last among them."""
    if len(points) <= MAX_POINTS:
        return list(points)
    return [points[round(i * (len(points) - 1) / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]


def draw(panels: Sequence[Panel], title: str) -> str:
    """All panels side by side as one SVG document, a legend under each. Raises LedgerError for none."""
    if not panels:
        raise LedgerError("a figure needs a chart")
    rows = max(len(panel.lines) for panel in panels)
    width, height = _WIDTH * len(panels), _HEAD + _HEIGHT + 18 * rows + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="11" fill="{_INK}">',
        f"<title>{_text(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{_text(title)}</text>',
    ]
    for index, panel in enumerate(panels):
        parts.append(f'<g transform="translate({index * _WIDTH} {_HEAD})">')
        parts += [*_axes(panel), *_curves(panel), *_legend(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _axes(panel: Panel) -> list[str]:
    left, right, bottom, top = _LEFT, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM, _TOP
    parts = [f'<text x="{left}" y="{top - 12}" font-size="12" font-weight="bold">{_text(panel.title)}</text>']
    for step in range(6):
        x, y = (low + step * (high - low) / 5 for low, high in (panel.x_range, panel.y_range))
        px, py = _place(panel, x, y)
        parts.append(f'<path d="M{px:.1f} {bottom}V{top}M{left} {py:.1f}H{right}" stroke="{_GRID}" fill="none"/>')
        parts.append(f'<text x="{px:.1f}" y="{bottom + 14}" text-anchor="middle">{x:.3g}</text>')
        parts.append(f'<text x="{left - 5}" y="{py + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    for mark in panel.marks:
        py = _place(panel, panel.x_range[0], mark)[1]
        parts.append(f'<path d="M{left} {py:.1f}H{right}" stroke="{_INK}" stroke-dasharray="1 3" fill="none"/>')
    middle = (top + bottom) / 2
    parts.append(f'<text x="{(left + right) / 2}" y="{bottom + 32}" text-anchor="middle">{_text(panel.x)}</text>')
    turn = f'transform="rotate(-90 13 {middle})"'
    parts.append(f'<text x="13" y="{middle}" text-anchor="middle" {turn}>{_text(panel.y)}</text>')
    return parts


def _curves(panel: Panel) -> list[str]:
    parts = []
    for index, line in enumerate(panel.lines):
        colour, points = COLOURS[index % len(COLOURS)], thin(line.points)
        banded = [point for point in points if len(point) == 4]
        if banded:
            outline = [_at(panel, p[0], p[3]) for p in banded] + [_at(panel, p[0], p[2]) for p in reversed(banded)]
            parts.append(f'<polygon points="{" ".join(outline)}" fill="{colour}" fill-opacity="0.15" stroke="none"/>')
        if line.dots or len(points) == 1:
            for point in points:
                x, y = _place(panel, point[0], point[1])
                parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        else:
            path = " ".join(_at(panel, p[0], p[1]) for p in points)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    return parts


def _legend(panel: Panel) -> list[str]:
    parts = []
    for index, line in enumerate(panel.lines):
        y, colour = _HEIGHT + 4 + 18 * index, COLOURS[index % len(COLOURS)]
        parts.append(f'<rect x="{_LEFT}" y="{y - 6}" width="22" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{_LEFT + 28}" y="{y}">{_text(line.label)}</text>')
    return parts


def _place(panel: Panel, x: float, y: float) -> tuple[float, float]:
    across, up = (
        min(1.0, max(0.0, (value - low) / (high - low))) for value, (low, high) in ((x, panel.x_range), (y, panel.y_range))
    )
    return _LEFT + across * (_WIDTH - _RIGHT - _LEFT), (_HEIGHT - _BOTTOM) - up * (_HEIGHT - _BOTTOM - _TOP)


def _at(panel: Panel, x: float, y: float) -> str:
    px, py = _place(panel, x, y)
    return f"{px:.1f},{py:.1f}"


def _words(text: str) -> str:
    """Without the characters that XML forbids, and not too long for a report."""
    return "".join(char if char.isprintable() else "?" for char in text[:MAX_WORDS])


def _text(text: str) -> str:
    return escape(_words(text))
