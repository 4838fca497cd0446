"""Ranks, laws, losses and ledgers of the back-off: closed forms, definitions, and what must be refused."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy import stats

from conformal.calibration import Calibrator, find_threshold, group_thresholds
from conformal.claims import ClaimTable, read_ledger
from conformal.errors import GuaranteeError, LedgerError, LevelError
from conformal.labels import LabelPolicy
from conformal.laws import beta_binomial_pmf, beta_cdf, beta_quantile, clopper_pearson
from conformal.levels import marginal_rank, pac_rank, parse_level
from conformal.losses import ALL_TRUE, AtMostFalse, FractionTrue, kept_claims
from conformal.planning import audit_certificate, audit_size
from conformal.published import read_published


def ledger(*outputs: tuple[str, list[tuple[float, str]]], group: str | None = None) -> ClaimTable:
    lines = []
    for identity, claims in outputs:
        record: dict[str, Any] = {"id": identity, "prompt": "p", "output": "o", "group": group}
        record["claims"] = [{"text": "t", "scores": {"s": score}, "label": label} for score, label in claims]
        lines.append(json.dumps(record))
    return read_ledger(lines)


def random_table(rng: np.random.Generator, n: int, ties: bool = False) -> ClaimTable:
    draw = (lambda: float(rng.integers(0, 4))) if ties else (lambda: float(rng.random()))
    return ledger(
        *((str(i), [(draw(), str(rng.choice(["Y", "N"], p=[0.7, 0.3]))) for _ in range(rng.integers(0, 6))]) for i in range(n))
    )


def test_ranks_are_rational() -> None:
    assert marginal_rank(9, parse_level("0.3")) == 7  # in floating point 10 * (1 - 0.7) is above 3
    assert marginal_rank(9, parse_level(0.3)) == 7 and marginal_rank(2, Fraction(1, 3)) == 2
    assert marginal_rank(8, parse_level("0.1")) is None and marginal_rank(9, parse_level("0.1")) == 9
    assert pac_rank(28, parse_level("0.1"), parse_level("0.05")) is None


@pytest.mark.parametrize("value", ["0", "1", "-0.1", "nan", "inf", "1e-2000", "", "1/0", "x", True])
def test_levels_out_of_range_are_refused(value: Any) -> None:
    with pytest.raises(LevelError):
        parse_level(value)


@pytest.mark.parametrize(("k", "n"), [(1, 1), (9, 10), (46, 50), (901, 1000)])
def test_laws_agree_with_scipy(k: int, n: int) -> None:
    law = stats.beta(k, n + 1 - k)
    for x in (0.01, 0.5, 0.9, 0.97):
        assert beta_cdf(k, n, x) == pytest.approx(law.cdf(x), rel=1e-9, abs=1e-14)
    assert beta_quantile(k, n, 0.05) == pytest.approx(law.ppf(0.05), abs=1e-12)
    assert beta_binomial_pmf(40, k, n) == pytest.approx(stats.betabinom(40, k, n + 1 - k).pmf(np.arange(41)), rel=1e-8)
    assert clopper_pearson(3, 20) == pytest.approx(stats.binomtest(3, 20).proportion_ci(0.95), abs=1e-9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("loss", [ALL_TRUE, AtMostFalse(1), FractionTrue.parse("0.6")], ids=lambda loss: loss.name)
def test_conformity_scores_against_the_definition(loss: Any, ties: bool) -> None:
    """r is the highest t at which keeping every claim with score >= t breaks the statement."""
    table = random_table(np.random.default_rng(1), 80, ties)
    scores, truth = table.score("s"), table.truth(LabelPolicy())
    found = loss.conformity(table, scores, truth)
    for i in range(table.n_outputs):
        rows = slice(int(table.offsets[i]), int(table.offsets[i + 1]))
        broken = []
        for t in set(scores[rows].tolist()):
            kept = truth[rows][scores[rows] >= t]
            ok = kept.mean() >= float(loss.least) if isinstance(loss, FractionTrue) else (~kept).sum() <= loss.allowed
            broken += [] if ok else [t]
        assert found[i] == max(broken, default=-np.inf)


@pytest.mark.parametrize("ties", [False, True])
def test_coverage_over_draws(ties: bool) -> None:
    """A slice of the guarantee: P(the statement holds on a fresh output) >= 1 - alpha, ties or not."""
    alpha, held, draws = parse_level("0.2"), 0.0, 120
    for seed in range(draws):
        table = random_table(np.random.default_rng([seed, ties]), 60, ties)
        scores, truth = table.score("s"), table.truth(LabelPolicy())
        conformity = ALL_TRUE.conformity(table, scores, truth)
        threshold = find_threshold(conformity[:30], alpha).value
        held += ALL_TRUE.holds(table, kept_claims(scores, threshold, ">"), truth)[30:].mean() / draws
    assert held >= 0.8 - 3.5 * 0.07 / draws**0.5


def test_ties_and_small_samples_fail_closed() -> None:
    table = ledger(("a", [(1.0, "N")]), ("b", [(1.0, "N")]))
    with pytest.raises(GuaranteeError, match="ties"):
        Calibrator.build(table, table.score("s"), table.truth(LabelPolicy()), ALL_TRUE, ">=")
    built = Calibrator.build(table, table.score("s"), table.truth(LabelPolicy()), ALL_TRUE)
    found = built.threshold(parse_level("0.1"))
    assert found.rank is None and found.value == float("inf") and built.summarise(found.value).retention == 0.0


def test_groups_stand_alone_and_must_be_named() -> None:
    built = Calibrator.build(t := ledger(("a", [(1.0, "N")])), t.score("s"), t.truth(LabelPolicy()), ALL_TRUE)
    with pytest.raises(LedgerError, match="no group"):
        group_thresholds(built, parse_level("0.5"))
    table = ledger(*[(str(i), [(float(i), "N")]) for i in range(12)], group="g")
    built = Calibrator.build(table, table.score("s"), table.truth(LabelPolicy()), ALL_TRUE)
    assert group_thresholds(built, parse_level("0.5"))["g"].value == built.threshold(parse_level("0.5")).value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a", "claims": [{"text": "t", "scores": {"s": 1}, "label": "Y  "}]}', r"line 2, claim 0: the label 'Y  '"),
        ('{"id": "a", "claims": [{"text": "t", "scores": {"s": NaN}, "label": "Y"}]}', "line 2, claim 0, score 's'"),
        ('{"id": "a", "claims": [{"text": "t", "scores": {"s": null}, "label": "Y"}]}', "not a finite number"),
        ('{"id": "first", "claims": []}', "used before"),
        ('{"id": "a", "claims": [{"text": "t", "scores": {}, "label": "Y"}]}', "lacks the score 's'"),
        ('{"id": "a", "claims": [{"text": "t", "scores": {"s": 1}}]}', "no label"),
        ('{"id": "a", "claims": [{"text": "t", "scores": {"s": 1}, "label": "Y", "premises": [0]}]}', "premises"),
        ('{"id": "a", "claims": {}}', "claims must be a list"),
        ('{"id": "a", "claims": [], "extra": 1}', "unknown members"),
        ("[1]", "must be a JSON object"),
        ("{", "not valid JSON"),
    ],
)  # fmt: skip
def test_bad_lines_are_named(line: str, message: str) -> None:
    first = '{"id": "first", "claims": [{"text": "t", "scores": {"s": 1}, "label": "Y"}]}'
    with pytest.raises(LedgerError, match=message):
        read_ledger([first, line])


def test_published_texts_are_data_and_nothing_else() -> None:
    hostile = {"data": [{"prompt": "p", "claims": "__import__('os').system('true')"}]}
    with pytest.raises(LedgerError, match="holds no list"):
        read_published(json.dumps(hostile), "file")


def test_audits_know_how_uncertain_the_vendor_is() -> None:
    """83 % on 200 fresh outputs does not refute 90 % calibrated on 50; 74 % does."""
    assert audit_certificate(166, 200, 50, 46).verdict != "refuted"
    assert audit_certificate(148, 200, 50, 46).verdict == "refuted"
    with pytest.raises(LevelError):
        audit_certificate(5, 4, 50, 46)
    m = audit_size(1000, parse_level("0.1"), 0.05)
    assert audit_certificate(0, m, 1000, 901).power >= 0.8 > audit_certificate(0, m - 20, 1000, 901).power
