"""Encoders from Hugging Face directories made here: a trained toy cross-encoder, random vectors, and wrong directories."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
import transformers

from audit.runners.encoders import NliEncoder, TextEmbedder
from audit.runners.protocol import RunnerError
from conformal.pipeline.errors import ModelError
from conformal.pipeline.scorers.frequency import FrequencyScorer
from conformal.pipeline.scorers.judges import EntailmentJudge
from tests.encoder_folders import NLI_LABELS, SUBJECTS, embedder_folder, nli_folder


@functools.cache
def nli(folder: Path) -> NliEncoder:
    return NliEncoder(folder, "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nli_folder(tmp_path_factory.mktemp("nli"))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return embedder_folder(tmp_path_factory.mktemp("vectors"))


def test_verdicts_of_a_model_that_knows(folder: Path) -> None:
    pairs = []
    for one in SUBJECTS:
        pairs += [(f"{one} is old", f"{one} is old"), (f"{one} is not old", f"{one} is old")]
    assert nli(folder).verdicts(pairs) == ["entails", "contradicts"] * len(SUBJECTS)
    assert nli(folder).verdicts([]) == []


def test_a_pair_does_not_depend_on_its_batch(folder: Path) -> None:
    pairs = [("rome is old", "rome is old"), ("oslo is not old and rome is old", "oslo is old")]
    assert nli(folder).verdicts(pairs) == [nli(folder).verdicts([pair])[0] for pair in pairs]


def test_what_is_too_long_is_not_cut(folder: Path, vectors: Path) -> None:
    assert nli(folder).verdicts([("rome is old " * 40, "rome is old"), ("rome is old", "rome is old")]) == [None, "entails"]
    with pytest.raises(ModelError, match="tokens"):
        TextEmbedder(vectors, "cpu").embed(["rome is old " * 40])


def test_frequency_with_a_cross_encoder(folder: Path) -> None:
    from conformal.pipeline.model import Answer
    from conformal.pipeline.scorers.scorer import Task
    from conformal.pipeline.splitters.claim import Claim

    task = Task("a", "q", "o", (Claim("rome is old"),), (Answer("rome is old"), Answer("rome is old"), Answer("rome is not old")))
    assert FrequencyScorer(EntailmentJudge(nli(folder))).score(task) == [1.0]


def test_vectors_are_means_of_unit_length(vectors: Path) -> None:
    embedder = TextEmbedder(vectors, "cpu")
    texts = ["rome is old", "rome", "oslo is not big and rome is old"]
    found = embedder.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
    np.testing.assert_allclose(found[1], embedder.embed(["rome"])[0], atol=1e-5)
    model = transformers.AutoModel.from_pretrained(vectors).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(vectors)
    with torch.inference_mode():
        plain = model(**tokenizer(texts[0], return_tensors="pt")).last_hidden_state[0].mean(0).numpy()
    np.testing.assert_allclose(found[0], plain / np.linalg.norm(plain), atol=1e-5)
    assert embedder.embed([]).shape[0] == 0


def test_the_digest_is_of_the_weights(folder: Path, tmp_path: Path) -> None:
    described = nli(folder).describe()
    other = shutil.copytree(folder, tmp_path / folder.name)
    assert NliEncoder(other, "cpu").describe() == described
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    assert NliEncoder(other, "cpu").describe()["encoder_digest"] != described["encoder_digest"]


def relabelled(folder: Path, to: Path, labels: Any) -> Path:
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    config["id2label"] = {str(i): name for i, name in enumerate(labels)}
    config["label2id"] = {name: i for i, name in enumerate(labels)}
    (to / "config.json").write_text(json.dumps(config))
    return to


@pytest.mark.parametrize(
    "labels",
    [
        ("LABEL_0", "LABEL_1", "LABEL_2"),
        ("entailment", "not_entailment", "neutral"),
        ("entailment", "entailment2", "contradiction"),
    ],
)
def test_labels_are_never_guessed(folder: Path, tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(RunnerError, match="labels"):
        NliEncoder(relabelled(folder, tmp_path / "x", labels), "cpu")


def test_labels_count_by_name_not_by_place(folder: Path, tmp_path: Path) -> None:
    swapped = NliEncoder(relabelled(folder, tmp_path / "x", NLI_LABELS[::-1]), "cpu")
    assert swapped.verdicts([("rome is old", "rome is old")]) == ["contradicts"]


def test_folders_that_are_no_encoders(vectors: Path, tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match="classifier"):
        NliEncoder(vectors, "cpu")
    with pytest.raises(RunnerError, match="not a folder"):
        TextEmbedder(tmp_path / "none", "cpu")
    broken = shutil.copytree(vectors, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(RunnerError, match="cannot be loaded"):
        TextEmbedder(broken, "cpu")
    pickled = shutil.copytree(vectors, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(RunnerError, match="safetensors"):
        TextEmbedder(pickled, "cpu")
