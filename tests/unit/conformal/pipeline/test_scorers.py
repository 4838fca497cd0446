"""Every scorer against what it must give on texts small enough to know, and what it does when something is missing."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from conformal.claims import read_ledger
from conformal.pipeline.errors import MissingCapabilityError, PipelineError
from conformal.pipeline.model import Answer
from conformal.pipeline.scorers.derived import DerivedScorer, combined_scorer, fitted_scorer
from conformal.pipeline.scorers.frequency import FrequencyScorer
from conformal.pipeline.scorers.judges import EmbeddingJudge, EntailmentJudge, PromptedJudge
from conformal.pipeline.scorers.logprob import LogprobScorer
from conformal.pipeline.scorers.p_true import PTrueScorer
from conformal.pipeline.scorers.position import PositionScorer
from conformal.pipeline.scorers.prompted_entailment import PromptedEntailment
from conformal.pipeline.scorers.random import RandomScorer
from conformal.pipeline.scorers.sar import SarScorer, TokenSarScorer, token_relevance
from conformal.pipeline.scorers.scorer import ScoreError, Task, check_needs, checked
from conformal.pipeline.scorers.semantic_entropy import SemanticEntropyScorer, cluster_meanings
from conformal.pipeline.splitters.claim import Claim
from conformal.scores.fitting import fit_score
from tests.unit.conformal.pipeline.models import EqualityEntailment, ScriptedModel, WordEmbedder, json_after

CLAIMS = (Claim("Rome is old."), Claim("Paris is big."))


def task(*samples: str | None, claims: tuple[Claim, ...] = CLAIMS) -> Task:
    return Task("a", "Tell me.", "text", claims, tuple(None if s is None else Answer(s) for s in samples))


def judgement(prompt: str, decoding: Any) -> str:
    text, claims = json_after(prompt, "Text"), json_after(prompt, "Claims")
    rows = [{"claim": i, "support": 1 if claim in text else -1 if "not" in text else 0} for i, claim in enumerate(claims)]
    return "\n".join(map(json.dumps, rows))


SAMPLES = ("Rome is old. Paris is big.", "Rome is old.", "Rome is not old. Paris is not big.")


def test_frequency_by_a_model() -> None:
    scorer = FrequencyScorer(PromptedJudge(ScriptedModel({"support": judgement})))
    assert scorer.name == "frequency-llm" and scorer.score(task(*SAMPLES)) == [1.0, 0.0]


def test_frequency_by_entailment() -> None:
    assert FrequencyScorer(EntailmentJudge(EqualityEntailment())).score(task(*SAMPLES)) == [1.0, 0.0]


def test_a_long_sample_is_judged_by_its_sentences() -> None:
    judge = EntailmentJudge(EqualityEntailment(longest=20))
    assert judge.judge(SAMPLES[0], ["Rome is old.", "Paris is big.", "Oslo is cold."]) == [1.0, 1.0, 0.0]
    assert judge.judge(SAMPLES[2], ["Rome is old."]) == [-1.0]
    assert judge.judge("Rome is a very old city of stone.", ["Rome is old."]) == [None]
    assert judge.judge("Oslo is cold. Rome is a very old city of stone.", ["Rome is old."]) == [None]


def test_frequency_by_vectors() -> None:
    found = FrequencyScorer(EmbeddingJudge(WordEmbedder())).score(task("Old is Rome. Oslo is cold.", "Rome is old."))
    assert found[0] == pytest.approx(2.0) and found[1] is not None and found[1] < 1.0


@pytest.mark.parametrize("reply", ["no JSON", "", '{"claim": 0, "support": 1}', "{}" * 300_000])
def test_a_judge_that_answers_garbage_leaves_no_score(reply: str) -> None:
    scorer = FrequencyScorer(PromptedJudge(ScriptedModel({"support": lambda prompt, decoding: reply})))
    assert scorer.score(task("Rome is old.")) == [None, None]


def test_one_bad_judgement_spoils_the_sum() -> None:
    def sometimes(prompt: str, decoding: Any) -> str:
        return "?" if "not" in json_after(prompt, "Text") else judgement(prompt, decoding)

    assert FrequencyScorer(PromptedJudge(ScriptedModel({"support": sometimes}))).score(task(*SAMPLES)) == [None, None]


@pytest.mark.parametrize("samples", [(), ("Rome is old.", None)])
def test_missing_samples_are_not_counted_as_silence(samples: tuple[str | None, ...]) -> None:
    for scorer in (FrequencyScorer(EntailmentJudge(EqualityEntailment())), SemanticEntropyScorer(EqualityEntailment())):
        with pytest.raises(ScoreError, match="missing"):
            scorer.score(task(*samples))


def test_p_true_by_continuations_and_by_first_tokens() -> None:
    class Sure(ScriptedModel):
        def score_texts(self, prompt: str, texts: Any, pieces: bool = False) -> Any:
            assert texts == ["A", "B"]
            from conformal.pipeline.model import ScoredText

            return [ScoredText((-0.1,)), ScoredText((-2.3,))]

    expected = math.exp(-0.1) / (math.exp(-0.1) + math.exp(-2.3))
    assert PTrueScorer(Sure({})).score(task()) == pytest.approx([expected] * 2)
    remote = ScriptedModel({}, prompt_logprobs=False)
    assert PTrueScorer(remote).score(task()) == pytest.approx([1 / (1 + math.exp(-1.0))] * 2)


@pytest.mark.parametrize(
    ("tokens", "score"),
    [
        ({"A": -0.1, "x": -4.0}, 1 / (1 + math.exp(-3.9))),
        ({"B": -0.1, "x": -4.0}, 0.0),
        ({"x": -0.1}, None),
        ({}, None),
        ({" A": math.log(0.3), "(A": math.log(0.3), "B": math.log(0.2)}, 0.75),
    ],
)
def test_p_true_never_gains_by_what_it_is_not_told(tokens: dict[str, float], score: float | None) -> None:
    class Told(ScriptedModel):
        def first_tokens(self, prompts: Any) -> Any:
            return [tokens for _ in prompts]

    (found,) = PTrueScorer(Told({}, prompt_logprobs=False)).score(task(claims=CLAIMS[:1]))
    assert found == pytest.approx(score) if score is not None else found is None


def test_logprob_is_a_mean() -> None:
    model = ScriptedModel({})
    assert LogprobScorer(model).score(task()) == pytest.approx([-(5 + 3 + 4) / 30, -(6 + 3 + 4) / 30])
    assert LogprobScorer(model).score(task(claims=(Claim(" "),))) == [None]


def test_token_relevance_is_what_leaving_a_token_out_loses() -> None:
    embedder, pieces = WordEmbedder(), ("Rome ", "is ", "old.", "!")
    found = token_relevance(embedder, "", pieces)
    full = embedder.embed(["Rome is old.!"])[0]
    lost = [1 - float(embedder.embed(["".join(pieces[:i] + pieces[i + 1 :])])[0] @ full) for i in range(4)]
    np.testing.assert_allclose(found, np.array(lost) / sum(lost), atol=1e-12)
    assert found[3] == pytest.approx(0.0, abs=1e-9) and found.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(token_relevance(embedder, "", ("!", "?")), [0.5, 0.5])


def test_token_sar_weighs_surprise_by_relevance() -> None:
    model, embedder = ScriptedModel({}), WordEmbedder()
    weights = token_relevance(embedder, "Tell me.", ("Rome ", "is ", "old."))
    (found,) = TokenSarScorer(model, embedder).score(task(claims=CLAIMS[:1]))
    assert found == pytest.approx(-float(weights @ np.array([0.5, 0.3, 0.4])))


def test_sar_by_the_formula() -> None:
    model, embedder = ScriptedModel({}), WordEmbedder()
    samples = ("Rome is old.", "Paris is big.")
    found = SarScorer(model, embedder).score(task(*samples))
    tokens = TokenSarScorer(model, embedder)
    likely = [math.exp(score or 0.0) for score in tokens.score(task())]
    likeness = np.clip(embedder.embed(list(samples)) @ embedder.embed([c.text for c in CLAIMS]).T, 0, 1)
    expected = [math.log(likely[i] + sum(likeness[i][j] * likely[j] for j in range(2)) / 1e-3) for i in range(2)]
    assert found == pytest.approx(expected)
    alone = SarScorer(model, embedder).score(task("zebra", "quagga"))
    assert alone[0] is not None and found[0] is not None and alone[0] < found[0]


def test_semantic_entropy_of_known_clusters() -> None:
    scorer = SemanticEntropyScorer(EqualityEntailment())
    assert scorer.score(task("a", "a", "a")) == [0.0, 0.0]
    assert scorer.score(task("a", "a", "b", "b")) == pytest.approx([-math.log(2)] * 2)
    assert scorer.score(task("a", "b", "c")) == pytest.approx([-math.log(3)] * 2)
    assert cluster_meanings(EqualityEntailment(), ["a b", "a", "a b"]) == [[0, 2], [1]], (
        "entailment one way is not the same meaning"
    )
    with pytest.raises(ScoreError):
        SemanticEntropyScorer(EqualityEntailment(longest=1)).score(task("aaa", "bbb"))


def test_entailment_by_prompt() -> None:
    found = PromptedEntailment(ScriptedModel({"support": judgement})).verdicts([("a b", "a"), ("c", "a"), ("not c", "a")])
    assert found == ["entails", "neutral", "contradicts"]
    assert PromptedEntailment(ScriptedModel({"support": lambda prompt, decoding: "?"})).verdicts([("a", "b")]) == [None]


def test_position_and_random() -> None:
    assert PositionScorer().score(task()) == [2.0, 1.0]
    many = task(claims=tuple(Claim(str(i)) for i in range(2_000)))
    drawn = np.array(RandomScorer(7).score(many), dtype=float)
    assert drawn.tolist() == RandomScorer(7).score(many) != RandomScorer(8).score(many)
    assert len(set(drawn)) == 2_000 and abs(drawn.mean() - 0.5) < 0.03 and abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.1


def test_capabilities_are_asked_for_before_work() -> None:
    model = ScriptedModel({}, prompt_logprobs=False, top_logprobs=0)
    judge = EntailmentJudge(EqualityEntailment())
    with pytest.raises(MissingCapabilityError, match="logprob needs log-probabilities of a given text, which scripted"):
        check_needs([LogprobScorer(model)], model.facts(), 5)
    with pytest.raises(MissingCapabilityError, match="p-true"):
        check_needs([PTrueScorer(model)], model.facts(), 5)
    with pytest.raises(MissingCapabilityError, match="samples"):
        check_needs([FrequencyScorer(judge)], model.facts(), 0)
    with pytest.raises(PipelineError, match="twice"):
        check_needs([PositionScorer(), PositionScorer()], model.facts(), 0)
    check_needs([PTrueScorer(model)], ScriptedModel({}, prompt_logprobs=False).facts(), 0)


def test_scores_that_are_no_numbers_are_none() -> None:
    assert checked([math.nan, 1], task(), "x") == [None, 1.0] and checked([math.inf, None], task(), "x") == [None, None]
    with pytest.raises(ScoreError, match="1 scores for 2"):
        checked([1.0], task(), "x")


def scored(**scores: list[float | None]) -> Task:
    return Task("a", "Tell me of towns that are old.", "Rome is old. Paris is big.", CLAIMS, (), scores)


def test_combinations_of_scores_before() -> None:
    first, second = PositionScorer(), RandomScorer(1)
    both = combined_scorer("position+random", [first, second])
    assert both.score(scored(position=[2.0, 1.0], random=[0.25, 0.5])) == [2.25, 1.5]
    assert combined_scorer("rank(random)", [second]).score(scored(random=[0.25, 0.5])) == [0.5, 1.0]
    assert both.describe()["inputs"] == {"position": first.describe(), "random": second.describe()}
    with pytest.raises(ScoreError, match="claim 1 has no score random"):
        both.score(scored(position=[2.0, 1.0], random=[0.25, None]))


@pytest.mark.parametrize("expression", ["position+none", "position~3", "random:3", "none", "rank(none)", "position+random:3"])
def test_combinations_that_one_output_does_not_have(expression: str) -> None:
    with pytest.raises(PipelineError):
        combined_scorer(expression, [PositionScorer(), RandomScorer(1)])


def test_a_fitted_score_is_the_same_output_by_output() -> None:
    rng = np.random.default_rng(0)
    lines = []
    for i in range(60):
        values = rng.random((3, 2)).tolist()
        claims = [
            {"text": f"claim {k}", "scores": {"a": a, "b": b}, "label": "Y" if a > 0.4 else "N"}
            for k, (a, b) in enumerate(values)
        ]
        lines.append(json.dumps({"id": str(i), "prompt": "tell me of number " + str(i), "output": "x" * 40, "claims": claims}))
    table = read_ledger(lines)
    fitted = fit_score(table.select(np.arange(40)), ["a", "b"], "logistic", Fraction(1, 10))
    inputs = [DerivedScorer(name, [], {}, lambda table: np.zeros(0)) for name in ("a", "b")]
    scorer = fitted_scorer(fitted, inputs)
    assert scorer.name == f"fitted-{fitted.digest[:12]}"
    whole = fitted(table)
    for i in range(40, 60):
        span = slice(3 * i, 3 * i + 3)
        texts = tuple(Claim(f"claim {k}") for k in range(3))
        task = Task(str(i), "q", "o", texts, (), {name: table.scores[name][span].tolist() for name in ("a", "b")})
        assert scorer.score(task) == whole[span].tolist()
    with pytest.raises(PipelineError, match="scored first"):
        fitted_scorer(fitted, inputs[:1])
