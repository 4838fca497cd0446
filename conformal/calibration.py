"""Calibration: from labelled outputs to a threshold with a finite-sample guarantee.

Marginal: P(the statement holds on a fresh output) >= 1 - alpha over calibration draw and output (arXiv 2402.10978, theorem
4.1). PAC: with probability 1 - delta over the calibration draw, the true coverage is at least 1 - alpha (Vovk, arXiv
1209.2673). Groups (Mondrian): either of them in every group by itself. All need exchangeable outputs: the same model, prompt,
splitter, scorer and labeller.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable
from conformal.errors import GuaranteeError, LedgerError
from conformal.laws import beta_interval
from conformal.levels import marginal_rank, pac_rank
from conformal.losses import Comparator, Loss, close_scores, kept_claims

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Mode = Literal["marginal", "pac"]
ARITHMETIC_NOTE = (
    "leave-one-out factuality is ceil(n (1 - alpha)) / n for any scorer, a random one included: arithmetic, not evidence"
)


@dataclass(frozen=True)
class Threshold:
    """The threshold of one level. `rank` is None where it abstains always (alpha below 1 / (n + 1)); then `value` is +Infinity.

    `interval` holds the true coverage with probability 0.95 given the calibration set, if the scores have no ties.
    """

    alpha: Fraction
    n: int
    rank: int | None
    value: float
    interval: tuple[float, float]
    expected_coverage: float


@dataclass(frozen=True)
class Summary:
    """What a filter does to a set of outputs: shares of outputs (`holds`, `empty`) and the mean share of claims kept."""

    holds: float
    retention: float
    empty: float


@dataclass(frozen=True)
class Calibrator:
    """A labelled table seen through one score and one loss: conformity scores r (n), computed once for every level."""

    table: ClaimTable
    scores: Floats
    truth: Bools
    loss: Loss
    comparator: Comparator
    conformity: Floats

    @classmethod
    def build(
        cls, table: ClaimTable, scores: Floats, truth: Bools, loss: Loss, comparator: Comparator = ">", closed: bool = False
    ) -> Calibrator:
        """With `closed`, a claim goes when a premise of it goes. Raises GuaranteeError when ">=" meets ties, LedgerError when
        there is nothing to calibrate on."""
        if table.n_outputs == 0:
            raise LedgerError("there is no output to calibrate on")
        used = close_scores(table, scores) if closed else scores
        found = loss.conformity(table, used, truth)
        finite = found[np.isfinite(found)]
        if comparator == ">=" and len(np.unique(finite)) != len(finite):
            raise GuaranteeError(
                'two outputs have the same conformity score: the rule "keep score >= threshold" is not valid under ties;'
                ' use ">" or break the ties with stored noise'
            )
        return cls(table, used, truth, loss, comparator, found)

    def threshold(self, alpha: Fraction, mode: Mode = "marginal", delta: Fraction = Fraction(1, 20)) -> Threshold:
        """The threshold on all outputs. Raises LevelError."""
        return find_threshold(self.conformity, alpha, mode, delta)

    def summarise(self, threshold: float | Floats) -> Summary:
        """The filter at one threshold, or one an output (n), on these outputs."""
        per_claim = threshold[self.table.owners] if isinstance(threshold, np.ndarray) else threshold
        kept = kept_claims(self.scores, per_claim, self.comparator)  # type: ignore[arg-type]
        counts = self.table.count(kept)
        sizes = np.diff(self.table.offsets)
        with_claims = sizes > 0
        shares = np.where(with_claims, counts / np.maximum(sizes, 1), 1.0)
        return Summary(
            holds=float(self.loss.holds(self.table, kept, self.truth).mean()),
            retention=float(shares.mean()),
            empty=float(((counts == 0) & with_claims).mean()),
        )

    def leave_one_out(self, alpha: Fraction) -> Summary:
        """Every output filtered by the threshold of the others. `holds` is arithmetic, not evidence (ARITHMETIC_NOTE)."""
        n = self.table.n_outputs
        rank = marginal_rank(n - 1, alpha)
        ordered = np.sort(self.conformity)
        if rank is None:
            return self.summarise(np.full(n, np.inf))
        own = np.searchsorted(ordered, self.conformity, side="left")
        return self.summarise(np.where(own < rank, ordered[min(rank, n - 1)], ordered[rank - 1]))


def find_threshold(conformity: Floats, alpha: Fraction, mode: Mode = "marginal", delta: Fraction = Fraction(1, 20)) -> Threshold:
    """The k-th smallest conformity score, k by `mode`. +Infinity, always abstain, where the sample is too small."""
    n = len(conformity)
    rank = marginal_rank(n, alpha) if mode == "marginal" else pac_rank(n, alpha, delta)
    if rank is None:
        return Threshold(alpha, n, None, float("inf"), (1.0, 1.0), 1.0)
    value = float(np.partition(conformity, rank - 1)[rank - 1])
    return Threshold(alpha, n, rank, value, beta_interval(rank, n), rank / (n + 1))


def group_thresholds(
    calibrator: Calibrator, alpha: Fraction, mode: Mode = "marginal", delta: Fraction = Fraction(1, 20)
) -> dict[str, Threshold]:
    """Mondrian: one threshold a group, from that group's outputs alone. Raises LedgerError when an output has no group."""
    table = calibrator.table
    if any(group is None for group in table.groups):
        where = table.groups.index(None)
        raise LedgerError(f"the output {table.ids[where]!r} has no group; group guarantees need one on every output")
    groups = np.array(table.groups)
    return {str(g): find_threshold(calibrator.conformity[groups == g], alpha, mode, delta) for g in sorted(set(table.groups))}  # type: ignore[type-var]


def half_splits(calibrator: Calibrator, alpha: Fraction, splits: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Random halves: the first calibrates, the second is filtered. Means and sds over the splits; evidence of validity."""
    rng = np.random.default_rng(seed)
    n, table = calibrator.table.n_outputs, calibrator.table
    sizes = np.maximum(np.diff(table.offsets), 1)
    half = n // 2
    rank = marginal_rank(half, alpha)
    thresholds, tests = np.empty(splits), np.empty((splits, n - half), dtype=np.int64)
    for i in range(splits):
        order = rng.permutation(n)
        tests[i] = order[half:]
        thresholds[i] = np.inf if rank is None else np.partition(calibrator.conformity[order[:half]], rank - 1)[rank - 1]
    holds, removed = np.empty(splits), np.empty(splits)
    for q in np.unique(thresholds):
        kept = kept_claims(calibrator.scores, float(q), calibrator.comparator)
        ok = calibrator.loss.holds(table, kept, calibrator.truth)
        gone = 1 - table.count(kept) / sizes
        rows = np.flatnonzero(thresholds == q)
        holds[rows], removed[rows] = ok[tests[rows]].mean(axis=1), gone[tests[rows]].mean(axis=1)
    return {
        "splits": splits,
        "factual_mean": float(holds.mean()),
        "factual_sd": float(holds.std()),
        "removed_mean": float(removed.mean()),
    }
