"""The one door to the zero-knowledge verifier: everything the service and the reports know about `zk` is in this file.

`zk.verifier` is imported inside the functions, so that nothing pays for it that does not verify a proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.errors import EvidenceError
from audit.registry import Check, Verdict

PROOF_FOLDER = "proofs/"
STATEMENT_SUFFIX = ".stmt"
PROOF_SUFFIX = ".proof"


@dataclass(frozen=True)
class RunVerdict:
    """What verifying all proofs of a run gave. `run_id` is the one the statements speak of, or None."""

    verdict: Verdict
    checks: tuple[Check, ...]
    conditions: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None


def collect_pairs(files: Mapping[str, bytes], folder: str = PROOF_FOLDER) -> list[tuple[str, bytes, bytes]]:
    """The (name, statement, proof) triples under `folder`, in the order of their names.

    Raises EvidenceError when a statement lacks its proof, a proof its statement, or there is none at all.
    """
    names = list_pair_names(files, folder)
    return [(name, files[folder + name + STATEMENT_SUFFIX], files[folder + name + PROOF_SUFFIX]) for name in names]


def list_pair_names(names: Mapping[str, Any] | Sequence[str], folder: str = PROOF_FOLDER) -> list[str]:
    """Names of the statement and proof pairs among file names, sorted. Raises EvidenceError like `collect_pairs`."""
    inside = [name.removeprefix(folder) for name in names if name.startswith(folder)]
    statements = {name.removesuffix(STATEMENT_SUFFIX) for name in inside if name.endswith(STATEMENT_SUFFIX)}
    proofs = {name.removesuffix(PROOF_SUFFIX) for name in inside if name.endswith(PROOF_SUFFIX)}
    if statements - proofs:
        raise EvidenceError(f"{folder}{min(statements - proofs)}{STATEMENT_SUFFIX} has no {PROOF_SUFFIX} beside it")
    if proofs - statements:
        raise EvidenceError(f"{folder}{min(proofs - statements)}{PROOF_SUFFIX} has no {STATEMENT_SUFFIX} beside it")
    if not statements:
        raise EvidenceError(f"there is no statement with its proof under {folder}")
    return sorted(statements)


def verify_run_files(files: Mapping[str, bytes]) -> RunVerdict:
    """Verify every proof of a run, together: chaining, certificates and order included.

    Raises EvidenceError when the files are not a run at all. A proof that fails gives a verdict `refuted`.
    """
    return verify_pairs(collect_pairs(files))


def verify_pairs(pairs: Sequence[tuple[str, bytes, bytes]]) -> RunVerdict:
    """Verify (name, statement, proof) triples as one bundle, through `zk.verifier.bundle.verify_bundle`."""
    from zk.protocol.errors import VerificationError
    from zk.verifier.bundle import verify_bundle

    try:
        bundle = verify_bundle(pairs)
    except VerificationError as error:
        return RunVerdict("refuted", (Check(type(error).__name__, False, str(error)[:500]),))
    return RunVerdict(
        verdict=bundle.verdict,
        checks=tuple(Check(str(name), bool(ok), str(detail)) for name, ok, detail in bundle.checks),
        conditions=tuple(bundle.conditions),
        outputs=dict(bundle.outputs),
        run_id=_hex_or_none(getattr(bundle, "run_id", None)),
    )


def _hex_or_none(value: Any) -> str | None:
    return value.hex() if isinstance(value, bytes) else value
