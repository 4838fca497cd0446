"""Scores of annotated medical claims under one guarantee: the boosted score keeps more than the best single one."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest

from conformal.arrays import read_arrays
from conformal.claims import ClaimTable
from conformal.scores.comparison import Kept, compare_scores
from conformal.scores.fitting import METHODS
from tests.data.folder import data_folder

pytestmark = pytest.mark.data
FILE = data_folder() / "conformal" / "medlfqa.npz"
EXPECTED = FILE.with_name("expected.json")
if not FILE.is_file():
    pytest.skip(f"no conformal data under {data_folder()}; set ASSAY_DATA to run these tests", allow_module_level=True)
ALPHA = Fraction(1, 10)


def medical() -> tuple[ClaimTable, list[str], list[str]]:
    """The table, its scores and everything compared: as they stand, and with noise of a thousandth."""
    table = read_arrays(FILE)
    inputs = sorted(table.scores)
    noise = np.random.default_rng(0).uniform(0, 1e-3, size=table.n_claims)
    jittered = {f"{name}, jitter": table.scores[name] + noise for name in inputs}
    widened = ClaimTable(table.ids, table.offsets, {**table.scores, **jittered}, table.labels, table.groups)
    return widened, inputs, [*inputs, *jittered, "frequencies~1", "selfevals~1", "position", "random:1"]


def best_single(kept: list[Kept]) -> Kept:
    return max((row for row in kept if row.score not in METHODS), key=lambda row: row.retention)


def assert_same_guarantee(kept: list[Kept]) -> None:
    """The statement holds at the level for every score (ties only raise it), up to the noise of one split's two parts."""
    noise = 4 * (0.09 / (0.27 * 4805) + 0.09 / (0.63 * 4805)) ** 0.5
    for row in kept:
        assert row.holds >= 1 - float(ALPHA) - noise


def test_boosting_keeps_more_than_the_best_single_score() -> None:
    table, inputs, compared = medical()
    kept = compare_scores(table, compared, [ALPHA], ["boosted"], splits=2, inputs=inputs)
    assert_same_guarantee(kept)
    assert next(row for row in kept if row.score == "boosted").retention > best_single(kept).retention


@pytest.mark.slow
def test_boosting_keeps_more_over_thirty_splits() -> None:
    table, inputs, compared = medical()
    kept = compare_scores(table, compared, [ALPHA], splits=30, inputs=inputs)
    assert_same_guarantee(kept)
    by_name, best = {row.score: row for row in kept}, best_single(kept)
    gains = np.array(by_name["boosted"].each) - np.array(best.each)
    assert gains.mean() > 0.01 and (gains > 0).mean() >= 0.8
    assert by_name["boosted"].claims > best.claims and by_name["boosted"].empty < best.empty


def test_noise_of_a_thousandth_costs_a_third_of_the_best_score() -> None:
    """The figures known for these claims carry that noise, which breaks ties; the log-probability has none to break."""
    table, _, compared = medical()
    kept = {row.score: row for row in compare_scores(table, compared, [ALPHA], methods=[], splits=30)}
    known = {entry["score"]: entry for entry in json.loads(EXPECTED.read_text(encoding="utf-8"))["medlfqa"]["tables"]}
    for name in ("logprobs", "frequencies", "selfevals"):
        wanted = known[name]["random_70_30_splits_100"]["ALL"]["marginal"]
        assert kept[f"{name}, jitter"].retention == pytest.approx(wanted["kept"], abs=0.02)
        assert kept[f"{name}, jitter"].empty == pytest.approx(wanted["empty"], abs=0.02)
    assert kept["logprobs, jitter"].retention < 0.75 * kept["logprobs"].retention
