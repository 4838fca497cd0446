"""What a blend sees of a claim: every input on a common scale, and what else its output holds.

Each input goes through a rising piecewise-linear map fitted without labels: value -> log-odds of its rank among the fitted
claims. A blend therefore does not depend on the units of a score, and no formula in it is particular to one scorer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable
from conformal.errors import LedgerError
from conformal.scores.named import named_score, place_in_output

Floats = npt.NDArray[np.float64]
FeatureSet = Literal["inputs", "sized", "context"]
FEATURE_SETS: tuple[FeatureSet, ...] = ("inputs", "sized", "context")
KNOTS = 33
MAX_INPUTS = 16
SIZE = "log claims of the output"


@dataclass(frozen=True)
class Curve:
    """A map that never falls: linear between knots, constant outside. `x` rises strictly, `y` never falls; equal lengths."""

    x: Floats
    y: Floats

    def __call__(self, values: Floats) -> Floats:
        return np.asarray(np.interp(values, self.x, self.y))

    @classmethod
    def log_odds_of_rank(cls, values: Floats) -> Curve:
        """Mid-ranks of the distinct values as log-odds, thinned to at most KNOTS knots. Needs at least one value."""
        distinct, counts = np.unique(values, return_counts=True)
        share = (np.cumsum(counts) - counts / 2) / len(values)
        odds = np.log(share) - np.log1p(-share)
        if len(distinct) > KNOTS:
            wanted = np.linspace(odds[0], odds[-1], KNOTS)
            kept = np.unique(np.searchsorted(odds, wanted).clip(0, len(odds) - 1))
            distinct, odds = distinct[kept], odds[kept]
        return cls(distinct, odds)


@dataclass(frozen=True)
class FeatureMap:
    """Features of a claim, centred and scaled on the outputs the map was fitted on (constant ones become 0)."""

    inputs: tuple[str, ...]
    kind: FeatureSet
    curves: tuple[Curve, ...]
    centre: Floats
    scale: Floats

    @classmethod
    def fit(cls, table: ClaimTable, inputs: Sequence[str], kind: FeatureSet) -> FeatureMap:
        """No label is looked at. Raises LedgerError without claims, for a missing input or a value that is not finite."""
        if not 1 <= len(inputs) <= MAX_INPUTS or len(set(inputs)) != len(inputs):
            raise LedgerError(f"a blend takes 1 to {MAX_INPUTS} different scores, not {len(inputs)}")
        if table.n_claims == 0:
            raise LedgerError("the outputs to fit a score on hold no claim")
        curves = tuple(Curve.log_odds_of_rank(finite_score(table, name)) for name in inputs)
        raw = _columns(table, tuple(inputs), kind, curves)
        spread = raw.std(axis=0)
        return cls(tuple(inputs), kind, curves, raw.mean(axis=0), np.where(spread > 1e-9, spread, np.inf))

    @property
    def names(self) -> tuple[str, ...]:
        return feature_names(self.inputs, self.kind)

    def __call__(self, table: ClaimTable) -> Floats:
        """Features (m x p). Raises LedgerError for a missing input or a value that is not finite."""
        return (_columns(table, self.inputs, self.kind, self.curves) - self.centre) / self.scale


def finite_score(table: ClaimTable, name: str) -> Floats:
    """The named score; raises LedgerError that names the first claim whose score is not a finite number."""
    values = named_score(table, name)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        owner = int(table.owners[bad[0]])
        raise LedgerError(
            f"output {table.ids[owner]!r}, claim {int(bad[0] - table.offsets[owner])}: the score {name!r} is not a finite"
            " number; a claim without a score cannot be blended, kept or calibrated"
        )
    return values


def feature_names(inputs: Sequence[str], kind: FeatureSet) -> tuple[str, ...]:
    names = list(inputs)
    if kind == "inputs":
        return tuple(names)
    names.append(SIZE)
    if kind == "context":
        for name in inputs:
            names += [f"mean of {name} in the output", f"least {name} in the output", f"log place by {name}"]
        names += ["log position", *(f"{a} times {b}" for a, b in combinations(inputs, 2)), *(f"{a} squared" for a in inputs)]
    return tuple(names)


def _columns(table: ClaimTable, inputs: tuple[str, ...], kind: FeatureSet, curves: tuple[Curve, ...]) -> Floats:
    values = [curve(finite_score(table, name)) for name, curve in zip(inputs, curves)]
    columns = list(values)
    if kind != "inputs":
        columns.append(np.log(np.maximum(np.diff(table.offsets), 1))[table.owners])
    if kind == "context":
        for value in values:
            columns += _within_output(table, value)
        columns.append(np.log1p(place_in_output(table)))
        columns += [a * b for a, b in combinations(values, 2)]
        columns += [np.maximum(a, 0.0) ** 2 for a in values]
    return np.column_stack(columns)


def _within_output(table: ClaimTable, values: Floats) -> list[Floats]:
    """Mean and least value of the claim's output, and the log of its place by value (1 = highest)."""
    sizes = np.maximum(np.diff(table.offsets), 1)
    mean = np.bincount(table.owners, weights=values, minlength=table.n_outputs) / sizes
    order = np.lexsort((-values, table.owners))
    place = np.empty(len(values))
    place[order] = place_in_output(table)
    least = np.full(table.n_outputs, np.inf)
    np.minimum.at(least, table.owners, values)
    return [mean[table.owners], least[table.owners], np.log1p(place)]
