"""Bar charts of a report's outputs, as rows of static SVG: counts by class, accuracy by group."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MAX_BARS = 64
MAX_CHARTS = 8
BAR_HEIGHT, TITLE_HEIGHT, LABEL_WIDTH, BAR_WIDTH = 18, 30, 60, 520
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
