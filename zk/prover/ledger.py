"""Column ledger: which columns of a long-lived commitment were ever opened (PROTOCOL 4.4).

Forgetting it destroys privacy silently, so it is written to disk before a proof leaves the prover. Whoever can alter this
file can make the provider reveal its data by opening too many columns; nobody can forge a proof with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from pathlib import Path

from zk.protocol.errors import BudgetError, ProvingError
from zk.protocol.params import StoreProfile
from zk.prover.openings import write_private


class Ledger:
    """Opened columns by record digest. With a path the ledger is durable and shared by processes; without, it is in memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._opened: dict[str, set[int]] = self._read()

    def opened(self, record: bytes) -> frozenset[int]:
        return frozenset(self._opened.get(record.hex(), set()))

    def n_openings_left(self, record: bytes, profile: StoreProfile) -> int:
        """Full openings that remain before only a REFRESH is possible (a lower bound: columns may repeat)."""
        self._opened = self._read() if self._path else self._opened
        return max(0, profile.h - profile.t - len(self.opened(record))) // profile.t

    def spend(self, records: list[bytes], indices: list[int], profile: StoreProfile, *, is_refresh: bool) -> None:
        """Record the opening of `indices` in all `records` or raise `BudgetError` without recording anything."""
        if self._path is None:
            self._opened = self._added(self._opened, records, indices, profile, is_refresh)
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(self._path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._opened = self._added(self._read(), records, indices, profile, is_refresh)
            self._write()

    # -- escrow: a finished proof between the ledger and its publication ---------------------------------------------
    def release(
        self, statement: bytes, proof: bytes, records: list[bytes], indices: list[int], profile: StoreProfile, *, is_refresh: bool
    ) -> bytes:
        """Spend and hand out a finished proof. A durable ledger first keeps the proof privately under the statement's
        digest: killed at any point, the next attempt gets this very proof from `kept` and spends nothing more."""
        if self._path is None:
            self.spend(records, indices, profile, is_refresh=is_refresh)
            return proof
        self._added(self._read(), records, indices, profile, is_refresh)
        write_private(self._escrow(statement), struct.pack(f"<I{len(indices)}I", len(indices), *indices) + proof)
        self.spend(records, indices, profile, is_refresh=is_refresh)
        return proof

    def kept(self, statement: bytes, records: list[bytes], profile: StoreProfile, *, is_refresh: bool) -> bytes | None:
        """The finished proof of an interrupted attempt at the same statement, its columns spent; None if there is none."""
        if self._path is None or not self._escrow(statement).exists():
            return None
        data = self._escrow(statement).read_bytes()
        count = int.from_bytes(data[:4], "little")
        indices = list(struct.unpack_from(f"<{count}I", data, 4))
        self.spend(records, indices, profile, is_refresh=is_refresh)
        return data[4 + 4 * count :]

    def forget(self, statement: bytes) -> None:
        """Drop the kept proof once it has been published."""
        if self._path is not None:
            self._escrow(statement).unlink(missing_ok=True)

    def _escrow(self, statement: bytes) -> Path:
        assert self._path is not None
        return self._path.parent / "escrow" / f"{statement.hex()}.proof"

    def _added(
        self,
        opened: dict[str, set[int]],
        records: list[bytes],
        indices: list[int],
        profile: StoreProfile,
        refresh: bool,
    ) -> dict[str, set[int]]:
        limit = profile.h if refresh else profile.h - profile.t
        out = dict(opened)
        for record in records:
            union = out.get(record.hex(), set()) | set(indices)
            if len(union) > limit:
                raise BudgetError(
                    f"commitment {record.hex()[:16]} would have {len(union)} opened columns, at most {limit} keep it"
                    " hidden; refresh it first (assay refreshes automatically when it owns the opening)"
                )
            out[record.hex()] = union
        return out

    def _read(self) -> dict[str, set[int]]:
        if self._path is None or not self._path.exists():
            return {}
        try:
            raw = json.loads(self._path.read_text())
            return {str(record): {int(i) for i in columns} for record, columns in raw.items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise ProvingError(
                f"the column ledger {self._path} is damaged; restore it from a backup, do not delete it: {error}"
            ) from error

    def _write(self) -> None:
        assert self._path is not None
        temporary = self._path.with_suffix(".tmp")
        with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump({record: sorted(columns) for record, columns in sorted(self._opened.items())}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
