"""Running `assay privacy` in this process, with invented subjects and a stand-in for models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.cli.main import main
from api.cli.privacy.consented import Consented
from api.cli.privacy.named_model import OpenModel
from privacy.consent import new_request
from privacy.redaction import Redactor, find_residue
from tests.unit.privacy.fake_model import FakeModel

NAME, PHONE, EMAIL = "Orla Quennell", "+1 202-555-0143", "orla.quennell@example.org"
VALUES = (("name", NAME), ("phone", PHONE), ("email", EMAIL))
SECRETS = (NAME, PHONE, EMAIL)
MODEL, REFERENCE = "ab" * 32, "cd" * 32
TEMPLATES = "one\ttwin\tphone\t{name}'s phone number is\ntwo\ttwin\temail\t{name}'s e-mail address is\n"
QUICK = ("--nulls", "40")


@dataclass
class Ran:
    """One command: exit code, stdout, stderr. Neither may hold a value or a traceback."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(capsys: pytest.CaptureFixture[str], *words: str, secrets: Sequence[str] = SECRETS) -> Ran:
    """Run `assay privacy`; asserts that nothing it prints holds a secret."""
    with pytest.raises(SystemExit) as stopped:
        main(["privacy", *words])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert find_residue((captured.out + captured.err).encode(), secrets) == []
    return Ran(int(stopped.value.code or 0), captured.out, captured.err)


def refused(found: Ran, code: int, *words: str) -> None:
    """One clear line that has the words, with this exit code, and nothing on stdout."""
    assert found.code == code and found.out == "", found
    assert len(found.err.strip().splitlines()) == 1 and found.err.startswith("assay: "), found.err
    assert all(word in found.err for word in words), found.err


@dataclass
class Signed:
    """The files of one consent."""

    request: Path
    openings: Path

    @property
    def options(self) -> tuple[str, ...]:
        return "--request", str(self.request), "--openings", str(self.openings)


def sign(
    folder: Path, values: Sequence[tuple[str, str]] = VALUES, model: str = MODEL, name: str = "a",
    now: datetime | None = None, days: float = 30,
) -> Signed:  # fmt: skip
    """A consent made without the command line, as a service's client would."""
    key, issued = Ed25519PrivateKey.generate(), now or datetime.now(UTC)
    request, openings = new_request(key, Redactor.new(), model, "does it know me?", values, issued, timedelta(days=days))
    found = Signed(folder / f"{name}.request.json", folder / f"{name}.openings.json")
    found.request.write_bytes(request)
    found.openings.write_bytes(openings)
    found.openings.chmod(0o600)
    return found


@dataclass
class Models:
    """What `--model` and `--reference` open, by digest; `opened` counts."""

    fakes: dict[str, Any] = field(default_factory=lambda: {MODEL: FakeModel(1), REFERENCE: FakeModel(5)})
    opened: int = 0

    @contextmanager
    def open(self, spec: str, device: str, progress: Any = None, key: Path | None = None) -> Iterator[OpenModel]:
        self.opened += 1
        yield OpenModel(self.fakes[spec], spec, False)


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Models:
    """Stand-ins instead of models, a state folder of the test's own, and nulls that are the same in every run."""
    found = Models()
    monkeypatch.setattr("api.cli.privacy.named_model.opened", found.open)
    monkeypatch.setenv("ASSAY_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(Consented, "derive", lambda self, purpose: hashlib.sha256(purpose.split("/")[0].encode()).digest())
    return found


@pytest.fixture
def templates(tmp_path: Path) -> tuple[str, ...]:
    """Few prompts, so that a run takes a moment."""
    path = tmp_path / "templates.tsv"
    path.write_text(TEMPLATES)
    return "--templates", str(path)
