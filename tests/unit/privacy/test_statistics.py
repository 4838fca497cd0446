"""Exact statistics against brute force and SciPy, and what they refuse."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.errors import PlanError, PrivacyError, ScoreError
from privacy.statistics import binomial, censored, equivalence, hits, multiplicity, planning, ranking, reveal, scores, validity

BAD = [[math.nan, 1.0], [math.inf, 1.0], [], [[1.0]], ["a"]]
BRIEF = settings(max_examples=25, deadline=None)


@given(st.integers(1, 120), st.data())
@BRIEF
def test_clopper_pearson_is_scipys(n: int, data: st.DataObject) -> None:
    stats = pytest.importorskip("scipy.stats")
    k = data.draw(st.integers(0, n))
    interval = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert binomial.clopper_pearson(k, n) == pytest.approx((interval.low, interval.high), rel=1e-9, abs=1e-12)


@given(st.integers(0, 30), st.integers(0, 30), st.data())
@BRIEF
def test_fisher_is_scipys(trials: int, decoy_trials: int, data: st.DataObject) -> None:
    stats = pytest.importorskip("scipy.stats")
    a, b = data.draw(st.integers(0, trials)), data.draw(st.integers(0, decoy_trials))
    wanted = stats.fisher_exact([[a, trials - a], [b, decoy_trials - b]], alternative="greater").pvalue
    assert binomial.fisher_p_value(a, trials, b, decoy_trials) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("count", [(-1, 3), (4, 3), (0, 10**9)])
def test_impossible_counts(count: tuple[int, int]) -> None:
    with pytest.raises(PlanError):
        binomial.clopper_pearson(*count)


@pytest.mark.parametrize("bad", BAD)
def test_bad_scores_are_refused(bad: list[object]) -> None:
    with pytest.raises(ScoreError):
        ranking.rank_p_value(1.0, bad)  # type: ignore[arg-type]
    with pytest.raises(ScoreError):
        scores.as_scores(bad, "scores")  # type: ignore[arg-type]
    with pytest.raises(ScoreError):
        ranking.item_p_value([0.0], [bad])  # type: ignore[list-item]


def test_nan_target_is_refused() -> None:
    with pytest.raises(ScoreError, match="NaN"):
        ranking.rank_p_value(math.nan, [1.0, 2.0])


def test_messages_hold_no_score() -> None:
    with pytest.raises(ScoreError) as error:
        scores.as_scores([123.456, math.nan], "scores")
    assert "123" not in str(error.value)


def test_ties_count_against_the_accusation() -> None:
    assert ranking.rank_p_value(1.0, [1.0] * 9) == 1.0
    assert ranking.rank_p_value(1.0, [1.0, 0.0, 2.0]) == 3 / 4
    assert ranking.item_p_value([1.0, 1.0], np.ones((2, 9))) == 1.0


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=7))
@BRIEF
def test_rank_p_values_are_exact_over_permutations(values: list[int]) -> None:
    """Whoever of the exchangeable ones is the target: P(p <= a) <= a at every a, ties or not."""
    n = len(values)
    p = [ranking.rank_p_value(float(v), [float(x) for x in values[:i] + values[i + 1 :]]) for i, v in enumerate(values)]
    for a in range(1, n + 1):
        assert sum(x <= a / n + 1e-12 for x in p) <= a


@given(st.integers(0, 2**31), st.booleans())
@BRIEF
def test_templates_are_joined_symmetrically(seed: int, standardise: bool) -> None:
    """Relabelling target and nulls permutes the joined scores and nothing else."""
    everyone = np.random.default_rng(seed).standard_t(2, size=(3, 8)).round(1)
    first, others = scores.join_templates(everyone[:, 0], everyone[:, 1:], standardise)
    order = [3, 0, 1, 2, 4, 5, 6, 7]
    swapped, rest = scores.join_templates(everyone[:, 3], everyone[:, [0, 1, 2, 4, 5, 6, 7]], standardise)
    assert np.allclose(np.array([first, *others])[order], [swapped, *rest])


def test_reference_calibration() -> None:
    assert scores.calibrate([-10.0, -8.0], [-12.0, -8.0], [4, 2]) == pytest.approx([0.5, 0.0])
    for wrong in ([4], [0, 2]):
        with pytest.raises(ScoreError):
            scores.calibrate([-10.0, -8.0], [-12.0, -8.0], wrong)


@given(st.lists(st.integers(2, 4), min_size=1, max_size=3))
@BRIEF
def test_rank_sums_against_enumeration(sizes: list[int]) -> None:
    every = [sum(row) for row in itertools.product(*(range(1, m + 1) for m in sizes))]
    for ranks in itertools.product(*(range(1, m + 1) for m in sizes)):
        wanted = sum(total <= sum(ranks) for total in every) / len(every)
        assert ranking.rank_sum_p_value(list(ranks), sizes) == pytest.approx(wanted, rel=1e-12)


def test_rank_sum_refusals() -> None:
    for ranks, sizes in (([0], 6), ([7], 6), ([], 6), ([1, 1], [6]), ([1], 1)):
        with pytest.raises(ScoreError):
            ranking.rank_sum_p_value(ranks, sizes)
    with pytest.raises(PlanError):
        ranking.rank_sum_p_value([1] * 5000, 1000)


@given(st.lists(st.floats(1e-9, 1), min_size=1, max_size=12))
@BRIEF
def test_corrections_against_their_definitions(p: list[float]) -> None:
    n, adjusted, rate = len(p), multiplicity.holm(p), multiplicity.benjamini_hochberg(p)
    for alpha in (0.01, 0.05, 0.3):
        ordered = sorted(p)
        steps = next((i for i, value in enumerate(ordered) if value * (n - i) > alpha), n)
        assert (adjusted <= alpha).sum() == steps
        found = max((i + 1 for i, value in enumerate(ordered) if value * n / (i + 1) <= alpha), default=0)
        assert (rate <= alpha).sum() == found
    assert (multiplicity.bonferroni(p) >= adjusted).all() and (adjusted >= rate - 1e-15).all()


@pytest.mark.parametrize("p", [[], [0.0], [1.1], [math.nan], [-0.1]])
def test_p_values_out_of_range(p: list[float]) -> None:
    for correction in (multiplicity.holm, multiplicity.benjamini_hochberg, multiplicity.bonferroni):
        with pytest.raises(ScoreError):
            correction(p)


def test_two_levels() -> None:
    found = multiplicity.discover([[0.001, 0.9], [0.5, 0.6], [0.04, 0.04]])
    assert found.subjects == (True, False, False)
    assert found.items == ((True, False), (False, False), (False, False))


@pytest.mark.parametrize(("tests", "nulls"), [(1, 19), (5, 99), (15, 299), (1000, 19_999), (5000, 99_999)])
def test_planning(tests: int, nulls: int) -> None:
    assert planning.nulls_needed(tests) == nulls
    planning.check_nulls(nulls, tests)
    with pytest.raises(PlanError, match=f"at least {nulls}"):
        planning.check_nulls(nulls - 1, tests)


def test_decoys_and_zero_hits() -> None:
    assert [planning.decoys_needed(a) for a in (0.05, 0.01)] == [59, 299]
    assert [planning.zero_hit_trials(x) for x in (0.01, 0.001, 0.0001)] == [299, 2995, 29_956]
    for n in (1, 10, 299):
        assert hits.zero_hit_bound(n) == pytest.approx(1 - 0.05 ** (1 / n))
    assert hits.certified_below(0, 299, 0.01) and not hits.certified_below(0, 298, 0.01)
    assert not hits.certified_below(1, 10**6, 0.01)


def test_decoys_that_leak_leave_no_verdict() -> None:
    gate = validity.DecoyGate(100, 20, 0.05)
    assert gate.refutes and not gate.passes
    for drawn, calibrated in itertools.product((True, False), repeat=2):
        basis = validity.find_basis(drawn, calibrated, gate)
        assert validity.find_verdict(True, basis, gate).word is validity.Word.NO_VERDICT


def test_too_few_decoys_leave_no_verdict() -> None:
    gate = validity.DecoyGate(58, 0, 0.05)
    assert not gate.passes and not gate.refutes and validity.DecoyGate(59, 0, 0.05).passes
    assert validity.find_verdict(True, validity.find_basis(False, True, gate), gate).word is validity.Word.NO_VERDICT


def test_verdict_words() -> None:
    say = validity.find_verdict
    assert str(say(True, validity.Basis.EXACT, None)) == "memorised"
    assert str(say(False, validity.Basis.CALIBRATED, None, 0.123)) == "not detected (leak < 0.123 at 95 %)"
    for rejected in (True, False):
        assert str(say(rejected, validity.find_basis(False, False, None), None, 0.1)) == "association only"


def test_leak_share() -> None:
    assert validity.leak_share_below(20, 20, 6) == 1.0
    assert 0 < validity.leak_share_below(3, 20, 6) < validity.leak_share_below(6, 20, 6) < 1


def test_reveal_costs() -> None:
    assert reveal.expected_queries(math.log(0.01)) == pytest.approx(100)
    assert reveal.expected_queries(-1e4) == math.inf
    gamma = reveal.gamma_below([math.log(0.02), math.log(0.0099), -50.0, -60.0], 100)
    assert (gamma.revealed, gamma.subjects, gamma.share) == (1, 4, 0.25)
    assert gamma.interval == binomial.clopper_pearson(1, 4)
    for bad in (math.nan, 0.5, -math.inf):
        with pytest.raises(ScoreError):
            reveal.expected_queries(bad)


@given(st.floats(1e-6, 0.99), st.floats(0.01, 0.99))
@BRIEF
def test_extraction(q: float, p: float) -> None:
    n = reveal.samples_to_extract(q, p)
    assert reveal.extraction_probability(q, int(n)) >= p - 1e-9
    assert n == 1 or reveal.extraction_probability(q, int(n) - 1) < p + 1e-9
    assert reveal.is_extractable(q, int(n) + 1, p)


def test_extraction_ends() -> None:
    assert reveal.samples_to_extract(0.0, 0.5) == math.inf and reveal.samples_to_extract(1.0, 0.5) == 1
    assert reveal.extraction_strength([False] * 20) == 0.0
    assert reveal.extraction_strength([True, True]) == 1.0
    assert reveal.extraction_strength([False, False, False, True]) == 0.25


@given(st.integers(0, 20))
@BRIEF
def test_exposure_relation(better: int) -> None:
    others = [1.0] * better + [-1.0] * (20 - better)
    value, p = reveal.exposure(0.0, others)
    assert value == pytest.approx(-math.log2(p) + math.log2(20 / 21))
    assert reveal.exposure(1.0, [1.0] * 20)[1] == 1.0


@given(st.lists(st.tuples(st.floats(-30, 0), st.floats(0, 3)), min_size=1, max_size=20), st.floats(-30, 0), st.floats(0, 3))
@BRIEF
def test_censored_p_values_hold_the_true_one(nulls: list[tuple[float, float]], low: float, width: float) -> None:
    lows, highs = np.array([n[0] for n in nulls]), np.array([sum(n) for n in nulls])
    interval = censored.censored_p_value((low, low + width), lows, highs)
    for share in (0.0, 0.3, 1.0):
        for own in (0.0, 0.6, 1.0):
            p = ranking.rank_p_value(low + own * width, lows + share * (highs - lows))
            assert interval.p_min <= p <= interval.p_max


def test_censored_tokens() -> None:
    assert censored.missing_token_bound(np.log([0.5, 0.3])) == pytest.approx(math.log(0.2))
    assert censored.missing_token_bound(np.log([0.3, 0.1])) == pytest.approx(math.log(0.1))
    assert censored.missing_token_bound([0.0]) == -math.inf
    for bad in (np.log([0.9, 0.9]), [math.nan], []):
        with pytest.raises(ScoreError):
            censored.missing_token_bound(bad)
    for low, high in ((0.0, -1.0), (math.nan, 0.0), (0.0, math.inf)):
        with pytest.raises(ScoreError):
            censored.censored_p_value((low, high), [0.0], [0.0])


def test_hit_monitor() -> None:
    leak = hits.HitMonitor(0.01, 0.15)
    assert [leak.update(True) for _ in range(2)] == [False, True]
    assert leak.p_value == pytest.approx((0.01 / 0.15) ** 2)
    clean = hits.HitMonitor(0.05, 0.001)
    while not clean.update(False):
        pass
    assert 59 <= clean.samples <= 63
    clean.update(True)
    assert clean.rejected, "what was shown stays shown"
    for wrong in ((0.1, 0.1), (0.0, 0.1), (0.1, 1.0)):
        with pytest.raises(PlanError):
            hits.HitMonitor(*wrong)


def test_tiny_samples_are_inconclusive() -> None:
    for n in range(1, equivalence.MIN_ENTITIES):
        assert equivalence.paired_equivalence([0.5] * n, [0.5] * n, 0.1).outcome is equivalence.Outcome.INCONCLUSIVE
        assert equivalence.unpaired_equivalence([0.5] * n, [0.5] * n, 0.1).outcome is equivalence.Outcome.INCONCLUSIVE


def test_equivalence_outcomes() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    a, noise = rng.normal(size=60), rng.normal(0, 0.1, 60)
    found = equivalence.paired_equivalence(a + noise, a, 0.2)
    wanted = stats.ttest_rel(a + noise, a).confidence_interval(0.9)
    assert found.interval == pytest.approx((wanted.low, wanted.high)) and found.outcome is equivalence.Outcome.EQUIVALENT
    assert equivalence.paired_equivalence(a + noise + 1, a, 0.2).outcome is equivalence.Outcome.DIFFERENT
    unpaired = equivalence.unpaired_equivalence(a, a + 0.1, 0.2)
    wanted = stats.ttest_ind(a, a + 0.1, equal_var=False).confidence_interval(0.9)
    assert unpaired.interval == pytest.approx((wanted.low, wanted.high)) and unpaired.outcome is equivalence.Outcome.INCONCLUSIVE
    with pytest.raises(ScoreError):
        equivalence.paired_equivalence(a, a[:-1], 0.2)
    with pytest.raises(PrivacyError):
        equivalence.paired_equivalence(a, a, 0.0)


def test_entities_are_averaged_first() -> None:
    assert equivalence.entity_means([1.0, 3.0, 5.0], ["a", "a", "b"]) == {"a": 2.0, "b": 5.0}
    with pytest.raises(ScoreError):
        equivalence.entity_means([1.0], ["a", "b"])
