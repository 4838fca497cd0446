"""From a dataset and a configuration to the integer program: split, dry run, scales, windows, segments."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from zk.frontend.chain import SegmentPlan, plan_segments
from zk.frontend.config import RunConfig, check_against
from zk.frontend.datasets import FloatArray, IntArray, RawDataset
from zk.frontend.errors import PlanError
from zk.frontend.scales import candidates, choose_rate, feature_bits, fit_windows, unsigned_bits, usual_scales
from zk.frontend.sgd import FloatRun, Maxima, predict_float, run_float
from zk.frontend.split import Preprocess, fit_preprocess, split_rows
from zk.protocol.errors import VerificationError
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import Scales, TrainingSpec

HEADROOM_BITS = 1
SCORE_TOLERANCE = 0.01


@dataclass(frozen=True)
class Rows:
    """Rows of one side of the split: real and integer features [n, F] and targets [n, C], labels or None, groups."""

    real_features: FloatArray
    real_targets: FloatArray
    features: IntArray
    targets: IntArray
    labels: IntArray | None
    groups: IntArray | None

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class TrainingPlan:
    """Everything a run needs before its seed is known. `train` is what gets committed, row for row.

    `float_run` trained in float64 on the same schedule under `provisional_seed`; `rounded_run` the same with all
    roundings. Scores are accuracies for class labels, else coefficients of determination; None without test rows.
    """

    spec: TrainingSpec
    segments: list[SegmentPlan]
    segment_steps: int
    total_steps: int
    train: Rows
    test: Rows
    preprocess: Preprocess
    class_names: tuple[str, ...]
    group_names: tuple[str, ...]
    requested_rate: float
    provisional_seed: bytes
    float_run: FloatRun
    rounded_run: FloatRun
    float_score: float | None
    rounded_score: float | None

    @property
    def effective_rate(self) -> float:
        return self.spec.rate * 0.5**self.spec.scales.e * self.spec.batch

    @property
    def score_name(self) -> str:
        return "accuracy" if self.train.labels is not None else "R2"

    def score(self, weights: Sequence[FloatArray | IntArray], rows: Rows) -> float | None:
        """Score of weights (real, or integers at scale s_w) on rows, evaluated in float64."""
        unit = 0.5**self.spec.scales.s_w
        real = [np.asarray(w * unit if w.dtype == np.int64 else w, dtype=np.float64) for w in weights]
        return score_outputs(predict_float(real, rows.real_features), rows)

    def float_training(self, seed: bytes) -> FloatRun:
        """The float64 run of the same schedule under another seed, once the true one is known."""
        return run_float(self.spec, seed, self.train.real_features, self.train.real_targets, self.total_steps)

    def quantise_features(self, raw: FloatArray) -> IntArray:
        """Integers at scale s_x of raw feature rows, preprocessed like the training rows."""
        return round_to(self.preprocess.features(np.asarray(raw, dtype=np.float64)), self.spec.scales.s_x)


def provisional_seed(seed: int) -> bytes:
    """Seed of the dry run; the run itself uses one that depends on the commitment and the beacon."""
    return hashlib.sha256(b"dry run" + seed.to_bytes(8, "little")).digest()


def plan_training(data: RawDataset, config: RunConfig, seed: bytes | None = None, headroom: int = HEADROOM_BITS) -> TrainingPlan:
    """Choose scales, windows and segments for a run and check every static bound of the whole chain.

    Raises `ConfigError` where configuration and data do not fit, `PlanError` where no choice keeps the run exact.
    """
    check_against(config, data)
    seed = provisional_seed(config.training.seed) if seed is None else seed
    train_rows, test_rows = split_rows(data, config.dataset.test_fraction, config.training.seed)
    if len(train_rows) < config.training.batch_size:
        raise PlanError(
            f"training.batch_size is {config.training.batch_size}, the split leaves {len(train_rows)} training rows; "
            "write a smaller batch_size or test_fraction"
        )
    preprocess = fit_preprocess(data, train_rows, config.dataset.standardise)
    cut = _Cutter(data, preprocess, config)
    search = _Search(config, cut, train_rows, test_rows, seed, headroom)
    spec, segments, float_run, rounded_run = search.run()
    train, test = cut.rows(train_rows, spec), cut.rows(test_rows, spec)
    plan = TrainingPlan(
        spec=spec,
        segments=segments,
        segment_steps=segments[0].n_steps,
        total_steps=search.total_steps,
        train=train,
        test=test,
        preprocess=preprocess,
        class_names=data.class_names,
        group_names=data.group_names,
        requested_rate=config.training.learning_rate,
        provisional_seed=seed,
        float_run=float_run,
        rounded_run=rounded_run,
        float_score=None,
        rounded_score=None,
    )
    scores = plan.score(float_run.weights, test), plan.score(rounded_run.weights, test)
    return replace(plan, float_score=scores[0], rounded_score=scores[1])


def round_to(values: FloatArray, scale: int) -> IntArray:
    """floor(v 2^scale + 1/2), rounding half up like the protocol."""
    return np.floor(values * 2.0**scale + 0.5).astype(np.int64)


def score_outputs(outputs: FloatArray, rows: Rows) -> float | None:
    """Accuracy of the first arg max, or R2 over all target columns; None without rows."""
    if len(rows) == 0:
        return None
    if rows.labels is not None and outputs.shape[1] > 1:
        return float(np.mean(outputs.argmax(axis=1) == rows.labels))
    if rows.labels is not None:
        return float(np.mean(np.rint(outputs[:, 0]).astype(np.int64) == rows.labels))
    spread = ((rows.real_targets - rows.real_targets.mean(axis=0)) ** 2).sum()
    return float(1 - ((outputs - rows.real_targets) ** 2).sum() / spread) if spread > 0 else None


class _Cutter:
    """Real and integer rows of the dataset for one configuration."""

    def __init__(self, data: RawDataset, preprocess: Preprocess, config: RunConfig) -> None:
        self._data = data
        self.onehot = config.model.loss == "softmax_ce"
        self.features = preprocess.features(data.features)
        self.targets = self._real_targets(data, preprocess, config.model.layers[-1])
        if not np.all(np.isfinite(self.features)) or not np.all(np.isfinite(self.targets)):
            raise PlanError("standardised values overflow; rescale columns of extreme magnitude first")

    @staticmethod
    def _real_targets(data: RawDataset, preprocess: Preprocess, n_outputs: int) -> FloatArray:
        if not data.is_classification:
            return preprocess.targets(np.asarray(data.targets, dtype=np.float64))
        labels = np.asarray(data.targets, dtype=np.int64)
        return labels[:, None].astype(np.float64) if n_outputs == 1 else np.eye(n_outputs)[labels]

    @property
    def n_groups(self) -> int:
        return len(self._data.group_names)

    def rows(self, index: IntArray, spec: TrainingSpec) -> Rows:
        real_x, real_y = self.features[index], self.targets[index]
        labels = np.asarray(self._data.targets, dtype=np.int64)[index] if self._data.is_classification else None
        groups = None if self._data.groups is None else self._data.groups[index]
        targets = round_to(real_y, 0 if self.onehot else spec.scales.s_z)
        return Rows(real_x, real_y, round_to(real_x, spec.scales.s_x), targets, labels, groups)

    def real_rows(self) -> Rows:
        """All rows; the integer arrays are empty, only the real ones are meant to be read."""
        none = np.zeros((len(self.features), 0), dtype=np.int64)
        labels = np.asarray(self._data.targets, dtype=np.int64) if self._data.is_classification else None
        return Rows(self.features, self.targets, none, none, labels, None)

    def dataset_spec(self, n_rows: int, scales: Scales, x_bits: int) -> DatasetSpec:
        n_features, n_targets = self.features.shape[1], self.targets.shape[1]
        if self.onehot:
            return DatasetSpec(n_rows, n_features, x_bits, scales.s_x, "onehot", n_targets, 1, 0, self.n_groups)
        y_bits = max(2, unsigned_bits(float(np.abs(self.targets).max()), scales.s_z) + 1)
        kind = ("value", n_targets, y_bits, scales.s_z)
        return DatasetSpec(n_rows, n_features, x_bits, scales.s_x, *kind, self.n_groups)


_Found = tuple[TrainingSpec, list[SegmentPlan], FloatRun]


class _Search:
    """Walks the ladder of scales until windows have headroom and every segment's bounds hold."""

    def __init__(self, config: RunConfig, cut: _Cutter, train: IntArray, test: IntArray, seed: bytes, headroom: int) -> None:
        self._config, self._cut, self._seed, self._headroom = config, cut, seed, headroom
        self._train, self._test = train, test
        self._rate = choose_rate(config.training.learning_rate, config.training.batch_size)
        self.total_steps = config.training.epochs * (len(train) // config.training.batch_size)
        self._largest = float(np.abs(cut.features[train]).max())
        self._target_max = 0.0 if cut.onehot else float(np.abs(cut.targets).max())

    def run(self) -> tuple[TrainingSpec, list[SegmentPlan], FloatRun, FloatRun]:
        model = self._config.model
        s_x, _ = feature_bits(self._largest, 8)
        start = usual_scales(model.loss, model.layers[-1], self._rate, s_x)
        float_run = self._dry_run(self._spec(start), rounded=False)
        goal = self._score(float_run)
        reasons: list[str] = []
        best: tuple[float, _Found] | None = None
        steps = min(self._config.training.segment_steps, self.total_steps)
        for scales, n_steps in candidates(start, model.loss, float_run.maxima, self._target_max, self._headroom, steps):
            found = self._try(scales, n_steps, reasons)
            if found is None:
                continue
            loss = goal - self._score(found[2])
            if best is None or loss < best[0]:
                best = (loss, found)
            if loss <= SCORE_TOLERANCE:
                break
        if best is None:
            raise PlanError(_no_plan(reasons, float_run.maxima))
        spec, segments, rounded_run = best[1]
        return spec, segments, float_run, rounded_run

    def _score(self, run: FloatRun) -> float:
        """Score on all rows, trained on or not: less noisy than the test rows alone when two runs are compared."""
        rows = self._cut.real_rows()
        return score_outputs(predict_float(run.weights, rows.real_features), rows) or 0.0

    def _try(self, scales: Scales, steps: int, reasons: list[str]) -> _Found | None:
        """Bounds first (cheap), then the rounded run, then windows widened to what it showed, and bounds again."""
        loss = self._config.model.loss
        try:
            spec = self._spec(scales)
            plan_segments(spec, self.total_steps, steps, 0)
            run = self._dry_run(spec, rounded=True)
            wider = fit_windows(scales, loss, run.maxima, self._target_max, self._headroom)
            if wider is None or wider.s_z != scales.s_z:
                reasons.append("a quantity of the dry run leaves 16-bit windows")
                return None
            spec = self._spec(_widest(scales, wider))
            weight_max = unsigned_integer(run.maxima.weight, scales.s_w)
            return spec, plan_segments(spec, self.total_steps, steps, weight_max), run
        except (PlanError, VerificationError) as error:
            reasons.append(str(error))
            return None

    def _spec(self, scales: Scales) -> TrainingSpec:
        model, batch = self._config.model, self._config.training.batch_size
        _, x_bits = feature_bits(self._largest, scales.s_x)
        data = self._cut.dataset_spec(len(self._train), scales, x_bits)
        return TrainingSpec(model.layers, model.loss, data, batch, self._rate.numerator, scales)

    def _dry_run(self, spec: TrainingSpec, rounded: bool) -> FloatRun:
        if rounded:
            spec.check()
        x, y, more = self._cut.features[self._train], self._cut.targets[self._train], self._cut.features[self._test]
        if rounded:
            x, more = (np.ldexp(round_to(rows, spec.scales.s_x).astype(float), -spec.scales.s_x) for rows in (x, more))
        return run_float(spec, self._seed, x, y, self.total_steps, rounded, [more] if len(more) else [])


def unsigned_integer(value: float, scale: int) -> int:
    """Integer magnitude at `scale`, rounded up."""
    return int(np.ceil(value * 2.0**scale))


def _widest(a: Scales, b: Scales) -> Scales:
    pick: Callable[[str], int] = lambda name: max(getattr(a, name), getattr(b, name))  # noqa: E731
    return replace(a, a=pick("a"), q=pick("q"), w_d=pick("w_d"), w_m=pick("w_m"))


def _no_plan(reasons: list[str], maxima: Maxima) -> str:
    detail = reasons[-1] if reasons else f"the dry run reached {maxima}, which no 16-bit windows hold"
    return (
        f"no fixed-point scales keep this run exact: {detail}. Lower training.learning_rate or epochs, "
        "set dataset.standardise = true, or use narrower layers"
    )
