"""Answering audit requests on the provider's machine: open what the run folder holds, prove, keep the answer.

A finished answer is kept under `private/answers/`, so that an agent that was killed while submitting sends the same
bytes again and no hiding budget is spent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from audit.errors import AuditError, CancelledError
from audit.proof_params import AccuracyParams, NearestParams, PredicateParams
from audit.provider.folder import RunFolder
from audit.provider.longlived import LongLived
from audit.provider.training import final_bounds
from audit.registry import Cancelled, Progress
from audit.requests import AuditRequest
from zk.protocol.errors import ProvingError, VerificationError, WindowError
from zk.protocol.registration import Registration
from zk.protocol.statement import Auditor
from zk.prover import statements
from zk.prover.commitment import StoreTableau
from zk.prover.openings import write_private
from zk.prover.statements import AuditWork

REFUSALS = "refusals.json"
MAX_REFUSALS = 8


@dataclass
class RunSecrets:
    """The private half of a run, opened on demand; methods execute one audit and form its statement."""

    folder: RunFolder
    registration: Registration
    auditor: Auditor

    @property
    def data(self) -> StoreTableau:
        return LongLived(self.folder, "dataset").current()

    @property
    def weights(self) -> StoreTableau:
        return LongLived(self.folder, f"checkpoint-{self.registration.n_segments:04d}").current()

    def accuracy(self, params: AccuracyParams) -> AuditWork:
        spec = self.registration.spec
        if len(params.features) != len(params.labels) * spec.layers[0]:
            raise AuditError(f"the request has rows of another width than the model's {spec.layers[0]} inputs")
        features = np.array(params.features, dtype=np.int64).reshape(len(params.labels), spec.layers[0])
        bounds = final_bounds(self.folder, self.registration)
        return statements.accuracy(
            spec, self.weights, bounds, self.auditor, features, params.labels, params.groups, params.n_groups
        )

    def training_accuracy(self) -> AuditWork:
        spec = self.registration.spec
        bounds = final_bounds(self.folder, self.registration)
        return statements.committed_accuracy(spec, self.weights, bounds, self.auditor, spec.data, self.data)

    def label_histogram(self) -> AuditWork:
        return statements.label_histogram(self.registration.spec.data, self.data, self.auditor)

    def predicate_count(self, params: PredicateParams, min_rows: int) -> AuditWork:
        spec, data = self.registration.spec.data, self.data
        work = statements.predicate_count(spec, data, self.auditor, params.feature, params.threshold)
        counts = work.statement.public("counts")
        others = [int(total) - count for total, count in zip(data.tensors["Y"].sum(axis=0), counts, strict=True)]
        if any(0 < count < min_rows for count in (*counts, *others)):
            raise AuditError(f"refused: a count of fewer than {min_rows} rows would single out people")
        return work

    def nearest_row(self, params: NearestParams) -> AuditWork:
        return statements.nearest_row(self.registration.spec.data, self.data, self.auditor, params.query)


def open_run(workspace: Path) -> tuple[RunFolder, Registration]:
    """The run in `workspace`. Raises AuditError when it is none, or not finished."""
    folder = RunFolder(workspace)
    try:
        folder.require()
        registration = Registration.decode((folder.public / "registration.bin").read_bytes())
    except (OSError, ProvingError, VerificationError) as error:
        raise AuditError(f"{workspace} holds no run to answer from: {error}") from error
    if not folder.has_proof(f"segment-{registration.n_segments - 1:04d}"):
        raise AuditError(f"the run in {workspace} is not proven yet; finish it with `assay prove {workspace}`")
    return folder, registration


def training_files(workspace: Path) -> Mapping[str, bytes]:
    """Answer to `training.proof`: the run's own proofs (also those published since)."""
    folder, _ = open_run(workspace)
    return _pair_files(folder, ("certificate-", "segment-", "refresh-"))


def _pair_files(folder: RunFolder, prefixes: tuple[str, ...]) -> dict[str, bytes]:
    out = {}
    for name, statement, proof in folder.pairs():
        if name.startswith(prefixes):
            out[f"proofs/{name}.stmt"], out[f"proofs/{name}.proof"] = statement, proof
    return out


def answer_audit(
    workspace: Path,
    request: AuditRequest,
    execute: Callable[[RunSecrets], AuditWork],
    progress: Progress,
    cancelled: Cancelled,
) -> Mapping[str, bytes]:
    """Evidence files: the audit's statement and proof, and the refreshes it may rest on."""
    folder, registration = open_run(workspace)
    if registration.run_id.hex() != request.subject.sha256:
        raise AuditError(f"{workspace} holds run {registration.run_id.hex()[:16]}, the request is about another")
    kept = folder.private / "answers" / request.sha256
    if not kept.with_suffix(".stmt").exists():
        # One prover a folder at a time: a refresh that two agents made at once would leave one of them without its opening.
        with _held(folder, cancelled):
            if not kept.with_suffix(".stmt").exists():
                _prove(folder, registration, request, execute, progress, cancelled, kept)
    evidence = _pair_files(folder, ("refresh-",))
    evidence["proofs/audit.stmt"] = kept.with_suffix(".stmt").read_bytes()
    evidence["proofs/audit.proof"] = kept.with_suffix(".proof").read_bytes()
    progress(1.0, "answered")
    return evidence


@contextmanager
def _held(folder: RunFolder, cancelled: Cancelled) -> Iterator[None]:
    try:
        with folder.locked(patience=lambda: not cancelled()):
            yield
    except ProvingError as error:
        if cancelled():
            raise CancelledError("the audit was cancelled") from error
        raise AuditError(str(error)) from error


def _prove(
    folder: RunFolder,
    registration: Registration,
    request: AuditRequest,
    execute: Callable[[RunSecrets], AuditWork],
    progress: Progress,
    cancelled: Cancelled,
    kept: Path,
) -> None:
    def stage(name: str) -> None:
        if cancelled():
            raise CancelledError("the audit was cancelled")
        progress(0.5, name)

    _require_patience(folder, request.auditor)
    try:
        stage("executing")
        secrets = RunSecrets(folder, registration, Auditor(request.auditor, bytes.fromhex(request.sha256)))
        proven = execute(secrets).prove(folder.ledger, progress=stage)
        write_private(kept.with_suffix(".proof"), proven.proof)
        write_private(kept.with_suffix(".stmt"), proven.statement.encode())
        folder.ledger.forget(proven.statement.digest())
    except WindowError as error:
        _count_refusal(folder, request.auditor)
        raise AuditError("the provider could not prove this: a value leaves the windows of the model") from error
    except (ProvingError, VerificationError) as error:
        raise AuditError(f"the provider could not prove this: {error}") from error


def _count_refusal(folder: RunFolder, auditor: str) -> None:
    refusals = _refusals(folder)
    folder.write_json(REFUSALS, {**refusals, auditor: refusals.get(auditor, 0) + 1})


def _refusals(folder: RunFolder) -> dict[str, int]:
    return dict(folder.read_json(REFUSALS)) if (folder.private / REFUSALS).exists() else {}


def _require_patience(folder: RunFolder, auditor: str) -> None:
    """That a request leaves the windows tells the auditor a bit about the weights; a few such bits are all it gets."""
    if _refusals(folder).get(auditor, 0) >= MAX_REFUSALS:
        raise AuditError(f"refused: {MAX_REFUSALS} requests of this auditor left the windows of the model already")
