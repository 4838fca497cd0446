"""`assay train` and `assay prove`: from a configuration to a published chain of proofs, resumable at every file.

Order of files: configuration first, private opening before its proof, ledger before its proof, proof before its
statement. A run that was killed anywhere continues from the files that are complete and ends in the same
registration, order and weights.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from audit.provider.folder import FORMAT, RunFolder
from audit.provider.longlived import LongLived
from audit.provider.results import RunReport, load_test_rows, report_run
from zk.frontend.config import RunConfig, parse_config
from zk.frontend.datasets import load_dataset
from zk.frontend.errors import ConfigError, PlanError
from zk.frontend.quantise import Rows, TrainingPlan, plan_training
from zk.frontend.report import plan_report
from zk.protocol.bounds import Interval
from zk.protocol.compiler import compile_schedule
from zk.protocol.errors import ProvingError
from zk.protocol.ir import SEG
from zk.protocol.params import MAX_PUBLIC_ENTRIES, PAD_OF_STORE, PAD_PROFILES, STORE_PROFILES, StoreProfile
from zk.protocol.programs.spec import TrainingSpec
from zk.protocol.programs.training import build_training
from zk.protocol.registration import SELF_MADE_CHAIN, Registration, Segment
from zk.protocol.statement import Statement
from zk.prover.commitment import StoreTableau
from zk.prover.openings import write_private
from zk.prover.statements import certify_dataset, commit_dataset, execute_segment, outgoing_bounds

__all__ = ["RunReport", "choose_profile", "final_bounds", "load_test_rows", "plan_run", "prepare", "prove_run", "read_config"]

Progress = Callable[[float, str], None]
SELF_MADE = b"zkaudit/v1/self-made-beacon/value"
AUTO_PROFILES = (("S10", 1 << 17), ("S13", 1 << 22), ("S14", 1 << 24), ("S15", 1 << 27))


def silent(fraction: float, message: str) -> None:
    """Progress nobody watches."""


def read_config(path: Path) -> str:
    """The text of a configuration file. Raises `ConfigError` naming the file."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"configuration {path} cannot be read ({error.strerror}); name a TOML file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"configuration {path} is not UTF-8 text") from None


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


def plan_run(config_text: str, base: Path, progress: Progress = silent) -> tuple[TrainingPlan, StoreProfile]:
    """Load the dataset, choose scales, windows and segments by a dry run, and the profile. Writes nothing."""
    config = parse_config(config_text, base)
    progress(0.0, "loading the dataset")
    data = load_dataset(config.dataset.source, _task(config), base)
    progress(0.02, "dry run: choosing scales and windows")
    plan = plan_training(data, config)
    if plan.spec.n_parameters > MAX_PUBLIC_ENTRIES:
        raise PlanError(
            f"the model has {plan.spec.n_parameters} parameters; runs start from public initial weights, at most "
            f"{MAX_PUBLIC_ENTRIES}; write narrower model.layers"
        )
    return plan, STORE_PROFILES.get(config.profile) or choose_profile(plan.spec, plan.segment_steps)


def prepare(config_text: str, base: Path, folder: RunFolder, progress: Progress = silent) -> str:
    """Load, plan, commit the dataset and register the run; returns the run id in hex.

    Does nothing if this very configuration is prepared already. Raises `ProvingError` if the folder holds another run or
    another process works on it.
    """
    with folder.locked():
        return _prepare(config_text, base, folder, progress)


def _prepare(config_text: str, base: Path, folder: RunFolder, progress: Progress) -> str:
    digest = hashlib.sha256(config_text.encode()).hexdigest()
    if (folder.private / "config.json").exists():
        if folder.read_json("config.json").get("sha256") != digest:
            raise ProvingError(f"{folder.root} holds a run of another configuration; choose another --out")
        if (folder.private / "plan.json").exists():
            return read_registration(folder).run_id.hex()
    plan, profile = plan_run(config_text, base, progress)
    folder.write_json("config.json", {"sha256": digest, "text": config_text, "base": str(base)})
    progress(0.05, "committing the dataset")
    tableau = _commit_rows(folder, plan, profile)
    folder.write_record("dataset", tableau)
    registration = Registration(
        tableau.record.digest(), None, plan.spec, SELF_MADE_CHAIN, 1, plan.segment_steps, plan.total_steps
    )
    randomness = hashlib.sha256(SELF_MADE + parse_config(config_text, base).training.seed.to_bytes(8, "little")).digest()
    _write_registration(folder, registration, randomness, plan)
    _write_test_rows(folder, plan.test)
    folder.write_json("report.json", {"plan": plan_report(plan)})
    folder.write_json("plan.json", _plan_json(plan, digest, registration, randomness))
    return registration.run_id.hex()


def read_registration(folder: RunFolder) -> Registration:
    """The published registration of a run folder."""
    return Registration.decode(folder.read_public("registration.bin"))


def _task(config: RunConfig) -> str:
    return "values" if config.model.loss == "squared_error" and config.model.layers[-1] == 1 else "auto"


