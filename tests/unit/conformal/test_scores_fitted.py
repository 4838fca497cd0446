"""Fitted scores: what they were fitted on is refused, the same input gives the same score, and bad input has a name."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformal.claims import ClaimTable
from conformal.errors import GuaranteeError, LedgerError
from conformal.labels import LabelPolicy
from conformal.losses import ALL_TRUE, FractionTrue
from conformal.scores.boosting import Goal, climb
from conformal.scores.comparison import Split, compare_scores
from conformal.scores.features import FeatureMap
from conformal.scores.fitted import FittedScore
from conformal.scores.fitting import METHODS, Method, fit_score
from conformal.scores.likelihood import fit_isotonic, fit_logistic
from tests.unit.conformal.score_tables import scored_table

ALPHA = Fraction(1, 5)
INPUTS = ("good", "fair")


@pytest.fixture(scope="module")
def fitted() -> dict[Method, FittedScore]:
    table = scored_table(80, seed=1, prefix="fit")
    return {method: fit_score(table, INPUTS, method, ALPHA) for method in METHODS}


@pytest.mark.parametrize("method", METHODS)
def test_outputs_that_were_fitted_on_cannot_calibrate(fitted: dict[Method, FittedScore], method: Method) -> None:
    seen, fresh = scored_table(80, seed=1, prefix="fit"), scored_table(40, seed=2, prefix="new")
    assert fitted[method].for_calibration(fresh).shape == (fresh.n_claims,)
    with pytest.raises(GuaranteeError, match="fitted on the output 'fit7'"):
        fitted[method].for_calibration(seen.select(np.array([7])))
    part = seen.select(np.array([9, 3]))
    with pytest.raises(GuaranteeError):  # whatever scores were added since
        fitted[method].check_fresh(replace(part, scores={**part.scores, "later": np.zeros(part.n_claims)}))
    rows = fitted[method].fresh_rows(seen)
    assert len(rows) == 0 and len(fitted[method].fresh_rows(fresh)) == fresh.n_outputs


def test_bare_arrays_are_known_by_their_values_not_their_numbers() -> None:
    table = scored_table(80, seed=1, texts=False)
    score = fit_score(table, INPUTS, "logistic")
    renamed = replace(table, ids=tuple(f"other{i}" for i in range(80)))
    with pytest.raises(GuaranteeError):
        score.check_fresh(renamed)
    score.check_fresh(scored_table(40, seed=2, texts=False))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_table_and_seed_give_the_same_score_and_json_keeps_it(fitted: dict[Method, FittedScore], method: Method) -> None:
    again = fit_score(scored_table(80, seed=1, prefix="fit"), INPUTS, method, ALPHA)
    assert again.digest == fitted[method].digest
    fresh = scored_table(40, seed=2)
    read = FittedScore.from_json(json.loads(json.dumps(again.to_json())))
    assert read.digest == again.digest and np.array_equal(read(fresh), again(fresh))


@pytest.mark.parametrize("method", METHODS)
def test_a_claim_is_scored_by_its_own_output_alone(fitted: dict[Method, FittedScore], method: Method) -> None:
    fresh = scored_table(40, seed=2)
    alone = fresh.select(np.array([5]))
    assert np.array_equal(fitted[method](fresh)[fresh.offsets[5] : fresh.offsets[6]], fitted[method](alone))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("inputs", [("good",), ("flat", "good"), ("fair", "flat")], ids="-".join)
def test_one_input_constant_inputs_and_ties(method: Method, inputs: tuple[str, ...]) -> None:
    score = fit_score(scored_table(60, seed=3, prefix="fit"), inputs, method, ALPHA)
    values = score.for_calibration(fresh := scored_table(40, seed=4))
    assert np.isfinite(values).all()
    truth = fresh.truth(LabelPolicy())
    assert values[truth].mean() > values[~truth].mean()


@pytest.mark.parametrize("method", METHODS)
def test_a_score_that_is_not_a_number_is_refused(fitted: dict[Method, FittedScore], method: Method) -> None:
    table = scored_table(60, seed=5)
    spoilt = table.scores["good"].copy()
    spoilt[table.offsets[4]] = np.nan
    bad = replace(table, scores={**table.scores, "good": spoilt})
    for use in (lambda: fit_score(bad, INPUTS, method, ALPHA), lambda: fitted[method](bad)):
        with pytest.raises(LedgerError, match=r"output '4', claim 0: .*not a finite number"):
            use()


def test_what_cannot_be_fitted_on_is_named() -> None:
    table = scored_table(60, seed=6)
    cases: list[tuple[ClaimTable, tuple[str, ...], str]] = [
        (replace(table, labels=("Y",) * table.n_claims), INPUTS, "one kind only"),
        (replace(table, labels=None), INPUTS, "without a label"),
        (table.select(np.arange(5)), INPUTS, "needs at least"),
        (table, (), "1 to 16 different scores"),
        (table, ("good", "good"), "different scores"),
        (table, ("missing",), "no score 'missing'"),
    ]
    for bad, inputs, message in cases:
        with pytest.raises(LedgerError, match=message):
            fit_score(bad, inputs, "boosted", ALPHA)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"}, {"kind": "tree"}, {"weights": [1.0]}, {"weights": [float("nan")] * 2}, {"inputs": []},
        {"fitted_on": []}, {"fitted_on": ["x" * 64]}, {"scale": [0.0, 1.0]}, {"centre": None}, {"features": "all"},
        {"input_curves": [{"x": [1.0, 1.0], "y": [0.0, 1.0]}] * 2}, {"input_curves": [{"x": [], "y": []}] * 2}, {"settings": 1},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_malformed_documents_are_refused(fitted: dict[Method, FittedScore], change: dict[str, Any]) -> None:
    with pytest.raises(LedgerError):
        FittedScore.from_json({**fitted["logistic"].to_json(), **change})


def test_logistic_weights_are_the_stationary_point() -> None:
    table = scored_table(60, seed=7)
    features, truth = FeatureMap.fit(table, INPUTS, "context")(table), table.truth(LabelPolicy())
    from sklearn.linear_model import LogisticRegression

    reference = LogisticRegression(C=0.1, tol=1e-8, max_iter=2000).fit(features, truth)
    assert fit_logistic(features, truth, ridge=10.0) == pytest.approx(reference.coef_[0], abs=1e-4)


def test_isotonic_log_odds_never_fall_and_follow_the_labels() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    curve = fit_isotonic(values, np.array([False, True, False, False, True, True]))
    found = curve(values)
    assert (np.diff(found) >= 0).all() and found[0] < 0 < found[-1]


@pytest.mark.parametrize("loss", [ALL_TRUE, FractionTrue.parse("0.9")], ids=lambda loss: loss.name)
def test_climbing_keeps_more_where_it_climbed(loss: Any) -> None:
    table = scored_table(300, seed=8)
    truth, goal = table.truth(LabelPolicy()), Goal(loss, ALPHA, "outputs")
    features = FeatureMap.fit(table, INPUTS, "sized")(table)
    start = np.array([0.0, 1.0, 0.0])  # the coarser score alone
    climbed = climb(table, features, truth, goal, start, pull=0.0, steps=200)
    assert goal.kept(table, truth, features @ climbed) > goal.kept(table, truth, features @ start) + 0.02


def test_every_score_is_tested_on_the_same_fresh_outputs() -> None:
    table = scored_table(400, seed=9)
    kept = compare_scores(table, ["good", "fair", "flat"], [ALPHA], methods=["logistic"], splits=6, shares=(0.2, 0.5))
    by_name = {row.score: row for row in kept}
    assert by_name["logistic"].retention > by_name["good"].retention > by_name["flat"].retention == 0.0
    assert all(row.holds >= 1 - ALPHA - 0.06 for row in kept) and by_name["flat"].empty == 1.0
    for shares in ((0.0, 0.5), (0.5, 0.5), (0.9, 0.2)):
        with pytest.raises(LedgerError):
            Split.draw(400, 0, *shares)


def test_an_output_that_comes_back_in_another_part_is_a_leak() -> None:
    table = scored_table(40, seed=10, texts=False)
    twice = table.select(np.concatenate([np.arange(40), np.arange(40)]))
    twice = replace(twice, ids=tuple(str(i) for i in range(80)))
    with pytest.raises(GuaranteeError, match="was fitted on"):
        compare_scores(twice, ["good"], [ALPHA], methods=["logistic"], shares=(0.3, 0.4))
