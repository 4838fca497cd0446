"""The transformers runner on the tiny model: what it writes, scores and attests, and what it says when something is wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audit.errors import CancelledError
from audit.runners.opening import local_folder, open_runner
from audit.runners.protocol import Generation, Prompt, RunnerError, Sampling
from tests import tiny_model

torch = pytest.importorskip("torch")

from audit.runners.transformers_runner import TransformersRunner  # noqa: E402

TEXTS = ("The", "A class definition", "If the object", "Note:", "x", "The value of the expression is")
PROMPTS = [Prompt(text=text) for text in TEXTS]
SAMPLED = Sampling(max_new_tokens=24, seed=3, top_p=0.95, top_k=200, top_logprobs=3)


@pytest.fixture
def runner() -> TransformersRunner:
    return tiny_model.runner()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model.folder(), tmp_path / "model"))


def assert_same_texts(found: Sequence[Generation], expected: Sequence[Generation]) -> None:
    """All but one at most: another batch rounds otherwise, and of a million draws one lies on the edge of another token."""
    differing = [i for i, (one, two) in enumerate(zip(found, expected, strict=True)) if one.token_ids != two.token_ids]
    assert len(differing) <= 1, differing


def test_text_does_not_depend_on_batches(runner: TransformersRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    together = runner.generate(PROMPTS, SAMPLED)
    for size in (1, 4):
        monkeypatch.setattr(runner, "batch", size)
        assert_same_texts(runner.generate(PROMPTS, SAMPLED), together)
    assert together[0].text == runner.detokenize(together[0].token_ids or ())
    other = runner.generate(PROMPTS, Sampling(max_new_tokens=24, seed=4))
    assert all(a.token_ids != b.token_ids for a, b in zip(together, other, strict=True))
    twice = runner.generate([PROMPTS[0]] * 2, SAMPLED)
    assert twice[0].token_ids != twice[1].token_ids


def test_scores_are_the_log_probabilities_of_generation(runner: TransformersRunner) -> None:
    answers = runner.generate(PROMPTS, SAMPLED)
    rows = [runner.tokenize(text) + (answer.token_ids or ()) for text, answer in zip(TEXTS, answers, strict=True)]
    for row, answer, score in zip(rows, answers, runner.score(rows), strict=True):
        assert len(score) == len(row) - 1
        np.testing.assert_allclose(score[-24:], answer.logprobs, atol=1e-4)
        assert all(
            len(entry) == 3 and max(entry.values()) >= own - 1e-6 for entry, own in zip(answer.top_logprobs, answer.logprobs)
        )


def test_next_token_distribution(runner: TransformersRunner) -> None:
    rows = [runner.tokenize(text) for text in TEXTS]
    logs = runner.next_token_logprobs(rows)
    assert logs.shape == (len(rows), runner.vocab_size) and logs.dtype == np.float64
    np.testing.assert_allclose(np.exp(logs).sum(axis=1), 1.0, atol=1e-9)
    scores = runner.score([(*row, 300) for row in rows])
    np.testing.assert_allclose(logs[:, 300], [score[-1] for score in scores], atol=1e-4)
    assert runner.next_token_logprobs([]).shape == (0, runner.vocab_size)


def test_greedy_is_that_of_transformers(runner: TransformersRunner) -> None:
    ids = runner.tokenize(TEXTS[1])
    expected = runner._model.generate(torch.tensor([ids]), max_new_tokens=16, do_sample=False, pad_token_id=0)[0, len(ids) :]
    answer = runner.generate([PROMPTS[1]], Sampling(max_new_tokens=16, temperature=0.0))[0]
    assert list(answer.token_ids or ()) == expected.tolist()


class Recorder:
    """A mark that allows a row nothing but the token its seed names."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, tuple[int, ...]]] = []
        self.seeds: list[Sequence[int]] = []

    def logits_processor(self, prompt_length: int, seeds: Sequence[int]) -> Any:
        self.seeds.append(seeds)

        def process(ids: Any, scores: Any) -> Any:
            self.calls.append((prompt_length, tuple(ids.shape)))
            assert ids.shape[0] == scores.shape[0] == len(seeds)
            only = torch.full_like(scores, -torch.inf)
            only[torch.arange(len(seeds)), torch.tensor([300 + seed % 100 for seed in seeds])] = 0.0
            return only

        return process


