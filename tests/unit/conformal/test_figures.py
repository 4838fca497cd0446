"""Charts: well-formed, without script, drawn from the numbers they are given; data in the form a signed report takes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from audit.charts import read_panels
from conformal.calibration import Calibrator
from conformal.drift.monitor import DriftMonitor, Settings
from conformal.errors import LedgerError
from conformal.figures import coverage_panel, drift_panels, retention_curve, retention_panel
from conformal.losses import AtMostFalse
from conformal.panels import MAX_POINTS, Line, Panel, draw, thin
from tests.unit.conformal.drift_streams import biographies, conformity, scored

LOSS = AtMostFalse(3)


def calibrator(seed: int, n: int, prefix: str) -> Calibrator:
    table = biographies(np.random.default_rng(seed), n, 0.85, prefix)
    truth = np.array([label == "Y" for label in table.labels or ()], dtype=bool)
    return Calibrator.build(table, table.score("frequency"), truth, LOSS)


def monitor(outputs: int = 60, skill: float = 0.6) -> DriftMonitor:
    rng = np.random.default_rng(1)
    found = DriftMonitor(Settings(tests=("ranks", "errors")), scored(conformity(biographies(rng, 80, 0.9), LOSS), "c"))
    for item in scored(conformity(biographies(rng, outputs, skill), LOSS), "s"):
        found.feed(*item)
    return found


def elements(svg: str, tag: str) -> list[Any]:
    return list(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}" + tag))


def test_retention_rises_with_the_level() -> None:
    fitted, test = calibrator(0, 150, "c"), calibrator(1, 80, "t")
    curve = retention_curve(fitted, test)
    assert [kept for _, kept in curve] == sorted(kept for _, kept in curve) and curve[0][1] < curve[-1][1]
    svg = draw([retention_panel({"frequency": curve, "a <b> & c": curve[:3]})], "Retention")
    assert len(elements(svg, "polyline")) == 2 and "a &lt;b&gt; &amp; c" in svg and "<script" not in svg
    with pytest.raises(LedgerError):
        retention_curve(fitted, fitted)


def test_coverage_shows_law_promise_and_observed() -> None:
    fitted = calibrator(0, 150, "c")
    thresholds = [fitted.threshold(Fraction(i, 10)) for i in (1, 2, 3)]
    panel = coverage_panel(thresholds, {Fraction(1, 10): (45, 50), Fraction(2, 10): (0, 0)})
    assert panel.lines[0].points[0] == (0.1, thresholds[0].expected_coverage, *thresholds[0].interval)
    assert panel.lines[2].points == ((0.1, 0.9, pytest.approx(0.7819, abs=1e-3), pytest.approx(0.9667, abs=1e-3)),)
    svg = draw([panel], "Coverage")
    assert len(elements(svg, "circle")) == 1 and len(elements(svg, "polygon")) == 2
    assert len(coverage_panel(thresholds).lines) == 2


def test_drift_chart_says_what_the_monitor_says() -> None:
    alarmed, quiet = monitor(), monitor(20, 0.9)
    at = alarmed.alarm_index
    evidence, errors = drift_panels(alarmed)
    assert at is not None and evidence.title == f"Alarm at output {at + 1}"
    assert evidence.lines[0].points[-1] == (60.0, alarmed.readings[-1].evidence["ranks"] / math.log(10))
    assert errors.lines[0].points[-1][1] == sum(r.error for r in alarmed.readings) / 60
    assert evidence.marks and evidence.marks[0] == pytest.approx(math.log10(40))
    assert drift_panels(quiet)[0].title == "No alarm (which is not: no shift)"
    assert len(elements(draw(drift_panels(alarmed), "Drift"), "polyline")) == 5
    with pytest.raises(LedgerError):
        drift_panels(monitor(0))


def test_panels_fit_the_figure_of_a_signed_report() -> None:
    thresholds = [calibrator(0, 150, "c").threshold(Fraction(1, 10))]
    panels = [*drift_panels(monitor()), coverage_panel(thresholds)]
    data = [panel.to_json() for panel in panels]
    assert read_panels({"figure": data}) == data


def test_long_lines_are_thinned_to_their_ends() -> None:
    points = [(float(i), 0.0) for i in range(5000)]
    found = thin(points)
    assert len(found) == MAX_POINTS and found[0] == points[0] and found[-1] == points[-1]
    assert thin(points[:7]) == points[:7]


@pytest.mark.parametrize(
    "change",
    [
        {"lines": ()}, {"lines": (Line("a", ()),)}, {"lines": (Line("a", ((0.0, math.nan),)),)},
        {"lines": (Line("a", ((0.0,),)),)},
        {"x_range": (1.0, 1.0)}, {"y_range": (0.0, math.inf)}, {"marks": (math.inf,)},
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(change: Any) -> None:
    good: dict[str, Any] = {"lines": (Line("a", ((0.0, 0.5),)),), "x_range": (0.0, 1.0), "y_range": (0.0, 1.0), "marks": ()}
    assert draw([Panel("t", "x", "y", **good)], "t")
    with pytest.raises(LedgerError):
        Panel("t", "x", "y", **{**good, **change})


def test_no_panel_is_no_figure_and_control_characters_go() -> None:
    with pytest.raises(LedgerError):
        draw([], "t")
    svg = draw([Panel("t\x00\x1b", "x", "y", (0.0, 1.0), (0.0, 1.0), (Line("a\x07", ((0.0, 0.5),)),))], "t")
    ElementTree.fromstring(svg)
