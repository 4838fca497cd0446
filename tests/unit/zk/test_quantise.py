"""Plans: learning-rate integers, split, scales, windows and segments whose bounds hold for the whole chain."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest

from zk.frontend.chain import plan_segments
from zk.frontend.config import RunConfig, parse_config
from zk.frontend.datasets import RawDataset, load_dataset
from zk.frontend.errors import ConfigError, PlanError
from zk.frontend.quantise import TrainingPlan, plan_training
from zk.frontend.report import plan_report, window_lines
from zk.frontend.scales import choose_rate
from zk.frontend.sgd import initial_weights
from zk.frontend.split import fit_preprocess, split_rows
from zk.protocol.bounds import infer_bounds
from zk.protocol.order import batch_order
from zk.protocol.programs.training import build_training
from zk.prover.execution.inference import count_predictions, run_inference
from zk.prover.execution.training import run_training

RUN_SEED = hashlib.sha256(b"the seed of the run").digest()


def _config(source: str, layers: list[int], loss: str = "softmax_ce", **training: object) -> RunConfig:
    values = {"batch_size": 10, "epochs": 3, "learning_rate": 0.1, "seed": 3, "segment_steps": 128} | training
    flat = values.pop("standardise", "true")
    lines = "\n".join(f"{key} = {value}" for key, value in values.items())
    text = f'[dataset]\nsource = "{source}"\nstandardise = {flat}\n[model]\nlayers = {layers}\nloss = "{loss}"\n'
    return parse_config(f"{text}[training]\n{lines}\n", Path("."))


def _train(plan: TrainingPlan, seed: bytes = RUN_SEED) -> list[np.ndarray]:
    weights = initial_weights(plan.spec, seed)
    for segment in plan.segments:
        order = batch_order(seed, segment.first_step, segment.n_steps, plan.spec.rows, plan.spec.batch)
        rows = plan.train
        run = run_training(plan.spec, order, rows.features, rows.targets, weights, segment.range_bits, segment.first_step)
        weights = run.weights
    return weights


def _accuracies(plan: TrainingPlan) -> tuple[float, float]:
    """(integer, float64) test accuracy of the same schedule under the run's own seed."""
    weights = _train(plan)
    _, predictions = run_inference(plan.spec, plan.test.features, weights)
    counts = count_predictions(plan.spec, predictions, plan.test.labels)
    floating = plan.score(plan.float_training(RUN_SEED).weights, plan.test)
    return counts.correct[0] / counts.rows[0], floating


@pytest.mark.parametrize("rate", [0.5, 0.125, 0.1, 0.02, 0.003, 1e-5, 1.0, 300.0])
@pytest.mark.parametrize("batch", [1, 7, 32])
def test_learning_rate_within_two_percent(rate, batch):
    chosen = choose_rate(rate, batch)
    assert abs(chosen.effective(batch) / rate - 1) <= 0.02 + 1e-12
    smaller = [c for c in range(1, chosen.numerator) if _error(c, rate / batch) <= 0.02]
    assert smaller == []


def _error(numerator: int, target: float) -> float:
    return min(abs(numerator * 2.0**-e / target - 1) for e in range(41))


def test_learning_rate_out_of_reach():
    with pytest.raises(PlanError, match=r"training.learning_rate 1e-30"):
        choose_rate(1e-30, 1)


def test_split_is_stratified_seeded_and_complete():
    data = load_dataset("sklearn:wine")
    train, test = split_rows(data, 0.25, 5)
    assert sorted([*train, *test]) == list(range(178))
    assert np.bincount(data.targets[test]).tolist() == [15, 18, 12]
    assert split_rows(data, 0.25, 5)[1].tolist() == test.tolist()
    assert split_rows(data, 0.25, 6)[1].tolist() != test.tolist()


def test_a_class_with_one_row_stays_in_training():
    features = np.arange(10.0).reshape(5, 2)
    data = RawDataset(features, np.array([0, 0, 0, 0, 1]), ("a", "b"), ("x", "y"), "made")
    train, _ = split_rows(data, 0.9, 0)
    assert 4 in train and set(data.targets[train]) == {0, 1}


def test_standardisation_uses_training_rows_and_bounds_spikes():
    features = np.zeros((1000, 3))
    features[0, 0] = 1.0
    features[:, 1] = np.arange(1000) % 2
    data = RawDataset(features, np.arange(1000) % 2, ("a", "b"), ("x", "y", "z"), "made")
    prepared = fit_preprocess(data, np.arange(900), True).features(features)
    assert abs(prepared[:900]).max() == pytest.approx(8.0)
    assert prepared[:900, 1].std() == pytest.approx(1.0)
    assert not prepared[:, 2].any()


@pytest.fixture(scope="module")
def wine() -> TrainingPlan:
    return plan_training(load_dataset("sklearn:wine"), _config("sklearn:wine", [13, 9, 3], batch_size=7))


