"""Conformal risk control against its definition, in exact arithmetic, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformal.calibration import find_threshold
from conformal.claims import ClaimTable
from conformal.errors import LedgerError, LevelError
from conformal.labels import LabelPolicy
from conformal.levels import parse_level
from conformal.losses import ALL_TRUE, AtMostFalse, FractionTrue
from conformal.risk import LossCurves, check_feasibility, control_risk, least_withheld, measure_risk
from conformal.risk_losses import Broken, FalseCount, FalseFraction, OmissionWeighted, Prefixes, SeverityWeighted
from tests.unit.conformal.test_back_off import ledger, random_table

OMISSION = Fraction(1, 10)


def drawn(seed: int, n: int = 60, ties: bool = False) -> tuple[ClaimTable, Any, Any]:
    table = random_table(np.random.default_rng(seed), n, ties)
    return table, table.score("s"), table.truth(LabelPolicy())


def severities(table: ClaimTable) -> tuple[int, ...]:
    return tuple(int(v) for v in np.random.default_rng(0).integers(0, 5, table.n_claims))


def losses(table: ClaimTable) -> list[Any]:
    return [
        FalseFraction(),
        FalseCount(2),
        OmissionWeighted(OMISSION),
        SeverityWeighted(severities(table)),
        Broken(AtMostFalse(1)),
    ]


def loss_by_hand(loss: Any, table: ClaimTable, scores: Any, truth: Any, output: int, threshold: float) -> Fraction:
    rows = range(int(table.offsets[output]), int(table.offsets[output + 1]))
    kept = [i for i in rows if scores[i] > threshold]
    false = sum(not truth[i] for i in kept)
    if isinstance(loss, FalseFraction):
        return Fraction(false, max(1, len(kept)))
    if isinstance(loss, FalseCount):
        return Fraction(min(false, loss.cap))
    if isinstance(loss, OmissionWeighted):
        dropped = sum(bool(truth[i]) for i in rows) - sum(bool(truth[i]) for i in kept)
        return (false + loss.weight * dropped) / max(1, len(rows))
    if isinstance(loss, SeverityWeighted):
        weight = sum(loss.severities[i] for i in rows)
        return Fraction(sum(loss.severities[i] for i in kept if not truth[i]), max(1, weight))
    return Fraction(false > loss.loss.allowed)


def envelope_by_hand(loss: Any, table: ClaimTable, scores: Any, truth: Any, output: int, threshold: float) -> Fraction:
    higher = [threshold, *(float(s) for s in scores if s > threshold)]
    return max(loss_by_hand(loss, table, scores, truth, output, t) for t in higher)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("index", range(5))
def test_losses_and_thresholds_against_the_definition(index: int, ties: bool) -> None:
    table, scores, truth = drawn(index, 18, ties)
    loss, alpha = losses(table)[index], Fraction(2, 10)
    curves, plain = LossCurves(loss, table, scores, truth), LossCurves(loss, table, scores, truth, envelope=False)
    satisfied = []
    for threshold in curves.candidates.tolist():
        by_hand = [envelope_by_hand(loss, table, scores, truth, i, threshold) for i in range(table.n_outputs)]
        assert curves.total(threshold) == sum(by_hand)
        assert plain.total(threshold) == sum(
            loss_by_hand(loss, table, scores, truth, i, threshold) for i in range(table.n_outputs)
        )
        if (sum(by_hand) + loss.bound) / (table.n_outputs + 1) <= alpha:
            satisfied.append(threshold)
    found = control_risk(loss, table, scores, truth, alpha)
    assert found.value == (min(satisfied) if satisfied else math.inf)
    assert found.abstains_always or found.controlled <= alpha


@pytest.mark.parametrize("loss", [ALL_TRUE, AtMostFalse(1), FractionTrue.parse("0.6")], ids=lambda loss: loss.name)
@pytest.mark.parametrize("alpha", ["0.1", "0.2", "1/3"])
def test_a_broken_statement_gives_the_conformal_threshold(loss: Any, alpha: str) -> None:
    table, scores, truth = drawn(3, 70)
    level = parse_level(alpha)
    expected = find_threshold(loss.conformity(table, scores, truth), level).value
    assert control_risk(Broken(loss), table, scores, truth, level).value == expected


def test_the_condition_is_exact() -> None:
    """19 outputs, 13 of them wrong: 19/20 of 13/19, and 1/20, make 0.7, but more in floating point."""
    assert 19 / 20 * (13 / 19) + 1 / 20 > 0.7
    table = ledger(*((str(i), [(float(i), "N" if i < 13 else "Y")]) for i in range(19)))
    found = control_risk(FalseFraction(), table, table.score("s"), table.truth(LabelPolicy()), parse_level("0.7"))
    assert found.value == -math.inf and found.controlled == Fraction(7, 10)


def test_feasibility_before_labels() -> None:
    assert check_feasibility(9, Fraction(1, 10), FalseFraction()).feasible
    short = check_feasibility(8, Fraction(1, 10), FalseFraction())
    assert not short.feasible and short.smallest_n == 9 and "withheld" in short.reason
    assert check_feasibility(0, Fraction(1, 2), FalseCount(3)).smallest_n == 5
    assert least_withheld(Fraction(1, 2), Fraction(1, 10)) == Fraction(4, 9) and least_withheld(Fraction(0), Fraction(1, 10)) == 0


def test_too_few_labels_always_abstain() -> None:
    table, scores, truth = drawn(1, 8)
    found = control_risk(FalseFraction(), table, scores, truth, Fraction(1, 10))
    assert found.abstains_always and found.value == math.inf
    assert found.to_json()["value"] == "Infinity" and found.to_json()["alpha"] == "1/10"


def test_a_level_that_keeping_nothing_breaks_is_refused() -> None:
    table, scores, truth = drawn(1)
    with pytest.raises(LevelError, match="keeping nothing"):
        control_risk(OmissionWeighted(Fraction(1, 5)), table, scores, truth, Fraction(1, 10))


def test_control_falls_with_the_level_and_holds_where_it_was_set() -> None:
    table, scores, truth = drawn(5, 300)
    levels = [Fraction(i, 20) for i in range(1, 12)]
    found = [control_risk(FalseFraction(), table, scores, truth, level) for level in levels]
    assert [f.value for f in found] == sorted((f.value for f in found), reverse=True) and found[0].value > found[-1].value
    for one in found:
        assert measure_risk(FalseFraction(), table, scores, truth, one.value) <= one.empirical


@dataclass(frozen=True)
class Wrong(FalseFraction):
    top: int = 3
    below: int = 1

    def ratios(self, prefixes: Prefixes) -> Any:
        shape = len(prefixes.owners)
        return np.full(shape, self.top), np.full(shape, self.below)


@pytest.mark.parametrize(("top", "below"), [(3, 1), (1, 0), (-1, 1), (1, 1 << 26)])
def test_losses_that_are_no_bounded_ratio_are_refused(top: int, below: int) -> None:
    table, scores, truth = drawn(1, 30)
    with pytest.raises(LedgerError):
        control_risk(Wrong(top=top, below=below), table, scores, truth, Fraction(1, 10))


def test_bad_tables_and_settings_are_refused() -> None:
    table, scores, truth = drawn(1, 30)
    empty = replace(table, ids=(), offsets=np.zeros(1, dtype=np.int64))
    nan = scores.copy()
    nan[0] = np.nan
    for arguments in ((table, nan, truth), (table, scores[1:], truth), (empty, scores[:0], truth[:0])):
        with pytest.raises(LedgerError):
            control_risk(FalseFraction(), *arguments, Fraction(1, 10))
    with pytest.raises(LedgerError):
        control_risk(SeverityWeighted((1, 2)), table, scores, truth, Fraction(1, 10))
    for make in (
        lambda: FalseCount(0), lambda: SeverityWeighted((-1,)), lambda: SeverityWeighted((True,)),
        lambda: OmissionWeighted(Fraction(0)), lambda: OmissionWeighted(Fraction(3, 2)),
        lambda: check_feasibility(-1, Fraction(1, 10), FalseFraction()), lambda: least_withheld(Fraction(2), Fraction(1, 10)),
    ):  # fmt: skip
        with pytest.raises(LevelError):
            make()
