"""One measured training segment on scikit-learn's digits, in a process of its own.

    python -m benchmarks.segment OUT --layers 64,64,10 --batch 32 --loss softmax_ce --steps 128 --profile S13 --runs 5

Segment 0 is proven first (it compiles or loads the kernels and is not counted); then segment 1, which starts from
committed weights as every later segment of a run does, is executed, committed and proven RUNS times, beside float64 SGD
on the same batches. The last statement and proof are written to OUT; JSON goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from benchmarks.blas import train
from benchmarks.measure import load, peak_bytes, timed
from zk.protocol.params import STORE_PROFILES
from zk.protocol.programs.dataset import DatasetSpec
from zk.protocol.programs.spec import Scales, TrainingSpec
from zk.protocol.registration import SELF_MADE_CHAIN, Registration, Segment
from zk.prover.commitment import StoreTableau
from zk.prover.ledger import Ledger
from zk.prover.statements import SegmentWork, commit_dataset, execute_segment

# Number formats of the reference shapes (zk/PROTOCOL.md section 17.3); a squared error has larger gradients than softmax.
SCALES = {
    "softmax_ce": Scales(s_x=8, s_d=12, e=8, s_z=6, s_e=11, a=12, q=14, w_d=13, w_m=14),
    "squared_error": Scales(s_x=8, s_d=12, e=8, s_z=6, s_e=11, a=12, q=16, w_d=13, w_m=11),
}
LEARNING_RATES = {"softmax_ce": 0.25, "squared_error": 0.0625}


@dataclass(frozen=True)
class Instance:
    """A committed dataset, the registration of a run of two segments, and the run's incoming weights."""

    registration: Registration
    data: StoreTableau
    first: SegmentWork

    def segment(self) -> Segment:
        return Segment(self.registration, 1, bytes(32), 0)

    def execute(self) -> SegmentWork:
        return execute_segment(self.segment(), self.data, self.first.checkpoint, self.first.bounds_out)


def make_instance(layers: tuple[int, ...], batch: int, loss: str, steps: int, profile: str) -> Instance:
    """Digits with features in [-0.6, 1.4] at scale s_x; targets one-hot, for squared_error at scale s_z."""
    digits = load_digits()
    scales = SCALES[loss]
    features = np.round((digits.data / 16 - 0.3) * 2 * 2**scales.s_x).astype(np.int64)
    targets = np.eye(layers[-1], dtype=np.int64)[digits.target]
    if loss == "squared_error":
        targets = targets << scales.s_z
        data_spec = DatasetSpec(len(features), layers[0], 11, scales.s_x, "value", layers[-1], 8, scales.s_z)
    else:
        data_spec = DatasetSpec(len(features), layers[0], 11, scales.s_x, "onehot", layers[-1], 1, 0)
    rate = max(1, round(LEARNING_RATES[loss] / batch * 2**scales.e))
    spec = TrainingSpec(layers, loss, data_spec, batch, rate, scales)
    spec.check()
    data = commit_dataset(data_spec, STORE_PROFILES[profile], features, targets)
    registration = Registration(data.record.digest(), None, spec, SELF_MADE_CHAIN, 1, steps, 2 * steps)
    return Instance(registration, data, execute_segment(Segment(registration, 0, bytes(32), 0), data, None, {}))


def measure_once(instance: Instance) -> tuple[dict[str, float], bytes, bytes]:
    """Seconds of one segment by part; its statement and proof. A fresh ledger each time: these data are public."""
    start = time.process_time()
    execute_s, work = timed(instance.execute)
    stages: list[tuple[str, float]] = []
    prove_s, proven = timed(lambda: work.prove(Ledger(), lambda stage: stages.append((stage, time.perf_counter()))))
    stages.append(("end", time.perf_counter()))
    out = {"execute_and_commit": execute_s, "prove": prove_s, "processor": time.process_time() - start}
    for (name, start), (_, stop) in pairwise(stages):
        out[f"stage {name}"] = stop - start
    return out, proven.statement.encode(), proven.proof


def plain_seconds(instance: Instance) -> float:
    """Seconds of float64 SGD over the same batches from the same weights: best of three passes."""
    spec, tensors = instance.registration.spec, instance.data.tensors
    features = np.ldexp(tensors["X"].astype(np.float64), -spec.scales.s_x)
    targets = np.ldexp(tensors["Y"].astype(np.float64), -spec.data.y_scale)
    order = np.array(instance.segment().order())
    start = [instance.first.checkpoint.tensors[name].astype(np.float64) for name, _ in spec.weight_shapes()]
    best = float("inf")
    for _ in range(3):
        weights = [np.ldexp(array, -spec.scales.s_w) for array in start]
        seconds, _ = timed(lambda: train(spec.loss, spec.rate * 0.5**spec.scales.e, weights, features, targets, order))  # noqa: B023
        best = min(best, seconds)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", default="64,64,10")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--loss", default="softmax_ce")
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--profile", default="S13")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    layers = tuple(int(width) for width in options.layers.split(","))
    instance = make_instance(layers, options.batch, options.loss, options.steps, options.profile)
    instance.first.prove(Ledger())
    measure_once(instance)  # segments after the first have one tableau more, so other shapes
    runs, plain = [], []
    for number in range(options.runs):
        plain.append(plain_seconds(instance))
        seconds, statement, proof = measure_once(instance)
        runs.append(seconds | {"proof_bytes": len(proof)})
        (options.out / f"run-{number}.statement").write_bytes(statement)
        (options.out / f"run-{number}.proof").write_bytes(proof)
    print(json.dumps({"runs": runs, "plain_s": plain, "peak_bytes": peak_bytes(), "load": load()}))


if __name__ == "__main__":
    main()
