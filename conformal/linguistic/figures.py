"""The reliability diagram: accuracy against stated confidence, with intervals, counts and the line of a calibrated reader.

Static SVG without script, fonts or styles from elsewhere; `panels` gives the same as data for the figure of a signed report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 420, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 52, 130
_PLOT_W, _PLOT_H = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
_COUNT_H = 56
_TEXT, _GRID, _POINT, _COUNT, _IDEAL = "#222222", "#dddddd", "#0072B2", "#999999", "#D55E00"
MAX_LABEL = 60


def reliability_diagram(reports: Mapping[str, Mapping[str, Any]], title: str = "Reliability diagram") -> str:
    """One panel a reader, from the reports of `evaluation.evaluate_reader`. Raises ValueError where no reader answered."""
    shown = [(name, report) for name, report in reports.items() if report.get("diagram")]
    if not shown:
        raise ValueError("no reader answered a question: there is nothing to draw")
    width, height = _WIDTH * len(shown), _HEIGHT + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" font-family="sans-serif" font-size="11" fill="{_TEXT}">',
        f"<title>{escape(_printable(title))}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="15" font-weight="bold">{escape(_printable(title))}</text>',
    ]
    for index, (name, report) in enumerate(shown):
        parts.append(f'<g transform="translate({index * _WIDTH} 34)">')
        parts += _panel(name, report)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def _panel(name: str, report: Mapping[str, Any]) -> list[str]:
    floor = report["noise_floor"]
    head = f"ECE {report['ece']:.3f} (calibrated: {floor['mean']:.3f}), Brier {report['brier']:.3f}, n {report['answered']}"
    silent = report["non_answers"]["count"]
    parts = [
        f'<text x="{_LEFT}" y="16" font-size="12" font-weight="bold">{escape(_printable(name))}</text>',
        f'<text x="{_LEFT}" y="32">{escape(head)}</text>',
        f'<text x="{_LEFT}" y="46">{silent} non-answers ({report["non_answers"]["rate"]:.1%})</text>',
    ]
    for step in range(6):
        share = step / 5
        x, y = _x(share), _y(share)
        parts.append(f'<path d="M{x} {_y(0)}V{_y(1)}M{_x(0)} {y}H{_x(1)}" stroke="{_GRID}" fill="none"/>')
        parts.append(f'<text x="{x}" y="{_y(0) + 14:.1f}" text-anchor="middle">{share:g}</text>')
        parts.append(f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>')
    parts.append(f'<path d="M{_x(0)} {_y(0)}L{_x(1)} {_y(1)}" stroke="{_IDEAL}" stroke-dasharray="5 4" fill="none"/>')
    parts += _points(report["diagram"])
    middle, centre = _LEFT + _PLOT_W / 2, _TOP + _PLOT_H / 2
    parts.append(f'<text x="{middle}" y="{_y(0) + 30:.1f}" text-anchor="middle">stated confidence</text>')
    parts.append(f'<text x="14" y="{centre}" text-anchor="middle" transform="rotate(-90 14 {centre})">accuracy</text>')
    parts.append(
        f'<text x="{middle}" y="{_HEIGHT - 6}" text-anchor="middle">answers a bin (bins of equal mass, 95 % intervals)</text>'
    )
    return parts


def _points(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    most = max(row["n"] for row in rows)
    base = _HEIGHT - 22
    parts = []
    for row in rows:
        x, low, high = _x(row["confidence"]), _y(row["low"]), _y(row["high"])
        bar = _COUNT_H * row["n"] / most
        parts.append(f'<path d="M{x} {low}V{high}M{x - 3:.1f} {low}h6M{x - 3:.1f} {high}h6" stroke="{_POINT}" fill="none"/>')
        parts.append(f'<circle cx="{x}" cy="{_y(row["accuracy"])}" r="3.2" fill="{_POINT}"/>')
        parts.append(f'<rect x="{x - 2:.1f}" y="{base - bar:.1f}" width="4" height="{bar:.1f}" fill="{_COUNT}">')
        parts.append(
            f"<title>{row['n']} answers, confidence {row['confidence']:.3f}, accuracy {row['accuracy']:.3f}</title></rect>"
        )
    smallest = min(row["n"] for row in rows)
    label = f"n {most}" if most == smallest else f"n {smallest} to {most}"
    parts.append(f'<text x="{_LEFT}" y="{base - _COUNT_H - 2:.1f}" font-size="10">{label}</text>')
    return parts


def panels(reports: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Panels for the output `figure` of a signed report: one a reader, points (confidence, accuracy, low, high)."""
    found = []
    for name, report in reports.items():
        rows = report.get("diagram") or []
        if not rows:
            continue
        points = [[row["confidence"], row["accuracy"], row["low"], row["high"]] for row in rows]
        lines = [{"label": "reader", "points": points}, {"label": "calibrated", "points": [[0.0, 0.0], [1.0, 1.0]]}]
        found.append(
            {
                "title": f"Reliability, {_printable(name)}"[:MAX_LABEL],
                "x": "stated confidence",
                "y": "accuracy",
                "x_range": [0.0, 1.0],
                "y_range": [0.0, 1.0],
                "marks": [],
                "lines": lines,
            }
        )
    return found


def _x(share: float) -> float:
    return round(_LEFT + share * _PLOT_W, 1)


def _y(share: float) -> float:
    return round(_TOP + (1.0 - share) * _PLOT_H, 1)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)[:MAX_LABEL]
