"""The one door to the zero-knowledge verifier: everything the service and the reports know about `zk` is in this file.

`zk.verifier` is imported inside the functions, so that nothing pays for it that does not verify a proof.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.errors import EvidenceError
from audit.registry import Check, Verdict, parse_verdict

PROOF_FOLDER = "proofs/"
STATEMENT_SUFFIX = ".stmt"
PROOF_SUFFIX = ".proof"
MAX_DETAIL_CHARS = 1000


@dataclass(frozen=True)
class AuditedStatement:
    """An AUDIT statement whose proof was accepted. Digests and nonce are hex; `publics` are its public integers.

    `origins` says for each commitment which run and checkpoint it belongs to. A kind must compare auditor and nonce
    with the request.
    """

    name: str
    family: str
    auditor: str
    nonce: str
    publics: Mapping[str, tuple[int, ...]]
    commitments: Mapping[str, str]
    origins: Mapping[str, str]


@dataclass(frozen=True)
class RunVerdict:
    """What verifying a set of proofs together gave. `run_ids` are the runs the set is about, in hex."""

    verdict: Verdict
    checks: tuple[Check, ...]
    conditions: tuple[str, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    run_ids: tuple[str, ...] = ()
    audits: tuple[AuditedStatement, ...] = ()


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
    """Verify (name, statement, proof) triples as one set, through `zk.verifier.bundle.verify_bundle`."""
    from zk.protocol.errors import VerificationError
    from zk.verifier.bundle import verify_bundle

    try:
        bundle = verify_bundle(pairs)
    except VerificationError as error:
        return RunVerdict("refuted", (Check(error.kind, False, str(error)[:MAX_DETAIL_CHARS]),))
    return RunVerdict(
        verdict=parse_verdict(bundle.verdict),
        checks=tuple(Check(check.id, check.ok, check.detail[:MAX_DETAIL_CHARS]) for check in bundle.checks),
        conditions=tuple(bundle.conditions),
        outputs={"runs": [_show_run(run) for run in bundle.runs]},
        run_ids=tuple(run.run_id.hex() for run in bundle.runs),
        audits=tuple(_convert_audit(audit) for audit in bundle.audits),
    )


def _show_run(run: Any) -> dict[str, Any]:
    return {
        "run_id": run.run_id.hex(),
        "segments": run.n_segments,
        "complete": run.is_complete,
        "final_checkpoint": None if run.final is None else run.final.hex(),
    }


def _convert_audit(audit: Any) -> AuditedStatement:
    return AuditedStatement(
        name=audit.name,
        family=audit.family,
        auditor=audit.auditor,
        nonce=audit.nonce.hex(),
        publics={name: tuple(values) for name, values in audit.publics.items()},
        commitments={name: record.hex() for name, record in audit.commitments.items()},
        origins=dict(audit.origins),
    )
