"""Whole proven runs against independent executions: plain integers for every weight, float64 SGD for the accuracy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audit.provider.folder import RunFolder
from audit.provider.training import load_test_rows, prepare, prove_run
from tests.unit.zk.plain_training import PlainRun
from zk.protocol.registration import Registration, Segment, public_initial
from zk.verifier.bundle import verify_bundle

CONFIG = """
[dataset]
source = "sklearn:{source}"
test_fraction = 0.25
[model]
layers = {layers}
loss = "softmax_ce"
[training]
batch_size = {batch}
epochs = {epochs}
learning_rate = {rate}
seed = 5
segment_steps = {steps}
[zk]
profile = "{profile}"
"""
SHORT = [
    ("digits", [64, 12, 10], 7, 3),
    ("digits", [64, 9, 8, 10], 5, 3),
    ("breast_cancer", [30, 8, 2], 13, 4),
    ("breast_cancer", [30, 6, 5, 2], 9, 4),
    ("wine", [13, 7, 3], 11, 4),
    ("wine", [13, 6, 5, 3], 10, 4),
]


def run(folder: RunFolder, **choice: object) -> Registration:
    prepare(CONFIG.format(**choice), folder.root, folder)
    prove_run(folder)
    return Registration.decode((folder.public / "registration.bin").read_bytes())


@pytest.mark.parametrize(("source", "layers", "batch", "steps"), SHORT)
def test_a_proven_run_ends_in_the_weights_of_plain_integers(
    tmp_path: Path, source: str, layers: list[int], batch: int, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.provider.training.plan_training", shorten(2 * steps))
    folder = RunFolder(tmp_path / "run")
    registration = run(folder, source=source, layers=layers, batch=batch, epochs=1, rate=0.1, steps=steps, profile="S10")
    verdict = verify_bundle(list(folder.pairs()))
    assert verdict.verdict == "holds", [check for check in verdict.checks if not check.ok]
    data = folder.load_opening("dataset").tensors
    randomness = bytes.fromhex(folder.read_json("plan.json")["randomness"])
    shapes = registration.spec.weight_shapes()
    initial = [
        np.array(values).reshape(shape).tolist()
        for values, (_, shape) in zip(public_initial(registration, randomness), shapes, strict=True)
    ]
    plain = PlainRun(registration.spec, initial)
    for index in range(registration.n_segments):
        plain.train(Segment(registration, index, randomness, 0).order(), data["X"].tolist(), data["Y"].tolist())
    final = folder.load_opening(f"checkpoint-{registration.n_segments:04d}").tensors
    for i in range(registration.spec.depth):
        assert final[f"weight{i + 1}"].tolist() == plain.w[i]
        assert final[f"bias{i + 1}"].tolist() == plain.beta[i]


def shorten(total_steps: int):  # type: ignore[no-untyped-def]
    """plan_training with the run cut to `total_steps`: whole epochs of plain Python integers take minutes."""
    from dataclasses import replace

    from zk.frontend.quantise import plan_training

    def plan(*args, **kwargs):  # type: ignore[no-untyped-def]
        full = plan_training(*args, **kwargs)
        count = -(-total_steps // full.segment_steps)
        return replace(full, total_steps=total_steps, segments=full.segments[:count])

    return plan


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "layers", "batch", "epochs"),
    [("digits", [64, 32, 10], 32, 10), ("breast_cancer", [30, 16, 8, 2], 20, 10), ("wine", [13, 16, 3], 10, 20)],
)
def test_accuracy_of_a_proven_run_is_that_of_float64(
    tmp_path: Path, source: str, layers: list[int], batch: int, epochs: int
) -> None:
    folder = RunFolder(tmp_path / "run")
    choice = {"source": source, "layers": layers, "batch": batch, "epochs": epochs, "rate": 0.2, "steps": 128, "profile": "auto"}
    prepare(CONFIG.format(**choice), folder.root, folder)
    report = prove_run(folder)
    n_test = len(load_test_rows(folder)["labels"])
    assert report.integer_accuracy is not None and report.float_accuracy is not None
    assert abs(report.integer_accuracy - report.float_accuracy) <= max(0.01, 1.0 / n_test) + 1e-9
    assert verify_bundle(list(folder.pairs())).verdict == "holds"
