"""Charts of a report's outputs, as static SVG: bars for flat lists (counts by class, accuracy by group), and line charts with
interval bands for the output `figure`.

The outputs come from whoever made the report, so everything is checked before it is drawn; what does not fit has no chart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

MAX_BARS = 64
MAX_CHARTS = 8
BAR_HEIGHT, TITLE_HEIGHT, LABEL_WIDTH, BAR_WIDTH = 18, 30, 60, 520
FIGURE_OUTPUT = "figure"
MAX_PANELS, MAX_LINES, MAX_POINTS, MAX_WORDS = 16, 32, 512, 80
_DECIMAL = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?\Z")


def chartable(outputs: Mapping[str, Any]) -> dict[str, list[float]]:
    """Outputs that are flat lists of 2 to MAX_BARS numbers from 0 up, by name; everything else has no chart."""
    out = {}
    for name in sorted(outputs):
        values = outputs[name]
        if isinstance(values, list) and 2 <= len(values) <= MAX_BARS and all(_is_number(value) for value in values):
            out[name] = [float(value) for value in values]
    return dict(list(out.items())[:MAX_CHARTS])


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return (isinstance(value, int) and 0 <= value < 1 << 53) or (isinstance(value, str) and bool(_DECIMAL.match(value)))


def charts_height(charts: Mapping[str, list[float]]) -> int:
    """Height in pixels that `draw_charts` needs."""
    return sum(TITLE_HEIGHT + BAR_HEIGHT * len(values) for values in charts.values())


def draw_charts(charts: Mapping[str, list[float]], names: Mapping[str, str], left: int, y: int) -> list[str]:
    """SVG rows from `y` down. `names` are the printable titles by output name, already escaped."""
    rows = []
    for name, values in charts.items():
        rows.append(_text(left, y + 20, names[name], 13, "#111111"))
        y += TITLE_HEIGHT
        top = max(values) or 1.0
        for i, value in enumerate(values):
            width = round(BAR_WIDTH * value / top, 1)
            rows.append(_text(left, y + 12, str(i), 11, "#555555"))
            rows.append(f'<rect x="{left + LABEL_WIDTH}" y="{y + 2}" width="{width}" height="12" fill="#2f5d8a"/>')
            rows.append(_text(left + LABEL_WIDTH + BAR_WIDTH + 8, y + 12, f"{value:g}", 11, "#111111"))
            y += BAR_HEIGHT
    return rows


def _text(x: int, y: int, text: str, size: int, colour: str) -> str:
    return f'<text x="{x}" y="{y}" font-family="sans-serif" font-size="{size}" fill="{colour}">{text}</text>'


def read_panels(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The well-formed panels of the output `figure`: objects with title, x, y, x_range, y_range, marks and lines; a line is a
    label with points (x, y) or (x, y, low, high)."""
    value = outputs.get(FIGURE_OUTPUT)
    return [panel for panel in value[:MAX_PANELS] if _is_panel(panel)] if isinstance(value, list) else []


def draw_panels(panels: list[dict[str, Any]]) -> tuple[list[str], int, int]:
    """Rows of an SVG document of its own, its width and its height; nothing for no panels."""
    if not panels:
        return [], 0, 0
    from watermark.figures import Line, Panel, render

    labels = list(dict.fromkeys(line["label"] for panel in panels for line in panel["lines"]))
    drawn = []
    for panel in panels:
        lines = [
            Line(
                label=_printable(line["label"]),
                points=tuple((point[0], point[1]) for point in line["points"]),
                band=tuple((point[0], point[2], point[3]) for point in line["points"] if len(point) == 4),
                colour=labels.index(line["label"]),
                dash=labels.index(line["label"]) // 8,
            )
            for line in panel["lines"]
        ]
        drawn.append(
            Panel(
                _printable(panel["title"]),
                _printable(panel["x"]),
                _printable(panel["y"]),
                tuple(lines),
                (panel["x_range"][0], panel["x_range"][1]),
                (panel["y_range"][0], panel["y_range"][1]),
                tuple(panel["marks"]),
            )
        )
    rows = render(drawn, "Curves, with 95 % intervals", columns=2).splitlines()
    sizes = re.search(r'width="([0-9]+)" height="([0-9]+)"', rows[0])
    return (rows, int(sizes[1]), int(sizes[2])) if sizes else ([], 0, 0)


def _is_panel(panel: Any) -> bool:
    if not isinstance(panel, dict) or not all(_is_words(panel.get(name)) for name in ("title", "x", "y")):
        return False
    if not all(_is_range(panel.get(name)) for name in ("x_range", "y_range")) or not _are_numbers(panel.get("marks"), 0, 8):
        return False
    lines = panel.get("lines")
    return isinstance(lines, list) and len(lines) <= MAX_LINES and all(map(_is_line, lines))


def _is_line(line: Any) -> bool:
    if not isinstance(line, dict) or not _is_words(line.get("label")):
        return False
    points = line.get("points")
    if not isinstance(points, list) or not 0 < len(points) <= MAX_POINTS:
        return False
    return all(_are_numbers(point, 2, 2) or _are_numbers(point, 4, 4) for point in points)


def _is_words(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_WORDS


def _is_range(value: Any) -> bool:
    return _are_numbers(value, 2, 2) and bool(value[0] < value[1])


def _are_numbers(value: Any, least: int, most: int) -> bool:
    if not isinstance(value, list) or not least <= len(value) <= most:
        return False
    return all(type(item) in (int, float) and math.isfinite(item) and abs(item) <= 1e12 for item in value)


def _printable(text: str) -> str:
    """Without the characters that XML forbids."""
    return "".join(char if char.isprintable() else "?" for char in text)
