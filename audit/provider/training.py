"""`assay train` and `assay prove`: from a configuration to a published chain of proofs, resumable at every file.

Order of files: private opening before its proof, ledger before its proof, proof before its statement. A run that was
killed anywhere continues from the files that are complete and ends in the same registration, order and weights.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audit.provider.folder import FORMAT, RunFolder
from audit.provider.longlived import LongLived
from zk.frontend.config import RunConfig, parse_config
from zk.frontend.datasets import load_dataset
from zk.frontend.quantise import Rows, TrainingPlan, plan_training
from zk.frontend.report import plan_report
from zk.protocol.bounds import Interval, infer_bounds
from zk.protocol.errors import ProvingError
from zk.protocol.ir import SEG
from zk.protocol.params import PAD_OF_STORE, PAD_PROFILES, STORE_PROFILES, StoreProfile
from zk.protocol.programs.families import build_program
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.programs.training import build_training
from zk.protocol.registration import SELF_MADE_CHAIN, Registration, Segment
from zk.protocol.schedule import compile_schedule
from zk.protocol.statement import Statement
from zk.prover.statements import certify_dataset, commit_dataset, execute_segment

Progress = Callable[[float, str], None]
SELF_MADE = b"zkaudit/v1/self-made-beacon/value"
AUTO_PROFILES = (("S10", 1 << 17), ("S13", 1 << 22), ("S14", 1 << 24), ("S15", 1 << 27))


@dataclass(frozen=True)
class RunReport:
    """What a finished run shows; `seconds` are of this call only."""

    run_id: str
    n_segments: int
    n_steps: int
    n_refreshes: int
    proof_bytes: int
    seconds: float
    seconds_proving: float
    integer_accuracy: float | None
    float_accuracy: float | None
    notes: tuple[str, ...]


def silent(fraction: float, message: str) -> None:
    """Progress nobody watches."""


def choose_profile(spec: TrainingSpec, n_steps: int) -> StoreProfile:
    """Smallest profile whose intended number of slots holds a segment of `n_steps`."""
    order = tuple(tuple(range(spec.batch)) for _ in range(n_steps))
    program = build_training(spec, order, None)
    slots = sum(int(np.prod(program.shape(item.name))) for item in program.stored(SEG))
    slots = max(slots, spec.rows * spec.layers[0])
    for name, limit in AUTO_PROFILES:
        if slots <= limit:
            profile = STORE_PROFILES[name]
            compile_schedule(program, profile, PAD_PROFILES[PAD_OF_STORE[name]])
            return profile
    raise ProvingError(f"a segment of {slots} slots is beyond every profile; reduce training.segment_steps")


def prepare(config_text: str, base: Path, folder: RunFolder, progress: Progress = silent) -> None:
    """Load, plan, commit the dataset and register the run. Does nothing if this very configuration is prepared
    already."""
    digest = hashlib.sha256(config_text.encode()).hexdigest()
    if (folder.private / "plan.json").exists():
        if folder.read_json("plan.json")["config_sha256"] != digest:
            raise ProvingError(f"{folder.root} holds a run of another configuration; choose another --out")
        return
    config = parse_config(config_text, base)
    progress(0.0, "loading the dataset")
    data = load_dataset(config.dataset.source, _task(config), base)
    progress(0.02, "dry run: choosing scales and windows")
    plan = plan_training(data, config)
    profile = STORE_PROFILES.get(config.profile) or choose_profile(plan.spec, plan.segment_steps)
    folder.create()
    progress(0.05, "committing the dataset")
    if not folder.has_opening("dataset"):
        folder.save_opening(
            "dataset", commit_dataset(plan.spec.data, profile, plan.train.features, plan.train.targets, plan.train.groups)
        )
    tableau = folder.load_opening("dataset")
    folder.write_record("dataset", tableau)
    registration = Registration(
        tableau.record.digest(), None, plan.spec, SELF_MADE_CHAIN, 1, plan.segment_steps, plan.total_steps
    )
    randomness = hashlib.sha256(SELF_MADE + config.training.seed.to_bytes(8, "little")).digest()
    _write_registration(folder, registration, randomness)
    _write_test_rows(folder, plan.test)
    folder.write_json("config.json", {"text": config_text, "base": str(base)})
    folder.write_json("plan.json", _plan_json(plan, digest, registration, randomness))
    folder.write_json("report.json", {"plan": plan_report(plan)})


def _task(config: RunConfig) -> str:
    return "values" if config.model.loss == "squared_error" and config.model.layers[-1] == 1 else "auto"


def _write_registration(folder: RunFolder, registration: Registration, randomness: bytes) -> None:
    folder.write_public("registration.bin", registration.encode())
    beacon = {
        "chain": registration.beacon_chain.hex(),
        "round": registration.beacon_round,
        "randomness": randomness.hex(),
        "self_made": registration.is_self_made,
    }
    folder.write_public("beacon.json", json.dumps(beacon, indent=1).encode())


def _write_test_rows(folder: RunFolder, rows: Rows) -> None:
    path = folder.private / "test.npz"
    with open(path, "wb") as file:
        labels = rows.labels if rows.labels is not None else np.zeros(0, dtype=np.int64)
        groups = rows.groups if rows.groups is not None else np.zeros(0, dtype=np.int64)
        np.savez_compressed(file, features=rows.features, targets=rows.targets, labels=labels, groups=groups)
    path.chmod(0o600)


def _plan_json(plan: TrainingPlan, digest: str, registration: Registration, randomness: bytes) -> dict[str, Any]:
    float_run = plan.float_training(registration.seed(randomness))
    return {
        "config_sha256": digest,
        "range_bits": [segment.range_bits for segment in plan.segments],
        "randomness": randomness.hex(),
        "float_score": plan.score(float_run.weights, plan.test),
        "score_name": plan.score_name,
        "class_names": list(plan.class_names),
        "group_names": list(plan.group_names),
        "effective_rate": plan.effective_rate,
        "requested_rate": plan.requested_rate,
        "feature_mean": plan.preprocess.mean.tolist(),
        "feature_scale": plan.preprocess.scale.tolist(),
    }


def prove_run(folder: RunFolder, progress: Progress = silent) -> RunReport:
    """Prove everything that is missing: certificate, segments in order, refreshes where the budget asks for one."""
    folder.require()
    started, proving = time.monotonic(), 0.0
    plan = folder.read_json("plan.json")
    registration = Registration.decode((folder.public / "registration.bin").read_bytes())
    randomness = bytes.fromhex(plan["randomness"])
    data = LongLived(folder, "dataset")
    total = registration.n_segments + 1
    if not folder.has_proof("certificate-dataset"):
        progress(0.05, "certifying the dataset")
        at = time.monotonic()
        folder.write_proof(certify_dataset(registration.spec.data, data.current(), folder.ledger))
        proving += time.monotonic() - at
    bounds: dict[str, Interval] = {}
    previous = None
    for index in range(registration.n_segments):
        name, checkpoint_name = f"segment-{index:04d}", f"checkpoint-{index + 1:04d}"
        if folder.has_proof(name):
            bounds, previous = _proven_bounds(folder.read_statement(name), registration.spec), None
            continue
        progress(0.05 + 0.95 * (index + 1) / total, f"segment {index + 1} of {registration.n_segments}")
        if previous is None and index:
            previous = folder.load_opening(f"checkpoint-{index:04d}")
        checkpoint = folder.load_opening(checkpoint_name) if folder.has_opening(checkpoint_name) else None
        segment = Segment(registration, index, randomness, plan["range_bits"][index])
        at = time.monotonic()
        work = execute_segment(segment, data.current(), previous, bounds, checkpoint)
        if work.checkpoint is not checkpoint:
            folder.save_opening(checkpoint_name, work.checkpoint)
        folder.write_record(checkpoint_name, work.checkpoint)
        folder.write_proof(work.prove(folder.ledger))
        proving += time.monotonic() - at
        bounds, previous = work.bounds_out, work.checkpoint
    return _finish(folder, registration, plan, started, proving)


def _proven_bounds(statement: bytes, spec: TrainingSpec) -> dict[str, Interval]:
    st = Statement.decode(statement)
    known = infer_bounds(build_program(st), {bound.tensor: (bound.lo, bound.hi) for bound in st.bounds})
    return {name: known[f"W_out.{name}"] for name, _ in spec.weight_shapes()}


def final_bounds(folder: RunFolder, registration: Registration) -> dict[str, Interval]:
    """Established intervals of the final weights."""
    return _proven_bounds(folder.read_statement(f"segment-{registration.n_segments - 1:04d}"), registration.spec)


def load_test_rows(folder: RunFolder) -> dict[str, np.ndarray]:
    """features (integers at scale s_x), targets, labels, groups of the held-out rows; labels empty for regression."""
    with np.load(folder.private / "test.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in ("features", "targets", "labels", "groups")}


def _finish(folder: RunFolder, registration: Registration, plan: dict[str, Any], started: float, proving: float) -> RunReport:
    names = [path.stem for path in (folder.public / "proofs").glob("*.stmt")]
    size = sum(path.stat().st_size for path in (folder.public / "proofs").iterdir())
    accuracy = _integer_accuracy(folder, registration)
    report = RunReport(
        run_id=registration.run_id.hex(),
        n_segments=registration.n_segments,
        n_steps=registration.total_steps,
        n_refreshes=sum(name.startswith("refresh-") for name in names),
        proof_bytes=size,
        seconds=time.monotonic() - started,
        seconds_proving=proving,
        integer_accuracy=accuracy,
        float_accuracy=plan["float_score"] if plan["score_name"] == "accuracy" else None,
        notes=("the beacon is self-made",) if registration.is_self_made else (),
    )
    manifest = {
        "format": FORMAT,
        "run_id": report.run_id,
        "dataset": registration.dataset.hex(),
        "layers": list(registration.spec.layers),
        "loss": registration.spec.loss,
        "steps": registration.total_steps,
        "segments": registration.n_segments,
        "class_names": plan["class_names"],
        "notes": list(report.notes),
    }
    folder.write_public("run.json", json.dumps(manifest, indent=1).encode())
    return report


def _integer_accuracy(folder: RunFolder, registration: Registration) -> float | None:
    from zk.prover.execution.inference import run_inference

    rows = load_test_rows(folder)
    if registration.spec.loss != "softmax_ce" or not len(rows["labels"]):
        return None
    final = folder.load_opening(f"checkpoint-{registration.n_segments:04d}")
    weights = [final.tensors[name] for name, _ in registration.spec.weight_shapes()]
    _, predictions = run_inference(registration.spec, rows["features"], weights)
    return float(np.mean(predictions == rows["labels"]))
