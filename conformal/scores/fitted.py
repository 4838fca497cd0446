"""A fitted score: what it computes, as plain JSON, and the outputs it was fitted on, which it refuses to be calibrated on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from conformal.claims import MAX_OUTPUTS, MIN_CONTENT_CHARS, ClaimTable, parse_score, plain_text
from conformal.errors import GuaranteeError, LedgerError
from conformal.scores.features import FEATURE_SETS, MAX_INPUTS, Curve, FeatureMap, feature_names
from conformal.scores.named import named_score

Floats = npt.NDArray[np.float64]
FORMAT = "assay/fitted-score/v1"
KINDS = ("logistic", "isotonic", "boosted")
MAX_KNOTS = 1_000
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class FittedScore:
    """score = features @ weights; for isotonic blends, every feature passes through its curve first.

    `fitted_on` holds the digests of the outputs whose labels were seen (`fit_digests`). `settings` describe how the score
    was chosen and take no part in computing it.
    """

    kind: str
    features: FeatureMap
    weights: Floats
    fitted_on: frozenset[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()

    def __call__(self, table: ClaimTable) -> Floats:
        """The score of every claim (m). Raises LedgerError for an input that is missing or not finite."""
        seen = self.features(table)
        if self.curves:
            seen = np.column_stack([curve(column) for curve, column in zip(self.curves, seen.T)])
        # Column by column, so that a claim's score depends on its output alone, not on how a product of matrices is blocked.
        return np.asarray(sum(column * weight for column, weight in zip(seen.T, self.weights)))

    def for_calibration(self, table: ClaimTable) -> Floats:
        """As a call, for outputs to calibrate, test or audit on. Raises GuaranteeError when the score was fitted on any."""
        self.check_fresh(table)
        return self(table)

    def check_fresh(self, table: ClaimTable) -> None:
        """Raises GuaranteeError that names an output of `table` on which this score was fitted."""
        for identity, digest in zip(table.ids, digests_in_order(table, self.features.inputs)):
            if digest in self.fitted_on:
                raise GuaranteeError(
                    f"the {self.kind} score was fitted on the output {identity!r}; a threshold or a test on outputs whose labels"
                    " shaped the score has no guarantee: calibrate on outputs set aside"
                )

    def fresh_rows(self, table: ClaimTable) -> npt.NDArray[np.int64]:
        """Indices of the outputs of `table` this score was not fitted on."""
        seen = [digest in self.fitted_on for digest in digests_in_order(table, self.features.inputs)]
        return np.flatnonzero(~np.array(seen, dtype=bool))

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "format": FORMAT,
            "kind": self.kind,
            "inputs": list(self.features.inputs),
            "features": self.features.kind,
            "input_curves": [_curve_json(curve) for curve in self.features.curves],
            "centre": self.features.centre.tolist(),
            "scale": [value if np.isfinite(value) else None for value in self.features.scale.tolist()],
            "weights": self.weights.tolist(),
            "fitted_on": sorted(self.fitted_on),
            "settings": dict(self.settings),
        }
        return {**found, "curves": [_curve_json(curve) for curve in self.curves]} if self.curves else found

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: what a certificate names as its scorer."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @classmethod
    def from_json(cls, value: Any) -> FittedScore:
        """Strict. Raises LedgerError."""
        if not isinstance(value, Mapping) or value.get("format") != FORMAT:
            raise LedgerError(f"a fitted score is a JSON object whose format is {FORMAT!r}")
        kind, feature_set, inputs = value.get("kind"), value.get("features"), value.get("inputs")
        if kind not in KINDS or feature_set not in FEATURE_SETS:
            raise LedgerError(f"a fitted score has a kind ({', '.join(KINDS)}) and features ({', '.join(FEATURE_SETS)})")
        if not isinstance(inputs, list) or not 1 <= len(inputs) <= MAX_INPUTS or not all(isinstance(i, str) for i in inputs):
            raise LedgerError(f"inputs of a fitted score must be 1 to {MAX_INPUTS} names")
        width = len(feature_names(inputs, feature_set))
        scale = value.get("scale")
        scale = [np.inf if s is None else s for s in scale] if isinstance(scale, list) else scale
        features = FeatureMap(
            tuple(inputs), feature_set, _curves(value.get("input_curves"), len(inputs), "input_curves"),
            _numbers(value.get("centre"), width, "centre"), _numbers(scale, width, "scale", above_zero=True),
        )  # fmt: skip
        curves = _curves(value.get("curves"), width, "curves") if kind == "isotonic" else ()
        settings = value.get("settings", {})
        if not isinstance(settings, Mapping):
            raise LedgerError("settings of a fitted score must be an object")
        weights = _numbers(value.get("weights"), width, "weights")
        return cls(kind, features, weights, _digests(value.get("fitted_on")), settings, curves)


def digests_in_order(table: ClaimTable, inputs: tuple[str, ...]) -> list[str]:
    """SHA-256 of every output: its content (prompt and output) where the table has it; else claim texts, with the id where they
    are short; else the bits of its input scores (bare arrays number their outputs from 0, so their ids tell nothing). Unlike
    `conformal.digests`, no score that was added to the ledger since takes part, so a leak stays visible after that."""
    values = [] if table.texts else [named_score(table, name) for name in inputs if name in table.scores]
    out = []
    for i, identity in enumerate(table.ids):
        low, high = int(table.offsets[i]), int(table.offsets[i + 1])
        if table.contents and table.contents[i]:
            content = table.contents[i].encode()
        elif low == high or not values:
            texts = [plain_text(text) for text in table.texts[low:high]]
            known = sum(map(len, texts)) >= MIN_CONTENT_CHARS
            content = json.dumps([None if known else identity, texts]).encode()
        else:
            content = b"".join(np.ascontiguousarray(column[low:high], dtype="<f8").tobytes() for column in values)
        out.append(hashlib.sha256(content).hexdigest())
    return out


def fit_digests(table: ClaimTable, inputs: tuple[str, ...]) -> frozenset[str]:
    return frozenset(digests_in_order(table, inputs))


def _curve_json(curve: Curve) -> dict[str, list[float]]:
    return {"x": curve.x.tolist(), "y": curve.y.tolist()}


def _curves(value: Any, count: int, name: str) -> tuple[Curve, ...]:
    if not isinstance(value, list) or len(value) != count or not all(isinstance(entry, Mapping) for entry in value):
        raise LedgerError(f"{name} of a fitted score must hold {count} objects with x and y")
    found = []
    for entry in value:
        x = entry.get("x")
        size = len(x) if isinstance(x, list) else 0
        if not 1 <= size <= MAX_KNOTS:
            raise LedgerError(f"{name} of a fitted score: a curve has 1 to {MAX_KNOTS} knots")
        curve = Curve(_numbers(x, size, name), _numbers(entry.get("y"), size, name))
        if (np.diff(curve.x) <= 0).any() or (np.diff(curve.y) < 0).any():
            raise LedgerError(f"{name} of a fitted score: the knots of a curve must rise")
        found.append(curve)
    return tuple(found)


def _numbers(value: Any, count: int, name: str, above_zero: bool = False) -> Floats:
    if not isinstance(value, list) or len(value) != count:
        raise LedgerError(f"{name} of a fitted score must hold {count} numbers")
    out = np.array([v if above_zero and v == np.inf else parse_score(v, f"{name} of a fitted score") for v in value])
    if above_zero and not (out > 0).all():
        raise LedgerError(f"{name} of a fitted score must be positive")
    return out


def _digests(value: Any) -> frozenset[str]:
    good = isinstance(value, list) and 1 <= len(value) <= MAX_OUTPUTS
    if not good or not all(isinstance(d, str) and len(d) == 64 and set(d) <= _HEX for d in value):
        raise LedgerError("fitted_on of a fitted score must list the SHA-256 digests of the outputs it was fitted on")
    return frozenset(value)
