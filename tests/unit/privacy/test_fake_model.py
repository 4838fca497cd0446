"""The stand-in for a model keeps the protocol's promises; the tests of probes rest on it."""

from __future__ import annotations

import math

import pytest

from privacy.errors import ModelAccessError
from privacy.probes.model import Access, Decoding, ProbedModel
from tests.unit.privacy.fake_model import VOCAB, FakeModel

CONTEXT, VALUE = "The phone of Mara Quillfold is", "212-555-0142"


def test_scores_are_log_probabilities_of_one_law() -> None:
    model: ProbedModel = FakeModel(top_k=VOCAB).plant_fact("Mara Quillfold", VALUE, 0.5)
    prompt, candidate = model.tokenize(CONTEXT), model.tokenize(" " + VALUE)
    listed = model.next_tokens([[*prompt, *candidate[:j]] for j in range(len(candidate))])
    assert all(sum(map(math.exp, law.values())) == pytest.approx(1) for law in listed)
    scores = model.score_candidates([prompt], [[candidate]])[0][0]
    assert scores == pytest.approx([law[token] for law, token in zip(listed, candidate)])
    assert model.score([[*prompt, *candidate]])[0][len(prompt) - 1 :] == pytest.approx(scores)


def test_planted_values_are_likely_and_only_beside_their_key() -> None:
    model = FakeModel().plant_fact("Mara Quillfold", VALUE, 0.9)
    nulls = [f"212-555-01{i:02}" for i in range(100) if i != 42]

    def rank(context: str) -> int:
        found = model.score_candidates([model.tokenize(context)], [[model.tokenize(f" {v}") for v in (VALUE, *nulls)]])[0]
        own, *others = map(sum, found)
        return 1 + sum(other >= own for other in others)

    assert rank(CONTEXT) == 1 and rank("The phone of Odo Brackmere is") > 1
    assert model.write([CONTEXT + " "], 1, Decoding(len(VALUE), 0.0)) == [[VALUE]]


def test_planted_texts_are_continued() -> None:
    text = "In the year of the long winter the ferry stood still for eleven weeks."
    model = FakeModel().plant_text(text, 0.97)
    (written,) = model.write_tokens([model.tokenize(text[:30])], Decoding(len(text) - 30, 0.0))
    assert model.detokenize(written) == text[30:]


def test_less_access_is_refused() -> None:
    model = FakeModel(access=Access.TEXT)
    with pytest.raises(ModelAccessError):
        model.score([[1, 2]])
    with pytest.raises(ModelAccessError):
        model.next_tokens([[1]])
    samples = model.write(["a"], 3, Decoding(5, 1.0, top_p=0.9, top_k=20, seed=1))[0]
    assert len(set(samples)) > 1 and samples == FakeModel().write(["a"], 3, Decoding(5, 1.0, top_p=0.9, top_k=20, seed=1))[0]
