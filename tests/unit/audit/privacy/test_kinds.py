"""The kinds of this room: registered lightly, named as they stand."""

from __future__ import annotations

import subprocess
import sys

import pytest

from audit.deferred import Deferred
from audit.kinds import build_registry
from audit.registry import is_run_by_service

NAMES = ("dp_bound", "extraction", "membership", "probe", "unlearning", "whitebox")


def test_every_privacy_kind_is_registered_and_run_by_the_service() -> None:
    found = [kind.name for kind in build_registry() if kind.name.startswith("privacy.")]
    assert found == [f"privacy.{name}" for name in NAMES]
    assert all(is_run_by_service(build_registry().get(name)) for name in found)


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_for_a_kind_says_what_it_says(name: str) -> None:
    deferred = build_registry().get(f"privacy.{name}")
    assert isinstance(deferred, Deferred)
    assert (deferred.name, deferred.title) == (deferred.kind.name, deferred.kind.title)  # type: ignore[attr-defined]


def loaded(program: str) -> str:
    watched = "{'numpy', 'torch', 'sqlalchemy', 'fastapi', 'httpx', 'transformers'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", f"import sys\n{program}\nprint({watched})"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_building_the_registry_loads_nothing_heavy() -> None:
    assert loaded("import audit.verify, audit.kinds; audit.kinds.build_registry()") == "set()"


@pytest.mark.parametrize("name", NAMES)
def test_checking_evidence_loads_neither_torch_nor_the_service(name: str) -> None:
    """NumPy is in the base installation; a reader has no more than that."""
    program = f"from audit.kinds import build_registry; build_registry().get('privacy.{name}').kind"
    for judge in ("privacy.probes.recount", "privacy.probes.white_box.results", "privacy.probes.unlearning_recount"):
        program += f"\nimport {judge}"
    assert set(loaded(program).strip("{}").replace("'", "").split(", ")) <= {"numpy", "set()"}
