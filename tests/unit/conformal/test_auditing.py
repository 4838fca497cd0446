"""Third-party audits: what is refused, what the counts mean, and that bets hold at every stopping time."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformal.auditing import audit_outputs, statement_holds
from conformal.betting import SHORTFALLS, BettingAudit, bet
from conformal.certificate import Certificate
from conformal.errors import CertificateError, GuaranteeError, LedgerError, LevelError
from conformal.filtering import filter_outputs
from conformal.issuing import issue, make_promise
from conformal.laws import beta_binomial_pmf
from conformal.losses import ALL_TRUE, FractionTrue
from tests.unit.conformal.crossing import crossing_probability
from tests.unit.conformal.vendors import COMPONENTS, ISSUED, NOW, records, table

FRESH = table(records(1, 300, "fresh"))
BAD = table(records(2, 150, "bad", drift=1.4))


def vendor(n: int = 200, loss: Any = ALL_TRUE, alpha: str = "1/10", **mode: Any) -> Certificate:
    return issue(make_promise("s", loss, Fraction(alpha), **mode), table(records(0, n)), components=COMPONENTS, issued=ISSUED)


def test_honest_vendors_pass_and_bad_ones_do_not() -> None:
    made = vendor()
    for sequential in (False, True):
        good = audit_outputs(made, FRESH, COMPONENTS, NOW, sequential=sequential)
        bad = audit_outputs(made, BAD, COMPONENTS, NOW, sequential=sequential)
        assert good.verdict == "consistent" and bad.verdict == "refuted"
        assert good.groups[0].test.covered == int(statement_holds(made, FRESH).sum())
    few = table(records(1, 5, "fresh"))
    assert audit_outputs(made, few, COMPONENTS, NOW).verdict == "not-enough-data"
    assert audit_outputs(made, few, COMPONENTS, NOW, sequential=True).verdict == "not-enough-data"


@pytest.mark.parametrize("loss", [ALL_TRUE, FractionTrue(Fraction(3, 5))], ids=lambda loss: loss.name)
def test_the_audit_judges_what_the_filter_keeps(loss: Any) -> None:
    made, outputs = vendor(loss=loss, by_group=True), records(1, 80, "fresh")
    kept = filter_outputs(made, outputs, COMPONENTS, NOW).outputs
    held = statement_holds(made, table(outputs))
    for output, found, right in zip(outputs, kept, held):
        truth = [output["claims"][claim.index]["label"] == "Y" for claim in found.kept]
        assert right == (all(truth) if loss is ALL_TRUE else sum(truth) * 5 >= len(truth) * 3)


def test_calibration_outputs_are_no_evidence() -> None:
    made = vendor()
    with pytest.raises(GuaranteeError, match="one of the calibration outputs"):
        audit_outputs(made, table(records(0, 200)), COMPONENTS, NOW)
    disguised = {**records(0, 200)[17], "id": "new", "claims": records(1, 1, "fresh")[0]["claims"]}
    with pytest.raises(GuaranteeError, match="one of the calibration outputs"):
        audit_outputs(made, table([*records(1, 150, "fresh"), disguised]), COMPONENTS, NOW)
    twice = [*records(1, 20, "fresh"), {**records(1, 1, "fresh")[0], "id": "again"}]
    with pytest.raises(GuaranteeError, match="twice"):
        audit_outputs(made, table(twice), COMPONENTS, NOW)


def test_what_does_not_belong_together_is_refused() -> None:
    made = vendor()
    for name in ("model", "prompt", "splitter", "scorer"):
        with pytest.raises(CertificateError, match=name):
            audit_outputs(made, FRESH, {**COMPONENTS, name: "f" * 64}, NOW)
    assert audit_outputs(made, FRESH, {**COMPONENTS, "labeller": "f" * 64}, NOW).verdict == "consistent"
    with pytest.raises(CertificateError, match="not now"):
        audit_outputs(made, FRESH, COMPONENTS, NOW.replace(year=2027))
    unlabelled = [{**o, "claims": [{"text": "t", "scores": {"s": 1.0}}]} for o in records(1, 5, "fresh")]
    with pytest.raises(LedgerError, match="label"):
        audit_outputs(made, table(unlabelled), COMPONENTS, NOW)
    with pytest.raises(GuaranteeError, match="nothing to audit"):
        audit_outputs(vendor(n=5), FRESH, COMPONENTS, NOW)
    for level, shortfall in ((0.0, 0.05), (0.05, 1.0), (float("nan"), 0.05)):
        with pytest.raises(GuaranteeError):
            audit_outputs(made, FRESH, COMPONENTS, NOW, level=level, shortfall=shortfall)


def test_groups_are_corrected_and_foreign_ones_skipped() -> None:
    made = vendor(by_group=True)
    foreign = [{**output, "group": "z"} for output in records(3, 30, "foreign")]
    mixed = table([*records(1, 150, "fresh"), *foreign])
    found = audit_outputs(made, mixed, COMPONENTS, NOW)
    assert found.skipped["unknown-group"] == 30 and sum(group.test.m for group in found.groups) == 150
    one_bad = [o for o in records(1, 150, "fresh") if o["group"] == "a"] + [
        o for o in records(2, 150, "bad", 1.4) if o["group"] == "b"
    ]
    found = audit_outputs(made, table(one_bad), COMPONENTS, NOW)
    verdicts = {group.group: group.test.verdict for group in found.groups}
    assert verdicts["b"] == "refuted" and verdicts["a"] != "refuted" and found.verdict == "refuted"
    assert min(group.level for group in found.groups) == pytest.approx(0.025)
    with pytest.raises(GuaranteeError, match="nothing to audit"):
        audit_outputs(made, table(foreign), COMPONENTS, NOW)


def test_the_wealth_is_a_martingale_that_grows_with_errors() -> None:
    """Mean exactly 1 over all label sequences of an honest vendor, and monotone in the number of wrong labels."""
    n, rank, m = 20, 18, 7
    mean, by_count = 0.0, {}
    for labels in itertools.product([True, False], repeat=m):
        right = sum(labels)
        audit = BettingAudit(n, rank)
        for label in labels:
            audit.add(label)
        wealth = math.exp(audit.log_wealth_against())
        mean += wealth * float(beta_binomial_pmf(m, rank, n)[right]) / math.comb(m, right)
        by_count[m - right] = wealth
    assert mean == pytest.approx(1.0, abs=1e-9)
    ordered = [by_count[wrong] for wrong in range(m + 1)]
    assert ordered == sorted(ordered) and ordered[0] < 1 < ordered[-1]


@pytest.mark.parametrize(("n", "rank"), [(20, 18), (50, 46), (200, 181), (1000, 901), (100, 96)])
def test_refuting_an_honest_vendor_stays_below_the_level_at_every_time(n: int, rank: int) -> None:
    """The exact probability that the wealth ever reaches 20 within 400 labels, by dynamic programming."""
    assert 0.001 < crossing_probability(n, rank, 400, 0.05) <= 0.05


def test_bets_decide_early_and_for_good() -> None:
    rng = np.random.default_rng(0)
    bad = bet(rng.random(1000) < 0.75, 1000, 901)
    good = bet(rng.random(1000) < 0.93, 1000, 901)
    assert bad.verdict == "refuted" and bad.stopped_at is not None and bad.stopped_at < 200
    assert good.verdict == "consistent" and good.stopped_at is not None and good.stopped_at < 400
    assert bet([False] * 60 + [True] * 5000, 200, 181).verdict == "refuted"
    assert bet([], 200, 181).verdict == "not-enough-data" and bet([False] * 5, 1, 1, shortfall=0.6).p_value <= 1
    assert max(SHORTFALLS) < 1
    for bad_arguments in ((10, 0), (10, 11), (0, 0)):
        with pytest.raises(LevelError):
            BettingAudit(*bad_arguments)


def test_labels_below_the_floor_of_the_design_are_flagged_and_those_above_are_not() -> None:
    """83 % right is within the luck of a calibration on 50; 74 % is not, neither at once nor label by label."""
    labels = np.random.default_rng(4).permutation([True] * 166 + [False] * 34)
    assert bet(labels, 50, 46).verdict != "refuted"
    assert bet(np.random.default_rng(4).permutation([True] * 110 + [False] * 90), 50, 46).verdict == "refuted"
