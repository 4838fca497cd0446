"""Golden proofs: fixed bytes that every later version must keep accepting, and copies that it must keep refusing.

    python -m tests.vectors.proofs.write        writes new ones (only when the protocol version changes)

Proofs are random, so a rewritten file differs; `manifest.json` names every file, and for refused ones the error kind.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.soundness.harness import Proven
from tests.soundness.proof_map import map_proof
from tests.soundness.statements import KINDS, proven, with_digest
from zk.protocol.errors import VerificationError
from zk.protocol.statement import Statement
from zk.verifier.verify import verify

HERE = Path(__file__).parent
STATEMENT, PROOF = ".statement", ".proof"


def refused_copies() -> Iterator[tuple[str, Proven]]:
    """Twenty changed copies, one for each kind of damage."""
    for kind in ("certificate", "histogram", "refresh", "segment"):
        fixture = proven(kind)
        found = map_proof(fixture.statement, fixture.proof)
        flips = {"root": "04.root.seg", "vr": "21.vr", "answer": "27.pad.quad", "node": "open.SEG.node"}
        for name, label in flips.items():
            at = found.of(label)[0].start
            proof = fixture.proof[:at] + bytes([fixture.proof[at] ^ 1]) + fixture.proof[at + 1 :]
            yield f"{kind}-{name}", Proven(fixture.statement, proof)
    cert, audit = proven("certificate"), proven("histogram")
    yield "certificate-truncated", Proven(cert.statement, cert.proof[:-1])
    yield "certificate-trailing", Proven(cert.statement, cert.proof + b"\0")
    yield "certificate-for-audit", Proven(audit.statement, cert.proof)
    st = Statement.decode(audit.statement)
    counts = st.public("counts")
    false = replace(st, publics=(("counts", (counts[0] - 1, counts[1] + 1)),))
    yield "histogram-false-output", Proven(false.encode(), with_digest(audit.proof, false))


def kind_of(fixture: Proven) -> str:
    try:
        verify(fixture.statement, fixture.proof, allow_toy=True)
    except VerificationError as error:
        return error.kind
    return "accepted"


def write() -> None:
    manifest: dict[str, str] = {}
    for name, fixture in [*((kind, proven(kind)) for kind in KINDS), *refused_copies()]:
        (HERE / (name + STATEMENT)).write_bytes(fixture.statement)
        (HERE / (name + PROOF)).write_bytes(fixture.proof)
        manifest[name] = kind_of(fixture)
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    write()
