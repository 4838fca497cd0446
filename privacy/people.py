"""People as the probes see them: values by type, and where these come from. Printing one shows no value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Origin(StrEnum):
    """Why a person is in a run; what a p-value may be called follows from it."""

    CONSENTED = "consented"
    """Values that a data subject signed for."""
    DECOY = "decoy"
    """Invented for this run; no model was trained on it. Whoever is accused here is accused falsely."""
    CANARY = "canary"
    """Drawn by the auditor with the generator of the nulls, before training: the rank among nulls is exact."""


@dataclass(frozen=True)
class Person:
    """`values` by type of item: `name`, `phone`, `email`, ... `id` is what reports say, and tells nothing about the person."""

    id: str
    values: Mapping[str, str] = field(repr=False)
    origin: Origin = Origin.CONSENTED

    @property
    def types(self) -> tuple[str, ...]:
        """Types of the items, the name's left out, in the order given."""
        return tuple(type_ for type_ in self.values if type_ != "name")
