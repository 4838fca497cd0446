"""Relearning trains a copy and leaves the model as it was; moments of the vocabulary are those of the full distribution."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.runners.probed_model import RunnerModel
from audit.runners.transformers_runner import TransformersRunner
from privacy.errors import ModelAccessError, PlanError
from privacy.probes.relearning import relearn
from privacy.probes.unlearning_plan import Relearning
from tests.unit.privacy.fake_model import FakeModel
from tests.unit.watermark.small_tokenizer import train_tokenizer

torch = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")
TEXTS = [tuple((7 * i + 13 * j) % 300 for j in range(6 + i)) for i in range(5)]
BUDGET = Relearning(steps=30, rate=3e-3, batch=3, seed=4)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads for matrices of this size wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> TransformersRunner:
    folder: Path = tmp_path_factory.mktemp("model")
    train_tokenizer(folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}')
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    model = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(3)  # a model that is sure of something
    model.save_pretrained(folder)
    return TransformersRunner(folder, device="cpu", batch=4)


def loss(model: Any) -> float:
    return -float(np.mean([np.mean(row) for row in model.score(TEXTS)]))


def test_a_copy_learns_and_the_model_stays(runner: TransformersRunner) -> None:
    model = RunnerModel(runner)
    before, files = loss(model), runner.attestation()
    weights = [parameter.clone() for parameter in runner.network().parameters()]
    tuned = relearn(model, TEXTS, BUDGET)
    assert loss(tuned) < 0.7 * before
    assert loss(model) == pytest.approx(before, abs=1e-4), "the model itself has not learnt"
    assert all(torch.equal(a, b) for a, b in zip(weights, runner.network().parameters()))
    assert not any(parameter.grad is not None for parameter in runner.network().parameters())
    assert tuned.facts().digest is None and tuned.facts().name.endswith("tuned")
    assert runner.attestation() == files
    prompt, candidate = TEXTS[4][:4], TEXTS[4][4:]
    plain = tuned.score([TEXTS[4]])[0][3:]
    assert tuned.score_candidates([prompt], [[candidate]])[0][0] == pytest.approx(plain, abs=1e-4)


def test_the_same_budget_gives_the_same_copy(runner: TransformersRunner) -> None:
    first, again, other = (
        loss(relearn(RunnerModel(runner), TEXTS, budget)) for budget in (BUDGET, BUDGET, Relearning(steps=5, rate=3e-3, batch=3))
    )
    assert first == pytest.approx(again, abs=1e-3) and other > first + 0.1


def test_refusals(runner: TransformersRunner) -> None:
    with pytest.raises(ModelAccessError, match="in process"):
        relearn(FakeModel(), TEXTS, BUDGET)
    for texts in ([], [(1,)]):
        with pytest.raises(PlanError):
            relearn(RunnerModel(runner), texts, BUDGET)


def test_moments_of_the_vocabulary(runner: TransformersRunner) -> None:
    found = RunnerModel(runner).token_moments([TEXTS[0], TEXTS[3]])
    assert [len(row) for row in found] == [len(TEXTS[0]) - 1, len(TEXTS[3]) - 1]
    logs = runner.next_token_logprobs([TEXTS[3][:4]])[0]
    mean = float((np.exp(logs) * logs).sum())
    deviation = float(np.sqrt((np.exp(logs) * (logs - mean) ** 2).sum()))
    assert found[1][3] == pytest.approx((mean, deviation), abs=1e-4)
