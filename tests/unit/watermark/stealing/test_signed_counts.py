"""Signed counts: the score, the attack's own estimate of its precision, several lists."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.watermark.stealing.worlds import VOCABULARY, world
from watermark.attacks.stealing.items import ItemTexts, ListClasses
from watermark.attacks.stealing.signed_counts import fit_mixture, signed_scores, steal_by_counts
from watermark.errors import AttackError


def test_score_is_the_published_one_for_equal_collections():
    marked, natural = np.array([9, 0, 4, 0]), np.array([0, 9, 4, 0])
    assert signed_scores(marked, natural) == pytest.approx([3.0, -3.0, 0.0, 0.0])
    # a third of the texts is marked: 3 of 9 is what is expected
    assert signed_scores(np.array([3, 9]), np.array([6, 0]), 1 / 3) == pytest.approx([0.0, 6 / np.sqrt(2)])


def test_mixture_finds_its_own_parameters():
    rng = np.random.default_rng(3)
    total, green = rng.integers(5, 60, size=4000), rng.random(4000) < 0.25
    marked = rng.binomial(total, np.where(green, 0.7, 0.4))
    found = fit_mixture(marked, total - marked, 0.5, 0.25)
    assert (found.green, found.red, found.weight) == pytest.approx((0.7, 0.4, 0.25), abs=0.02)
    assert found.posterior(marked, total).mean() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("kind,lists", [("unigram", 1), ("unigram-3", 3)])
def test_calls_are_green_and_the_estimate_says_so(kind: str, lists: int):
    made = world(kind)
    truth = made.scheme.lists()
    few = 0
    for threshold, least in ((1.0, 0.75), (2.0, 0.96), (3.0, 0.99)):
        stolen = steal_by_counts(made.marked, made.natural, VOCABULARY, ListClasses(lists), threshold)
        called = int(stolen.masks.sum())
        precision = truth[stolen.masks].mean()
        assert precision >= least
        assert stolen.estimated_precision == pytest.approx(precision, abs=0.06)
        assert called > 50
        assert not few or called < few
        few = called


def test_unequal_collections():
    made = world("unigram")
    stolen = steal_by_counts(made.marked[:200], made.natural, VOCABULARY)
    assert made.scheme.lists()[stolen.masks].mean() > 0.9


def test_nothing_is_called_where_nothing_differs():
    made = world("unigram")
    stolen = steal_by_counts(made.natural[:300], made.natural[:300], VOCABULARY)
    assert stolen.masks.sum() == 0
    assert stolen.estimated_precision is None
    assert stolen.boosts([np.array([1])]).sum() == 0


def test_items_of_several_lists():
    text = np.array([3, 5, 3, 5, 4])
    assert ListClasses(1).items(text, 10).tolist() == text.tolist()
    assert ListClasses(3).items(text, 10).tolist() == [5, 23, 5, 24]
    texts = ItemTexts.of([text], [text], 10, ListClasses(3))
    assert texts.marked[0].tolist() == [5, 23, 24]
    assert texts.counts()[0].sum() == 3


def test_refusals():
    text = [np.array([1, 2, 3])]
    with pytest.raises(AttackError, match="empty"):
        steal_by_counts([], text, 10)
    with pytest.raises(AttackError, match="outside the vocabulary"):
        steal_by_counts(text, text, 3)
    with pytest.raises(AttackError, match="finite"):
        steal_by_counts(text, text, 10, threshold=float("nan"))
    with pytest.raises(AttackError, match="number of green lists"):
        ListClasses(0)
