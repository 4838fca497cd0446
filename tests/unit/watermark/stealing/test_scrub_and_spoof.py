"""Scrubbing and spoofing with a perfect and with an empty haul, and the writing beneath them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.unit.watermark.stealing.worlds import VOCABULARY, world
from watermark.attacks.stealing.items import StolenLists
from watermark.attacks.stealing.scrub import scrub, scrub_blindly
from watermark.attacks.stealing.spoof import spoof
from watermark.attacks.stealing.writing import model_alternatives, perplexity, write_texts
from watermark.detection import DetectOptions
from watermark.errors import AttackError, CancelledError


def decisions(made, texts):
    return [made.scheme.detect(text, DetectOptions()).decision == "watermarked" for text in texts]


@pytest.mark.parametrize("kind", ["unigram", "unigram-3"])
def test_the_true_list_scrubs_and_spoofs_everything(kind: str):
    made = world(kind)
    stolen = StolenLists("truth", made.scheme.lists())
    before = made.marked[:20]
    assert np.mean(decisions(made, before)) > 0.9
    after = [scrub(text, stolen, made.model.synonyms_of) for text in before]
    assert not any(decisions(made, [done.tokens for done in after]))
    assert all((done.tokens != text).sum() == done.edits > 0 for done, text in zip(after, before))
    prompts = [text[:8] for text in made.natural[:20]]
    rng = np.random.default_rng(3)
    assert all(decisions(made, spoof(made.model.next_logits, stolen, prompts, 80, rng)))
    assert not any(decisions(made, spoof(made.model.next_logits, None, prompts, 80, rng)))


def test_an_empty_list_edits_nothing():
    made = world("unigram")
    empty = StolenLists("nothing", np.zeros((1, VOCABULARY), dtype=bool))
    done = scrub(made.marked[0], empty, made.model.synonyms_of)
    assert done.edits == 0
    assert (done.tokens == made.marked[0]).all()


def test_edit_budget_and_stuck_tokens():
    made = world("unigram")
    text = made.marked[0]
    everything = StolenLists("all", np.ones((1, VOCABULARY), dtype=bool))
    assert scrub(text, everything, made.model.synonyms_of).edits == 0  # no synonym is free
    truth = StolenLists("truth", made.scheme.lists())
    assert scrub(text, truth, made.model.synonyms_of, 0.1).edits <= len(text) // 10
    with pytest.raises(AttackError, match="edit rate"):
        scrub(text, truth, made.model.synonyms_of, 1.5)


def test_blind_edits_are_as_many():
    made = world("unigram")
    text = made.marked[0]
    assert (scrub_blindly(text, 30, made.model.synonyms_of, np.random.default_rng(0)) != text).sum() == 30


def test_model_alternatives_are_the_likeliest_other_tokens():
    def next_logits(contexts):
        return np.tile(np.arange(10.0), (len(contexts), 1))

    first, second = model_alternatives(next_logits, top=3)(np.array([9, 4, 2]), [0, 1])
    assert first.tolist() == [8, 7, 6]
    assert second.tolist() == [9, 8, 7]


def test_perplexity_of_known_models():
    uniform = perplexity(lambda contexts: np.zeros((len(contexts), 8)), np.arange(8))
    assert uniform == pytest.approx(8.0)

    def certain(contexts):
        logits = np.full((len(contexts), 3), -np.inf)
        logits[:, 1] = 0.0
        return logits

    assert perplexity(certain, np.array([1, 1, 1])) == pytest.approx(1.0)
    assert perplexity(certain, np.array([1, 2, 1])) == math.inf
    with pytest.raises(AttackError, match="prompt"):
        perplexity(certain, np.array([1]))
    assert perplexity(certain, np.array([1]), np.array([0])) == pytest.approx(1.0)


def test_writing_refuses_and_stops():
    with pytest.raises(AttackError, match="shape"):
        write_texts(lambda contexts: np.zeros((1, 2, 3)), [np.array([1])], 3, np.random.default_rng(0))
    with pytest.raises(AttackError, match="no numbers"):
        write_texts(lambda contexts: np.full((1, 2), np.nan), [np.array([1])], 3, np.random.default_rng(0))
    with pytest.raises(AttackError, match="tokens, not 0"):
        write_texts(lambda contexts: np.zeros((1, 2)), [np.array([1])], 0, np.random.default_rng(0))
    with pytest.raises(CancelledError):
        write_texts(lambda contexts: np.zeros((1, 2)), [np.array([1])], 3, np.random.default_rng(0), cancelled=lambda: True)
    with pytest.raises(AttackError, match="strength"):
        spoof(lambda contexts: np.zeros((1, 2)), None, [np.array([1])], 3, np.random.default_rng(0), math.inf)