def test_mark_sees_rows_in_place_and_decides(runner: TransformersRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "batch", 4)
    mark = Recorder()
    answers = runner.generate(PROMPTS, Sampling(max_new_tokens=3, seed=9, mark=mark))
    seeds = [seed for part in mark.seeds for seed in part]
    assert [answer.token_ids for answer in answers] == [(300 + seed % 100,) * 3 for seed in seeds]
    width = max(len(runner.tokenize(text)) for text in TEXTS[:4])
    assert mark.calls[:3] == [(width, (4, width + step)) for step in range(3)]


def test_cancel_within_one_step_and_progress(runner: TransformersRunner) -> None:
    asked, told = [], []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 5

    with pytest.raises(CancelledError):
        runner.generate(PROMPTS, Sampling(max_new_tokens=500), cancelled=cancelled)
    assert len(asked) == 6
    with pytest.raises(CancelledError):
        runner.score([(1, 2)], cancelled=lambda: True)
    runner.generate(PROMPTS[:2], Sampling(max_new_tokens=1), lambda fraction, message: told.append(fraction))
    assert told == [1.0]


def test_batch_is_halved_when_memory_ends(runner: TransformersRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, expected = runner._generate_batch, runner.generate(PROMPTS, SAMPLED)
    sizes = []

    def small_machine(rows: Any, *rest: Any) -> Any:
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("no")
        return whole(rows, *rest)

    monkeypatch.setattr(runner, "_generate_batch", small_machine)
    assert_same_texts(runner.generate(PROMPTS, SAMPLED), expected)
    assert sizes == [6, 3, 2, 2, 2]
    monkeypatch.setattr(runner, "_generate_batch", lambda *rest: (_ for _ in ()).throw(MemoryError()))
    with pytest.raises(RunnerError, match="memory"):
        runner.generate(PROMPTS, SAMPLED)


@pytest.mark.parametrize(
    ("prompt", "sampling", "message"),
    [
        (Prompt(), Sampling(1), "either a text or token ids"),
        (Prompt(text="a", token_ids=(1,)), Sampling(1), "either a text or token ids"),
        (Prompt(token_ids=(5_000,)), Sampling(1), "outside the model's vocabulary"),
        (Prompt(token_ids=(-1,)), Sampling(1), "outside the model's vocabulary"),
        (Prompt(token_ids=(1,) * 1_000), Sampling(25), "context of 1024"),
        (Prompt(text="\ud800"), Sampling(1), "surrogates"),
        (Prompt(text="a"), Sampling(1, temperature=-1.0), "temperature"),
    ],
)
def test_bad_requests_are_named(runner: TransformersRunner, prompt: Prompt, sampling: Sampling, message: str) -> None:
    with pytest.raises(RunnerError, match=message):
        runner.generate([prompt], sampling)


def test_bad_sequences_are_named(runner: TransformersRunner) -> None:
    with pytest.raises(RunnerError, match="context"):
        runner.score([(1,) * 1_025])
    with pytest.raises(RunnerError, match="vocabulary"):
        runner.next_token_logprobs([(1, 2_048)])
    with pytest.raises(RunnerError, match="vocabulary"):
        runner.detokenize([1 << 40])
    assert runner.score([(7,), ()]) == [(), ()]
    assert runner.generate([], SAMPLED) == []


SIZES = {"vocab_size": 2100, "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0, "eos_token_id": 0}
ARCHITECTURES = {
    "learned positions, weights in shards": ("GPT2Config", {"vocab_size": 2100, "n_embd": 32, "n_layer": 2, "n_head": 4}),
    "sliding window": ("MistralConfig", {**SIZES, "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 8}),
    "no key-value cache": ("MambaConfig", {**SIZES, "state_size": 8}),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures(copy: Path, name: str) -> None:
    """Untrained models of other kinds: left padding changes no text, and generation and scores agree."""
    import transformers

    kind, options = ARCHITECTURES[name]
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, kind)(**options))
    (copy / "model.safetensors").unlink()
    model.save_pretrained(copy, max_shard_size="100KB" if "shards" in name else "1GB")
    runner = TransformersRunner(copy, device="cpu")
    together = runner.generate(PROMPTS, SAMPLED)
    rows = [runner.tokenize(text) + (answer.token_ids or ()) for text, answer in zip(TEXTS, together, strict=True)]
    for answer, score in zip(together, runner.score(rows), strict=True):
        np.testing.assert_allclose(score[-len(answer.token_ids or ()) :], answer.logprobs, atol=1e-4)
    runner.batch = 1
    assert_same_texts(runner.generate(PROMPTS, SAMPLED), together)
    assert sum(file.endswith(".safetensors") for file in runner.attestation().files) > ("shards" in name)


def test_attestation_digests_what_was_loaded(copy: Path) -> None:
    (copy / "README.md").write_text("not loaded")
    runner = TransformersRunner(copy, device="cpu", dtype="bfloat16")
    found = runner.attestation()
    assert found.files["model.safetensors"] == hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()
    assert set(found.files) >= {"config.json", "model.safetensors", "tokenizer.json"} and "README.md" not in found.files
    assert found.dtype == "bfloat16" and found.device == "cpu" and "torch" in found.versions
    assert found.model_digest == tiny_model.runner().attestation().model_digest
    runner.close()
    with pytest.raises(RunnerError, match="closed"):
        runner.generate(PROMPTS, SAMPLED)


def test_files_changed_after_loading_are_not_attested(copy: Path) -> None:
    runner = TransformersRunner(copy, device="cpu")
    config = copy / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(RunnerError, match="changed since it was loaded"):
        runner.attestation()


def _without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _indexed(name: str) -> Any:
    def change(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"w": name}}))

    return change