def _commit_rows(folder: RunFolder, plan: TrainingPlan, profile: StoreProfile) -> StoreTableau:
    """Commit the training rows, or reuse the commitment of an interrupted attempt if it holds the same rows."""
    if not folder.has_opening("dataset"):
        rows = plan.train
        folder.save_opening("dataset", commit_dataset(plan.spec.data, profile, rows.features, rows.targets, rows.groups))
    tableau = folder.load_opening("dataset")
    same = tableau.profile == profile and np.array_equal(tableau.tensors["X"], plan.train.features)
    if not same or not np.array_equal(tableau.tensors["Y"], plan.train.targets):
        raise ProvingError(f"the dataset has changed since {folder.root} was started; restore it, or choose another --out")
    return tableau


def _write_registration(folder: RunFolder, registration: Registration, randomness: bytes, plan: TrainingPlan) -> None:
    folder.write_public("registration.bin", registration.encode())
    beacon = {
        "chain": registration.beacon_chain.hex(),
        "round": registration.beacon_round,
        "randomness": randomness.hex(),
        "self_made": registration.is_self_made,
    }
    folder.write_public("beacon.json", json.dumps(beacon, indent=1).encode())
    manifest = {
        "format": FORMAT,
        "run_id": registration.run_id.hex(),
        "dataset": registration.dataset.hex(),
        "layers": list(registration.spec.layers),
        "loss": registration.spec.loss,
        "steps": registration.total_steps,
        "segments": registration.n_segments,
        "class_names": list(plan.class_names),
        "features": {
            "mean": plan.preprocess.mean.tolist(),
            "scale": plan.preprocess.scale.tolist(),
            "bits": registration.spec.scales.s_x,
        },
        "notes": ["the beacon is self-made"] if registration.is_self_made else [],
    }
    folder.write_public("run.json", json.dumps(manifest, indent=1).encode())


def _write_test_rows(folder: RunFolder, rows: Rows) -> None:
    none = np.zeros(0, dtype=np.int64)
    labels = rows.labels if rows.labels is not None else none
    groups = rows.groups if rows.groups is not None else none
    buffer = io.BytesIO()
    np.savez_compressed(buffer, features=rows.features, targets=rows.targets, labels=labels, groups=groups)
    write_private(folder.private / "test.npz", buffer.getvalue())


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
    with folder.require().locked():
        return _prove_run(folder, progress)


def _prove_run(folder: RunFolder, progress: Progress) -> RunReport:
    started, proving = time.monotonic(), 0.0
    plan = folder.read_json("plan.json")
    registration = read_registration(folder)
    randomness = bytes.fromhex(plan["randomness"])
    data = LongLived(folder, "dataset")
    if not folder.has_proof("certificate-dataset"):
        progress(0.05, "certifying the dataset")
        at = time.monotonic()
        folder.write_proof(certify_dataset(registration.spec.data, data.current(), folder.ledger))
        proving += time.monotonic() - at
    bounds: dict[str, Interval] | None = None
    previous = None
    for index in range(registration.n_segments):
        if folder.has_proof(f"segment-{index:04d}"):
            bounds, previous = None, None
            continue
        if index and previous is None:
            previous = folder.load_opening(f"checkpoint-{index:04d}")
        if index and bounds is None:
            bounds = _proven_bounds(folder.read_statement(f"segment-{index - 1:04d}"), registration.spec)
        at = time.monotonic()
        segment = Segment(registration, index, randomness, plan["range_bits"][index])
        bounds, previous = _prove_segment(folder, segment, data, previous, bounds or {}, progress)
        proving += time.monotonic() - at
    return report_run(folder, registration, plan, (time.monotonic() - started, proving))


def _prove_segment(
    folder: RunFolder,
    segment: Segment,
    data: LongLived,
    previous: StoreTableau | None,
    bounds: dict[str, Interval],
    progress: Progress,
) -> tuple[dict[str, Interval], StoreTableau]:
    """Execute, commit the outgoing weights, prove; gives what the next segment starts from."""
    index, total = segment.index, segment.registration.n_segments

    def note(stage: str) -> None:
        progress(0.05 + 0.95 * (index + 0.5) / total, f"segment {index + 1} of {total}: {stage}")

    progress(0.05 + 0.95 * index / total, f"segment {index + 1} of {total}: training")
    name = f"checkpoint-{index + 1:04d}"
    checkpoint = folder.load_opening(name) if folder.has_opening(name) else None
    work = execute_segment(segment, data.current(), previous, bounds, checkpoint)
    if work.checkpoint is not checkpoint:
        folder.save_opening(name, work.checkpoint)
    folder.write_record(name, work.checkpoint)
    folder.write_proof(work.prove(folder.ledger, note))
    return work.bounds_out, work.checkpoint


def _proven_bounds(statement: bytes, spec: TrainingSpec) -> dict[str, Interval]:
    return outgoing_bounds(Statement.decode(statement), spec)


def final_bounds(folder: RunFolder, registration: Registration) -> dict[str, Interval]:
    """Established intervals of the final weights."""
    return _proven_bounds(folder.read_statement(f"segment-{registration.n_segments - 1:04d}"), registration.spec)
