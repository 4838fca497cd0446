"""Golden proofs keep verifying, and the refused ones keep being refused for the same reason."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.soundness.harness import Proven
from tests.soundness.proof_map import map_proof
from tests.vectors.proofs.write import HERE, PROOF, STATEMENT, kind_of

MANIFEST: dict[str, str] = json.loads((HERE / "manifest.json").read_text())
ACCEPTED = sorted(name for name, kind in MANIFEST.items() if kind == "accepted")
REFUSED = sorted(set(MANIFEST) - set(ACCEPTED))


def load(name: str) -> Proven:
    return Proven((HERE / (name + STATEMENT)).read_bytes(), (HERE / (name + PROOF)).read_bytes())


def test_manifest_is_complete() -> None:
    files = {path.name for path in HERE.iterdir() if path.suffix in (STATEMENT, PROOF)}
    assert files == {name + suffix for name in MANIFEST for suffix in (STATEMENT, PROOF)}
    assert ACCEPTED == ["certificate", "histogram", "predicate", "refresh", "segment"]
    assert len(REFUSED) == 20 and set(Counter(MANIFEST.values())) >= {"accepted", "constraint", "merkle", "malformed"}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(name: str) -> None:
    load(name).verify()


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    assert kind_of(load(name)) == MANIFEST[name]


@pytest.mark.parametrize("name", ACCEPTED)
def test_opened_columns_are_those_of_the_challenges(name: str) -> None:
    """The challenges drawn from the golden bytes are part of the vector: another transcript opens other columns."""
    golden = load(name)
    found = map_proof(golden.statement, golden.proof)
    assert all(columns == frozenset(found.columns) for columns in golden.verify().opened.values())
