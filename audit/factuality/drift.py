"""`factuality.drift`: have outputs moved away from those a certificate was calibrated on?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import RequestError
from audit.factuality.params import read_level, read_loss, read_policy, read_table
from audit.factuality.recomputed import Recomputed
from audit.params import Fields
from audit.registry import Check, Outcome
from conformal.calibration import Calibrator
from conformal.claims import ClaimTable
from conformal.digests import output_digests, refuse_overlap
from conformal.drift.monitor import NO_ALARM_NOTE, TESTS, DriftMonitor, Settings
from conformal.labels import LabelPolicy
from conformal.losses import Loss

NAME = "factuality.drift"
MAX_CURVE = 500
LEAST_SHOWN = -50.0


@dataclass(frozen=True)
class DriftParams:
    """The stream is `documents`, in the order in which the outputs came."""

    calibration: ClaimTable
    stream: ClaimTable
    score: str
    loss: Loss
    policy: LabelPolicy
    settings: Settings


class FactualityDrift(Recomputed):
    """The registered kind."""

    name = NAME
    title = "A stream of labelled outputs is still like the calibration outputs"
    format = "assay-factuality-drift/1"

    def read(self, params: Mapping[str, Any]) -> DriftParams:
        fields = Fields(params, NAME)
        score = fields.take("score")
        if not isinstance(score, str):
            raise RequestError("params.score must name the score of the claims")
        found = DriftParams(
            calibration=read_table(fields.take("calibration"), "params.calibration"),
            stream=read_table(fields.take("documents"), "params.documents"),
            score=score,
            loss=read_loss(fields),
            policy=read_policy(fields),
            settings=Settings(
                alpha=read_level(fields, "alpha", "1/10"),
                level=read_level(fields, "level", "1/20"),
                tests=fields.words("tests", ("ranks",), TESTS),
                seed=fields.integer("seed", 0, 0, (1 << 53) - 1),
            ),
        )
        fields.done()
        return found

    def compute(self, asked: DriftParams) -> dict[str, Any]:
        refuse_overlap(frozenset(), asked.calibration, "the calibration outputs")
        refuse_overlap(frozenset(output_digests(asked.calibration)), asked.stream, "the stream")
        monitor = DriftMonitor(asked.settings, _scored(asked, asked.calibration))
        for identity, conformity in _scored(asked, asked.stream):
            monitor.feed(identity, conformity)
        return {"summary": monitor.summary(), "figure": _figure(monitor)}

    def judge(self, asked: DriftParams, result: Mapping[str, Any]) -> Outcome:
        summary = result["summary"]
        alarm = summary["verdict"] == "alarm"
        found = f"alarm at output {summary['alarm_index'] + 1}" if alarm else f"no alarm in {summary['outputs']} outputs"
        checks = (
            Check("1 data", True, f"{asked.calibration.n_outputs} calibration outputs, {asked.stream.n_outputs} in the stream"),
            Check("2 drift", False if alarm else None, found),
        )
        conditions = (
            f"a false alarm has probability at most {summary['level']}, however long the stream",
            "the order of the stream must not depend on the labels; the seed of the tie-breaks is the request's",
            *(() if alarm else (NO_ALARM_NOTE,)),
        )
        return Outcome("refuted" if alarm else "inconclusive", checks, dict(result), conditions)


def _scored(asked: DriftParams, table: ClaimTable) -> list[tuple[str, float]]:
    calibrator = Calibrator.build(table, table.score(asked.score), table.truth(asked.policy), asked.loss)
    return list(zip(table.ids, calibrator.conformity.tolist()))


def _figure(monitor: DriftMonitor) -> list[dict[str, Any]]:
    """Log wealth of the tests, with the height at which they alarm."""
    step = max(1, math.ceil(len(monitor.readings) / MAX_CURVE))
    shown = [*monitor.readings[::step]]
    curves = {
        name: [[float(reading.index + 1), max(LEAST_SHOWN, reading.evidence[name])] for reading in shown]
        for name in monitor.settings.tests
    }
    heights: list[float] = [test["alarm_at"] for test in monitor.summary()["tests"].values()]
    values = [*heights, *(point[1] for points in curves.values() for point in points)]
    low, high = min(0.0, *values), max(values)
    lines = [{"label": name, "points": points} for name, points in curves.items()]
    return [
        {
            "title": "Evidence of a shift", "x": "outputs", "y": "log wealth", "x_range": [0.0, float(len(monitor.readings) + 1)],
            "y_range": [math.floor(low) - 1.0, math.ceil(high) + 1.0], "marks": [heights[0]], "lines": lines,
        }
    ]  # fmt: skip
