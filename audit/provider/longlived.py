"""A long-lived commitment and its refreshes (PROTOCOL 4.4, 4.5)."""

from __future__ import annotations

from audit.provider.folder import RunFolder
from zk.prover.commitment import StoreTableau
from zk.prover.openings import refreshed
from zk.prover.prove import Progress
from zk.prover.statements import prove_refresh


class LongLived:
    """A long-lived commitment with refreshes: `NAME.opening`, `NAME-1.opening`, ... in the private folder.

    `current` always has room for one more opening; where it has not, a REFRESH is proven and published first.
    """

    def __init__(self, folder: RunFolder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._generation = 0
        while folder.has_proof(self._refresh_name(self._generation + 1)):
            self._generation += 1
        self._tableau = folder.load_opening(self._opening_name(self._generation))

    def current(self, progress: Progress | None = None) -> StoreTableau:
        """The newest commitment with budget for one opening."""
        if self._folder.ledger.n_openings_left(self._tableau.record.digest(), self._tableau.profile) < 1:
            self._refresh(progress)
        return self._tableau

    def _refresh(self, progress: Progress | None) -> None:
        generation = self._generation + 1
        opening = self._opening_name(generation)
        new = self._folder.load_opening(opening) if self._folder.has_opening(opening) else None
        if new is None:
            new = refreshed(self._tableau)
            self._folder.save_opening(opening, new)
        proven, new = prove_refresh(self._refresh_name(generation), self._tableau, self._folder.ledger, new, progress)
        self._folder.write_record(opening, new)
        self._folder.write_proof(proven)
        self._generation, self._tableau = generation, new

    def _opening_name(self, generation: int) -> str:
        return f"{self._name}-{generation}" if generation else self._name

    def _refresh_name(self, generation: int) -> str:
        return f"refresh-{self._name}-{generation}"
