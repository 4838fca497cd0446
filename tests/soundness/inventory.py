"""The labels that a statement absorbs and draws, in order: the committed inventory `transcript.inventory`."""

from __future__ import annotations

from pathlib import Path

from tests.soundness.proof_map import replayed
from tests.soundness.statements import proven

INVENTORY = Path(__file__).with_name("transcript.inventory")
STATEMENTS = ("segment", "certificate", "refresh", "histogram", "predicate")


def labels_of(kind: str) -> list[str]:
    """`A label` for every absorb, `C label` for every draw of the honest proof of `kind`."""
    log: list[str] = []
    fixture = proven(kind)
    replayed(fixture.statement, fixture.proof, log)
    return log


def render() -> str:
    """The inventory file: one section a statement."""
    lines = ["# Every absorb (A) and challenge (C) of a proof, in transcript order; zk/PROTOCOL.md section 14."]
    for kind in STATEMENTS:
        lines += ["", f"[{kind}]", *labels_of(kind)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    INVENTORY.write_text(render())
