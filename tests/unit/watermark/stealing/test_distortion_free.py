"""Keys of EXP and ITS recovered from steered responses, with and without a random offset; forgeries judged by the detector."""

from __future__ import annotations

import numpy as np
import pytest

from watermark.attacks.stealing.distortion_free import recover_exp, recover_its
from watermark.attacks.stealing.shift_key_model import ExpResponder, ItsResponder
from watermark.detection import DetectOptions
from watermark.errors import AttackError
from watermark.families import open_scheme

ROWS, VOCABULARY = 24, 200


def tokens_asked(count: int = 10) -> list[int]:
    return np.random.default_rng(8).permutation(VOCABULARY)[:count].tolist()


def exp_scheme():
    return open_scheme("kuditipudi-library", {"scheme": "EXP", "n": ROWS, "vocab_size": VOCABULARY, "key_seed": 77})


@pytest.mark.parametrize("offset", [False, True])
def test_forged_exp_text_is_taken_for_marked(offset: bool):
    scheme = exp_scheme()
    xi = np.asarray(scheme.key.matrix(), dtype=np.float64)
    asked = tokens_asked()
    found = recover_exp(ExpResponder(xi, offset, seed=3), asked, 2 * ROWS)
    assert found.random_offset is offset
    assert len(found.xi) == ROWS
    forged = scheme.detect(found.forge(40), DetectOptions())
    assert forged.decision == "watermarked"
    rng = np.random.default_rng(0)
    careless = scheme.detect(rng.choice(asked, size=40), DetectOptions())
    assert careless.decision != "watermarked"
    if not offset:
        true_ranks = xi[:, asked].argsort(axis=1).argsort(axis=1) + 1
        assert found.xi * (len(asked) + 1) == pytest.approx(true_ranks)
        assert found.responses == 8 + 45


def test_fixed_offset_needs_no_whole_cycle():
    xi = np.random.default_rng(1).random((500, VOCABULARY))
    found = recover_exp(ExpResponder(xi), tokens_asked(4), 60)
    assert len(found.xi) == 60 and not found.random_offset


@pytest.mark.parametrize("offset", [False, True])
def test_its_order_and_xi_up_to_the_mirror(offset: bool):
    rng = np.random.default_rng(6)
    xi, permutation, asked = rng.random(ROWS), rng.permutation(VOCABULARY), tokens_asked()
    found = recover_its(ItsResponder(xi, permutation, offset, seed=2), asked, 2 * ROWS, bits=7)
    true_order = [int(token) for token in permutation if token in set(asked)]
    mirrored = found.order.tolist() != true_order
    if mirrored:
        assert found.order.tolist() == true_order[::-1]
    guess = 1 - found.xi if mirrored else found.xi
    shifts = range(ROWS) if offset else [0]
    error = min(np.abs(np.roll(xi, -shift) - guess).mean() for shift in shifts)
    assert error < (0.02 if offset else 2**-7)
    assert set(found.forge(30).tolist()) <= set(asked)


def test_what_cannot_be_recovered_is_said():
    rng = np.random.default_rng(2)
    with pytest.raises(AttackError, match="more than 20 rows"):
        recover_exp(ExpResponder(rng.random((200, VOCABULARY)), True), tokens_asked(), 40)
    with pytest.raises(AttackError, match="not asked for"):
        recover_exp(lambda questions: [VOCABULARY + 1] * len(questions), tokens_asked(), 40)
    with pytest.raises(AttackError, match="has 1 tokens"):
        recover_exp(lambda questions: [1], tokens_asked(), 40)
    with pytest.raises(AttackError, match="same answer"):
        recover_exp(lambda questions: [question.first for question in questions], tokens_asked(), 40)
    with pytest.raises(AttackError, match="2 to 256 different"):
        recover_exp(ExpResponder(rng.random((4, 4))), [1, 1], 40)
    with pytest.raises(AttackError, match="16 bits"):
        recover_its(ItsResponder(rng.random(4), rng.permutation(4)), [1, 2], 40, bits=40)


def test_context_hashed_answers_are_refused():
    rng = np.random.default_rng(5)

    def unrelated(questions):
        return [question.first if rng.random() < 0.5 else question.second for question in questions]

    with pytest.raises(AttackError, match="rows"):
        recover_exp(unrelated, tokens_asked(), 60)
