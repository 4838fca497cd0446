"""Texts whose membership is known, supposed or asked for. A record's text never leaves the probe; its id is only committed to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from privacy.errors import PlanError, ScoreError

MAX_RECORDS = 200_000
MAX_ID = 200
MAX_TEXT = 1_000_000


class Role(StrEnum):
    """What is known of a record before the model is asked."""

    MEMBER = "member"
    """In the training set."""
    NON_MEMBER = "non-member"
    """Not in it, and from the same source as the members and candidates: the null."""
    CANDIDATE = "candidate"
    """Asked for."""
    DECOY = "decoy"
    """From the source of the candidates, and certainly not in the training set: whoever is accused here is accused falsely."""
    POPULATION = "population"
    """Not in the training set; serves RMIA as the points z, and nothing else."""


@dataclass(frozen=True)
class Record:
    """One text. Ids and texts are distinct over all records."""

    id: str
    text: str = field(repr=False)
    role: Role


def check_records(records: Sequence[Record]) -> Counter[Role]:
    """How many there are of each role. Raises PlanError and ScoreError, naming a record by its place only."""
    if not 0 < len(records) <= MAX_RECORDS:
        raise PlanError(f"membership takes 1 to {MAX_RECORDS} records, not {len(records)}")
    ids: dict[str, int] = {}
    texts: dict[str, int] = {}
    for place, one in enumerate(records):
        if not 0 < len(one.id) <= MAX_ID:
            raise ScoreError(f"record {place}: an id has 1 to {MAX_ID} characters")
        if not 0 < len(one.text) <= MAX_TEXT:
            raise ScoreError(f"record {place}: a text has 1 to {MAX_TEXT} characters")
        for kind, seen, value in (("id", ids, one.id), ("text", texts, one.text)):
            if value in seen:
                raise ScoreError(f"records {seen[value]} and {place} have the same {kind}; leave one of them out")
            seen[value] = place
    return Counter(one.role for one in records)