def _foreign_code(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config"}}))
    (folder / "mine.py").write_text("raise SystemExit('code of the model was run')")


def _damaged(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without("config.json"), "no config.json"),
        (_without("tokenizer.json"), "no tokenizer"),
        (_without("model.safetensors"), "no .safetensors weights"),
        (_pickled, "pickled weights are not loaded"),
        (_indexed("../model.safetensors"), "lacks the weights"),
        (_indexed("missing.safetensors"), "lacks the weights"),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "adapter"),
        (_foreign_code, "cannot be loaded"),
        (_damaged, "cannot be loaded"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be loaded"),
    ],
)
def test_folders_that_cannot_be_loaded(copy: Path, change: Any, message: str) -> None:
    change(copy)
    with pytest.raises(RunnerError, match=message):
        TransformersRunner(copy, device="cpu")


def test_missing_folder_device_and_dtype(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for spec, options, message in [
        (str(tmp_path / "none"), {}, "is not a folder"),
        (str(tiny_model.folder()), {"device": "cuda"}, "no GPU"),
        (str(tiny_model.folder()), {"device": "tpu"}, "device must be"),
        (str(tiny_model.folder()), {"device": "cpu", "dtype": "int4"}, "dtype must be"),
        ("tiny:x", {}, "whole number"),
        ("", {}, "characters"),
    ]:
        with pytest.raises(RunnerError, match=message):
            open_runner(spec, **options)


def test_missing_group_names_the_install_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import builtins

    real = builtins.__import__

    def without_torch(name: str, *rest: Any) -> Any:
        if name == "torch":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(RunnerError, match=r'pip install "assay-audit\[models\]"'):
        TransformersRunner(tiny_model.folder())


def test_specs_of_built_in_models() -> None:
    assert local_folder("tiny") == tiny_model.folder()
    assert local_folder("tiny:0") == tiny_model.folder()
    assert local_folder("./tiny") == Path("tiny")
