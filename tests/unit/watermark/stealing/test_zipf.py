"""The synthetic model is a function of meanings, and samples what its logits say."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.watermark.stealing.worlds import green_list, unigram, world
from watermark.attacks.stealing.truth import draw_contexts, rule_of
from watermark.attacks.stealing.zipf import FixedLists, ZipfModel
from watermark.errors import AttackError


def test_logits_are_log_probabilities_and_repeat():
    model = ZipfModel(vocab_size=400, local=8)
    contexts = [np.array([3, 1, 4, 1, 5]), np.array([9, 2, 6]), np.array([], dtype=np.int64)]
    logits = model.next_logits(contexts)
    assert logits.shape == (3, 400)
    assert np.exp(logits.astype(float)).sum(axis=1) == pytest.approx(np.ones(3), abs=1e-4)
    assert (logits == model.next_logits(contexts)).all()
    assert not (model.next_logits(contexts[:1]) == ZipfModel(vocab_size=400, local=8, salt=1).next_logits(contexts[:1])).all()


def test_sampling_follows_the_logits():
    model = ZipfModel(vocab_size=400, floor=1e-9)
    rng = np.random.default_rng(0)
    context = np.array([[7, 8, 9, 10]] * 20_000)
    ids, logits = model.next_candidates(context)
    drawn = ids[np.arange(len(ids)), np.argmax(logits - np.log(rng.standard_exponential(logits.shape)), axis=1)]
    expected = np.exp(model.next_logits([context[0]])[0].astype(float))
    seen = np.bincount(drawn, minlength=400) / len(drawn)
    assert np.abs(seen - expected).max() < 5 * np.sqrt(0.25 / len(drawn))


def test_synonyms_change_nothing_that_follows():
    model = ZipfModel(vocab_size=400)
    text = np.array([40, 41, 80, 7])
    (others,) = model.synonyms_of(text, [3])
    assert sorted(others.tolist()) == [4, 5, 6]
    assert (model.next_logits([text]) == model.next_logits([np.append(text[:3], others[0])])).all()


def test_frequent_meanings_are_frequent():
    counts = np.bincount(np.concatenate(ZipfModel(vocab_size=400).natural(300, 50, np.random.default_rng(1))), minlength=400)
    assert counts[:40].sum() > 5 * counts[-40:].sum() > 0


@pytest.mark.parametrize("kind", ["unigram", "unigram-3", "lefthash", "selfhash"])
def test_marked_texts_are_what_the_detector_calls_green(kind: str):
    made = world(kind, texts=60, length=60)
    marked = np.mean([made.scheme.green_mask(text).mean() for text in made.marked])
    natural = np.mean([made.scheme.green_mask(text).mean() for text in made.natural])
    assert marked > 0.45
    assert natural < 0.35


@pytest.mark.parametrize("seeding", ["lefthash", "minhash", "selfhash"])
def test_rules_equal_the_scheme(seeding: str):
    scheme = green_list(seeding, 300)
    rule = rule_of(scheme)
    text = np.random.default_rng(2).integers(0, 300, size=80)
    width = rule.context_width
    contexts = np.stack([text[at - width : at] for at in range(width, 80)])
    zeros = np.zeros(len(contexts), dtype=np.int64)
    mine = rule.green(contexts, text[width:, None], zeros)[:, 0]
    assert (mine == scheme.green_mask(text)[: len(mine)]).all()
    assert (mine == rule.green(contexts, text[width:, None], zeros)[:, 0]).all()


def test_contexts_come_from_texts():
    texts = [np.arange(10), np.arange(100, 103)]
    drawn = draw_contexts(texts, 3, 50, np.random.default_rng(0))
    assert drawn.shape == (50, 3)
    assert (np.diff(drawn, axis=1) == 1).all()
    with pytest.raises(AttackError, match="no text has 11 tokens"):
        draw_contexts(texts, 11, 1, np.random.default_rng(0))


def test_refusals():
    with pytest.raises(AttackError, match="multiples"):
        ZipfModel(vocab_size=401)
    with pytest.raises(AttackError, match="order"):
        ZipfModel(vocab_size=400, order=9)
    with pytest.raises(AttackError, match="texts"):
        ZipfModel(vocab_size=400).natural(-1, 10, np.random.default_rng(0))
    with pytest.raises(AttackError, match="no green list"):
        rule_of(object())  # type: ignore[arg-type]
    assert FixedLists(unigram().lists()).num_keys == 1
