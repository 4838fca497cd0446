"""A run folder on the provider's machine: `public/` may be copied anywhere, `private/` never leaves.

Whoever reads `private/` knows the data and the weights; whoever deletes its ledger can make later proofs leak them;
nobody can forge a proof with either.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from zk.protocol.errors import ProvingError
from zk.prover.commitment import StoreTableau
from zk.prover.ledger import Ledger
from zk.prover.openings import load_opening, save_opening, write_private
from zk.prover.statements import Proven

FORMAT = "assay-run/1"
LOCK_POLL_S = 0.1


class RunFolder:
    """Paths and atomic file access. Creating one makes the folders; `private/` has mode 0700."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.public = root / "public"
        self.private = root / "private"
        self._ledger: Ledger | None = None

    def create(self) -> RunFolder:
        """Make the folders. Raises `ProvingError` where a `public/` lies that this provider did not make."""
        if self.public.is_dir() and not self.private.is_dir():
            raise ProvingError(f"{self.root} holds a public/ but no private/ folder; choose another folder for --out")
        try:
            for folder in (self.public / "proofs", self.public / "commitments"):
                folder.mkdir(parents=True, exist_ok=True)
            self.private.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.chmod(self.private, 0o700)
        except OSError as error:
            raise ProvingError(f"cannot create the run folder {self.root}: {error.strerror}") from error
        return self

    def require(self) -> RunFolder:
        """Raise unless this is a run folder with its private half."""
        if not self.private.is_dir():
            raise ProvingError(f"{self.root} is not a run folder of this provider (no private/ inside)")
        return self

    @contextmanager
    def locked(self, patience: Callable[[], bool] | None = None) -> Iterator[RunFolder]:
        """Hold the folder against other processes and threads, and sweep what a killed one left half-written.

        Creates the folder. While another holds it, waits as long as `patience()` is true, then raises `ProvingError`. Not
        reentrant.
        """
        self.create()
        with open(self.private / "run.lock", "w") as lock:
            while not _try_lock(lock):
                if patience is None or not patience():
                    raise ProvingError(f"another process is working on {self.root}; wait for it, or stop it first")
                time.sleep(LOCK_POLL_S)
            for half_written in self.public.rglob("*.tmp"):
                half_written.unlink(missing_ok=True)
            try:
                yield self
            finally:
                if not (self.private / "config.json").exists():
                    self._remove_empty()

    def _remove_empty(self) -> None:
        """Leave no trace of a command that was refused before it wrote anything."""
        (self.private / "run.lock").unlink(missing_ok=True)
        for folder in (self.public / "proofs", self.public / "commitments", self.public, self.private, self.root):
            try:
                folder.rmdir()
            except OSError:  # not empty, or somebody's current folder: it stays
                continue

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger(self.private / "ledger.json")
        return self._ledger

    # -- proofs --------------------------------------------------------------------------------------------------
    def has_proof(self, name: str) -> bool:
        return all((self.public / "proofs" / f"{name}.{suffix}").exists() for suffix in ("stmt", "proof"))

    def write_proof(self, proven: Proven) -> None:
        """Proof first, statement last: a pair counts once its statement is there. Then the escrowed copy may go."""
        self.write_public(f"proofs/{proven.name}.proof", proven.proof)
        self.write_public(f"proofs/{proven.name}.stmt", proven.statement.encode())
        self.ledger.forget(proven.statement.digest())
        self.ledger.forget(proven.statement.digest())

    def read_statement(self, name: str) -> bytes:
        return self.read_public(f"proofs/{name}.stmt")

    def read_public(self, name: str) -> bytes:
        """A file of the public half. Raises `ProvingError` naming the file that is missing."""
        path = self.public / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise ProvingError(f"{path} cannot be read ({error.strerror}); run assay train on this folder again") from None

    def pairs(self) -> Iterator[tuple[str, bytes, bytes]]:
        """(name, statement, proof) of every complete pair, by name."""
        for path in sorted((self.public / "proofs").glob("*.stmt")):
            proof = path.with_suffix(".proof")
            if proof.exists():
                yield path.stem, path.read_bytes(), proof.read_bytes()

    def write_public(self, name: str, data: bytes) -> None:
        path = self.public / name
        write_private(path, data)
        os.chmod(path, 0o644)

    def write_record(self, name: str, tableau: StoreTableau) -> None:
        self.write_public(f"commitments/{name}.record", tableau.record.encode())

    # -- private -------------------------------------------------------------------------------------------------
    def has_opening(self, name: str) -> bool:
        return (self.private / f"{name}.opening").exists()

    def save_opening(self, name: str, tableau: StoreTableau) -> None:
        save_opening(self.private / f"{name}.opening", tableau)

    def load_opening(self, name: str) -> StoreTableau:
        return load_opening(self.private / f"{name}.opening")

    def write_json(self, name: str, value: Any) -> None:
        write_private(self.private / name, json.dumps(value, indent=1).encode())

    def read_json(self, name: str) -> Any:
        path = self.private / name
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            raise ProvingError(f"{path} is missing; this folder was not prepared by assay train") from None
        except ValueError as error:
            raise ProvingError(f"{path} is damaged ({error}); restore it from a backup") from None


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
