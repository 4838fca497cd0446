"""Charts of back-off: what retention a level costs, what coverage it leaves open, and how a monitored stream went.

Each is a `Panel`: `panels.draw` makes SVG of it, `Panel.to_json` the figure of a signed report.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

from conformal.calibration import Calibrator, Mode, Threshold
from conformal.drift.monitor import DriftMonitor
from conformal.errors import LedgerError
from conformal.laws import clopper_pearson
from conformal.panels import Line, Panel

LEVELS = tuple(Fraction(i, 50) for i in range(1, 26))


def retention_curve(
    calibrator: Calibrator, test: Calibrator, levels: Sequence[Fraction] = LEVELS, mode: Mode = "marginal"
) -> tuple[tuple[float, float], ...]:
    """For every level: (alpha, mean share of claims kept) on `test`, whose outputs must be others than those of `calibrator`.

    Raises LedgerError for shared outputs.
    """
    if set(calibrator.table.ids) & set(test.table.ids):
        raise LedgerError("retention is measured on outputs that did not calibrate; the two sets share some")
    return tuple((float(alpha), test.summarise(calibrator.threshold(alpha, mode).value).retention) for alpha in levels)


def retention_panel(curves: Mapping[str, Sequence[tuple[float, float]]]) -> Panel:
    """Retention against alpha, one line a score: all of them under the same guarantee. Raises LedgerError for no curve."""
    highest = max((alpha for curve in curves.values() for alpha, _ in curve), default=1.0)
    lines = tuple(Line(name, tuple(curve)) for name, curve in curves.items())
    return Panel("Claims kept at each level", "target error alpha", "share of claims kept", (0.0, highest), (0.0, 1.0), lines)


def coverage_panel(thresholds: Sequence[Threshold], observed: Mapping[Fraction, tuple[int, int]] | None = None) -> Panel:
    """For every level: the 95 % interval of the true coverage (the Beta law given the calibration set) around its mean, the
    promise 1 - alpha, and the observed rate with its own exact interval, from (covered, outputs) on held-out labels."""
    ordered = sorted(thresholds, key=lambda t: t.alpha)
    if not ordered:
        raise LedgerError("a chart of coverage needs a threshold")
    law = Line("true coverage: mean and 95 % of the Beta law", tuple(_law(t) for t in ordered))
    promise = Line("promised: 1 - alpha", tuple((float(t.alpha), float(1 - t.alpha)) for t in ordered))
    lines = [law, promise]
    if observed:
        points = tuple((float(a), c / m, *clopper_pearson(c, m)) for a, (c, m) in sorted(observed.items()) if m)
        lines.append(Line("observed on held-out outputs, 95 %", points, dots=True))
    lowest = min(value for line in lines for point in line.points for value in point[1:])
    alphas = [float(t.alpha) for t in ordered]
    margin = 0.05 * max(alphas)
    return Panel(
        "Coverage at each level",
        "target error alpha",
        "share of outputs on which the statement holds",
        (max(0.0, min(alphas) - margin), max(alphas) + margin),
        (max(0.0, math.floor(20 * lowest) / 20 - 0.05), 1.0),
        tuple(lines),
    )


def _law(threshold: Threshold) -> tuple[float, ...]:
    return (float(threshold.alpha), threshold.expected_coverage, *threshold.interval)


def drift_panels(monitor: DriftMonitor) -> tuple[Panel, Panel]:
    """The evidence of every test that may raise an alarm, as log10 wealth with its alarm line; and the errors so far with the
    working level of the adaptive threshold. Raises LedgerError before the first output."""
    readings = monitor.readings
    if not readings:
        raise LedgerError("no output was fed yet: there is nothing to draw")
    span = (0.0, float(max(2, len(readings))))
    alarms = {name: test["alarm_at"] / math.log(10) for name, test in monitor.summary()["tests"].items()}
    wealth = {
        name: ((0.0, 0.0), *((r.index + 1.0, r.evidence[name] / math.log(10)) for r in readings))
        for name in monitor.settings.tests
    }
    values = [y for points in wealth.values() for _, y in points]
    top, bottom = max([*values, *alarms.values()]), min([*values, 0.0])
    at = monitor.alarm_index
    head = "No alarm (which is not: no shift)" if at is None else f"Alarm at output {at + 1}"
    names = {"ranks": "martingale on ranks of r", "errors": "e-process on errors"}
    evidence = Panel(
        head, "labelled outputs", "log10 of the evidence against no shift", span, (bottom - 0.1, top * 1.05 + 0.1),
        tuple(Line(names[name], points) for name, points in wealth.items()), tuple(sorted(set(alarms.values()))),
    )  # fmt: skip
    alpha = float(monitor.settings.alpha)
    lines = (
        Line("errors so far, fixed threshold", _running([r.error for r in readings])),
        Line("errors so far, adaptive threshold", _running([r.adaptive_error for r in readings])),
        Line("working level of the adaptive threshold", tuple((r.index + 1.0, max(0.0, r.adaptive_alpha)) for r in readings)),
    )
    highest = max(2 * alpha, max(y for line in lines for _, y in (p[:2] for p in line.points[min(20, len(readings) - 1) :])))
    rates = Panel("Errors", "labelled outputs", "share", span, (0.0, min(1.0, 1.1 * highest)), lines, (alpha,))
    return evidence, rates


def _running(errors: Sequence[bool]) -> tuple[tuple[float, float], ...]:
    total, out = 0, []
    for count, error in enumerate(errors, 1):
        total += error
        out.append((float(count), total / count))
    return tuple(out)
