"""The figure of one or several robustness reports: power against edit rate, one panel an attack."""

from __future__ import annotations

from collections.abc import Sequence

from watermark.errors import AttackError
from watermark.figures import Line, Panel, render
from watermark.robustness.report import RobustnessReport

MAX_REPORTS = 32


def curves_svg(reports: Sequence[RobustnessReport]) -> str:
    """A static SVG: one polyline per report (colour) and length (dashes), its band the 95 % interval. Raises AttackError.

    The dotted lines are power 1/2 and the nominal level of false alarms. Reports may differ in attacks, rates and lengths, not in
    alpha.
    """
    if not 1 <= len(reports) <= MAX_REPORTS:
        raise AttackError(f"a figure shows 1 to {MAX_REPORTS} robustness reports")
    alpha = reports[0].alpha
    if any(report.alpha != alpha for report in reports):
        raise AttackError("robustness reports of different alpha do not belong in one figure")
    lengths = sorted({length for report in reports for length in report.lengths})
    attacks = dict.fromkeys(attack for report in reports for attack in report.attacks)
    panels = []
    for attack in attacks:
        shown = [report for report in reports if attack in report.attacks]
        lines = [
            _line(report, attack, length, reports.index(report), lengths.index(length))
            for report in shown
            for length in report.lengths
        ]
        rates = [cell.rate for report in shown for cell in report.cells if cell.attack == attack]
        right = max(0.2, *rates) if rates else 1.0
        panels.append(Panel(attack, "edit rate", "power", tuple(lines), x_range=(0.0, right), marks=(0.5, alpha)))
    return render(panels, f"Power at p \u2264 {alpha:g} under edits, with 95 % intervals")


def _line(report: RobustnessReport, attack: str, length: int, colour: int, dash: int) -> Line:
    curve = report.curve(attack, length)
    return Line(
        label=f"{report.label}, {length} tokens",
        points=tuple((cell.rate, cell.power) for cell in curve),
        band=tuple((cell.rate, *cell.interval) for cell in curve),
        colour=colour,
        dash=dash,
    )