def test_plan_is_complete_and_within_its_windows(wine):
    wine.spec.check()
    assert wine.train.features.shape == (wine.spec.rows, 13) and wine.spec.rows + len(wine.test) == 178
    assert wine.total_steps == 3 * (wine.spec.rows // 7)
    assert sum(s.n_steps for s in wine.segments) == wine.total_steps
    assert np.abs(wine.train.features).max() < 1 << (wine.spec.data.x_bits - 1)
    assert all(line.headroom_bits >= 0.99 for line in window_lines(wine))
    raw = load_dataset("sklearn:wine").features[split_rows(load_dataset("sklearn:wine"), 0.2, 3)[0]]
    np.testing.assert_array_equal(wine.quantise_features(raw), wine.train.features)


def test_report_states_scales_windows_and_scores(wine):
    text = plan_report(wine)
    assert f"learning rate 0.1: {wine.effective_rate:.6g} = {wine.spec.rate} * 2^-{wine.spec.scales.e} * 7" in text
    for part in ("13-9-3", "window pre-activation", "window hidden gradient", "window logit gap", "headroom", "float64"):
        assert part in text


def test_bounds_hold_from_segment_to_segment():
    config = _config("sklearn:iris", [4, 6, 3], segment_steps=5, epochs=2)
    plan = plan_training(load_dataset("sklearn:iris"), config)
    assert [s.first_step for s in plan.segments] == [0, 5, 10, 15, 20]
    given = plan.spec.data.bounds()
    incoming: dict[str, tuple[int, int]] = {}
    weights = initial_weights(plan.spec, RUN_SEED)
    for i, segment in enumerate(plan.segments):
        order = batch_order(RUN_SEED, segment.first_step, segment.n_steps, plan.spec.rows, plan.spec.batch)
        initial = [tuple(int(v) for v in w.ravel()) for w in weights] if i == 0 else None
        program = build_training(plan.spec, order, initial, segment.range_bits)
        bounds = infer_bounds(program, given | (incoming if i and not segment.range_bits else {}))
        names = [name for name, _ in plan.spec.weight_shapes()]
        incoming = {f"W_in.{name}": bounds[f"W_out.{name}"] for name in names}
        weights = run_training(plan.spec, order, plan.train.features, plan.train.targets, weights).weights
        for name, array in zip(names, weights, strict=True):
            low, high = bounds[f"W_out.{name}"]
            assert low <= array.min() and array.max() <= high


def test_long_runs_reset_their_bounds_by_range_checks(wine):
    segments = plan_segments(wine.spec, 128 * 3000, 128, weight_max=1 << 20)
    checked = [i for i, segment in enumerate(segments) if segment.range_bits]
    assert checked and checked[0] > 100
    assert {segments[i].range_bits for i in checked} == {32}
    with pytest.raises(PlanError, match=r"leave no headroom in a 32-bit check.*48-bit check"):
        plan_segments(wine.spec, 128 * 3000, 128, weight_max=1 << 50)


def test_too_many_samples_a_segment(wine):
    with pytest.raises(PlanError, match="at most 65536 samples"):
        plan_segments(wine.spec, 10_000, 9_999, 0)


def test_runs_that_cannot_be_planned():
    data = load_dataset("sklearn:wine")
    with pytest.raises(PlanError, match=r"training diverges .* lower training.learning_rate"):
        plan_training(data, _config("sklearn:wine", [13, 32, 3], "squared_error", learning_rate=50.0))
    with pytest.raises(PlanError, match=r"batch_size is 170, the split leaves 142 training rows"):
        plan_training(data, _config("sklearn:wine", [13, 3], batch_size=170))
    with pytest.raises(ConfigError, match="ends with 4"):
        plan_training(data, _config("sklearn:wine", [13, 4]))
    huge = RawDataset(data.features * 1e6, data.targets, data.class_names, data.feature_names, "made")
    with pytest.raises(PlanError, match=r"does not fit 16 bits; set dataset.standardise = true"):
        plan_training(huge, _config("made", [13, 3], standardise="false"))


def test_groups_and_values_reach_the_dataset():
    data = load_dataset("sklearn:diabetes")
    groups = (data.features[:, 1] > 0).astype(np.int64)
    grouped = RawDataset(data.features, data.targets, (), data.feature_names, data.source, groups, ("female", "male"))
    config = _config("sklearn:diabetes", [10, 1], "squared_error", learning_rate=0.02)
    plan = plan_training(grouped, config)
    assert plan.spec.data.groups == 2 and len(plan.train.groups) == plan.spec.rows
    assert plan.spec.data.y_scale == plan.spec.scales.s_z
    assert np.abs(plan.train.targets).max() < 1 << (plan.spec.data.y_bits - 1)
    assert plan.score_name == "R2"
    assert plan.score(_train(plan), plan.test) == pytest.approx(
        plan.score(plan.float_training(RUN_SEED).weights, plan.test), abs=0.01
    )


def test_rounded_dry_run_predicts_the_integer_run(wine):
    """Under the same seed the dry run's maxima are those of the integer run up to float64 noise."""
    weights = _train(wine, wine.provisional_seed)
    unit = 2.0**wine.spec.scales.s_w
    for integer, real in zip(weights, wine.rounded_run.weights, strict=True):
        np.testing.assert_allclose(integer / unit, real, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "layers", "batch", "epochs", "rate"),
    [
        ("digits", [64, 64, 10], 32, 20, 0.125),
        ("digits", [64, 48, 24, 10], 25, 20, 0.1),
        ("breast_cancer", [30, 20, 2], 32, 20, 0.1),
        ("breast_cancer", [30, 20, 10, 2], 31, 20, 0.05),
        ("wine", [13, 16, 3], 10, 20, 0.1),
        ("wine", [13, 12, 8, 3], 7, 20, 0.1),
    ],
)
def test_integer_accuracy_within_one_point_of_float64(source, layers, batch, epochs, rate):
    name = f"sklearn:{source}"
    config = _config(name, layers, batch_size=batch, epochs=epochs, learning_rate=rate)
    plan = plan_training(load_dataset(name), config)
    integer, floating = _accuracies(plan)
    assert floating > 0.9
    # One row of a small test set may be more than one point.
    assert abs(integer - floating) <= max(0.01, 1.0 / len(plan.test)) + 1e-9
    assert math.isclose(plan.effective_rate, rate, rel_tol=0.02)
