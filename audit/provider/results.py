"""What a finished run shows: sizes, times, and the accuracy of the exact integer model on held-out rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from audit.provider.folder import RunFolder
from zk.protocol.errors import WindowError
from zk.protocol.registration import Registration
from zk.prover.execution.inference import run_inference


@dataclass(frozen=True)
class RunReport:
    """Sizes in bytes; `seconds` are of this call only. Accuracies are None for regression and without held-out rows."""

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

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"notes": list(self.notes)}


def report_run(folder: RunFolder, registration: Registration, plan: dict[str, Any], times: tuple[float, float]) -> RunReport:
    """Report a run whose proofs are complete; `times` are the seconds of this call and those spent proving."""
    notes = ["the beacon is self-made"] if registration.is_self_made else []
    try:
        accuracy = integer_accuracy(folder, registration)
    except WindowError as error:
        accuracy = None
        notes.append(f"no accuracy on held-out rows: {error}")
    proofs = folder.public / "proofs"
    return RunReport(
        run_id=registration.run_id.hex(),
        n_segments=registration.n_segments,
        n_steps=registration.total_steps,
        n_refreshes=sum(1 for _ in proofs.glob("refresh-*.stmt")),
        proof_bytes=sum(path.stat().st_size for path in proofs.iterdir() if path.suffix in (".stmt", ".proof")),
        seconds=times[0],
        seconds_proving=times[1],
        integer_accuracy=accuracy,
        float_accuracy=plan["float_score"] if plan["score_name"] == "accuracy" else None,
        notes=tuple(notes),
    )


def load_test_rows(folder: RunFolder) -> dict[str, np.ndarray]:
    """features (integers at scale s_x), targets, labels, groups of the held-out rows; labels empty for regression."""
    with np.load(folder.private / "test.npz", allow_pickle=False) as archive:
        return {name: archive[name] for name in ("features", "targets", "labels", "groups")}


def integer_accuracy(folder: RunFolder, registration: Registration) -> float | None:
    """Accuracy of the last checkpoint in the integers of the protocol; None for regression and without held-out
    rows."""
    rows = load_test_rows(folder)
    if registration.spec.loss != "softmax_ce" or not len(rows["labels"]):
        return None
    final = folder.load_opening(f"checkpoint-{registration.n_segments:04d}")
    weights = [final.tensors[name] for name, _ in registration.spec.weight_shapes()]
    _, predictions = run_inference(registration.spec, rows["features"], weights)
    return float(np.mean(predictions == rows["labels"]))
