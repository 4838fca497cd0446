"""Static SVG for reports: line charts with interval bands, side by side. No script, no fonts or styles from elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

# Okabe and Ito's palette: told apart under every common colour blindness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
_TEXT, _GRID = "#222222", "#dddddd"
_WIDTH, _HEIGHT = 340, 230
_LEFT, _TOP, _RIGHT, _BOTTOM = 46, 30, 12, 40
_LEGEND_ROW, _LEGEND_COLUMN = 18, 330
MAX_LABEL = 48


@dataclass(frozen=True)
class Line:
    """One polyline with its band: `points` (x, y), `band` (x, low, high). `colour` and `dash` count up, modulo what there is."""

    label: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float, float], ...] = ()
    colour: int = 0
    dash: int = 0


@dataclass(frozen=True)
class Panel:
    """One chart. Both axes run over the given ranges; `marks` are dotted horizontal lines."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)
    marks: tuple[float, ...] = ()


def render(panels: Sequence[Panel], title: str, columns: int = 3) -> str:
    """All panels as one SVG document, with one legend for the labels they share. Raises ValueError for none."""
    if not panels:
        raise ValueError("a figure needs a panel")
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    legend = list({(line.label, line.colour, line.dash): line for panel in panels for line in panel.lines}.values())
    width = columns * _WIDTH
    per_row = max(1, width // _LEGEND_COLUMN)
    height = 34 + rows * _HEIGHT + 12 + math.ceil(len(legend) / per_row) * _LEGEND_ROW + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="11" fill="{_TEXT}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for index, panel in enumerate(panels):
        parts += _panel(panel, (index % columns) * _WIDTH, 34 + (index // columns) * _HEIGHT)
    for index, line in enumerate(legend):
        x, y = 14 + (index % per_row) * _LEGEND_COLUMN, 34 + rows * _HEIGHT + 20 + (index // per_row) * _LEGEND_ROW
        parts.append(f'<line x1="{x}" y1="{y - 4}" x2="{x + 30}" y2="{y - 4}" {_stroke(line)}/>')
        parts.append(f'<text x="{x + 36}" y="{y}">{escape(line.label[:MAX_LABEL])}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _stroke(line: Line) -> str:
    dash = DASHES[line.dash % len(DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{COLOURS[line.colour % len(COLOURS)]}" stroke-width="1.8"{dashed}'


def _panel(panel: Panel, left: int, top: int) -> list[str]:
    x0, x1 = left + _LEFT, left + _WIDTH - _RIGHT
    y0, y1 = top + _HEIGHT - _BOTTOM, top + _TOP

    def place(value: float, limits: tuple[float, float], start: int, end: int) -> str:
        share = (value - limits[0]) / ((limits[1] - limits[0]) or 1.0)
        return f"{start + min(1.0, max(0.0, share)) * (end - start):.1f}"

    def at(x: float, y: float) -> str:
        return f"{place(x, panel.x_range, x0, x1)},{place(y, panel.y_range, y0, y1)}"

    parts = [f'<text x="{x0}" y="{y1 - 10}" font-size="12" font-weight="bold">{escape(panel.title[:MAX_LABEL])}</text>']
    for step in range(6):
        x = panel.x_range[0] + step * (panel.x_range[1] - panel.x_range[0]) / 5
        y = panel.y_range[0] + step * (panel.y_range[1] - panel.y_range[0]) / 5
        px, py = place(x, panel.x_range, x0, x1), place(y, panel.y_range, y0, y1)
        parts.append(f'<path d="M{px} {y0}V{y1}M{x0} {py}H{x1}" stroke="{_GRID}" fill="none"/>')
        parts.append(f'<text x="{px}" y="{y0 + 14}" text-anchor="middle">{x:.3g}</text>')
        parts.append(f'<text x="{x0 - 5}" y="{float(py) + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    for mark in panel.marks:
        py = place(mark, panel.y_range, y0, y1)
        parts.append(f'<path d="M{x0} {py}H{x1}" stroke="{_TEXT}" stroke-dasharray="1 3" fill="none"/>')
    for line in panel.lines:
        if line.band:
            outline = [at(x, high) for x, _, high in line.band] + [at(x, low) for x, low, _ in reversed(line.band)]
            colour = COLOURS[line.colour % len(COLOURS)]
            parts.append(f'<polygon points="{" ".join(outline)}" fill="{colour}" fill-opacity="0.12" stroke="none"/>')
    for line in panel.lines:
        parts.append(f'<polyline points="{" ".join(at(x, y) for x, y in line.points)}" {_stroke(line)}/>')
        if len(line.points) == 1:
            cx, cy = at(*line.points[0]).split(",")
            parts.append(f'<circle cx="{cx}" cy="{cy}" r="3" fill="{COLOURS[line.colour % len(COLOURS)]}"/>')
    parts.append(f'<text x="{(x0 + x1) / 2}" y="{y0 + 30}" text-anchor="middle">{escape(panel.x_label)}</text>')
    middle = (y0 + y1) / 2
    parts.append(
        f'<text x="{left + 12}" y="{middle}" text-anchor="middle" transform="rotate(-90 {left + 12} {middle})">'
        f"{escape(panel.y_label)}</text>"
    )
    return parts
