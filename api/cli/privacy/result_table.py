"""A black-box probe's result as lines for people: one row an item, the decoy gate, gamma, conditions. Shows no value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from api.cli.options import table
from privacy.probes.evidence import Evidence, HitEvidence, IntervalEvidence, RankEvidence
from privacy.probes.results import ItemResult, ProbeResult, Reveal

_COLUMNS = ("subject", "type", "length", "measured", "p", "p_adjusted", "verdict")


def describe(result: ProbeResult, conditions: Sequence[str]) -> str:
    """All of it."""
    rows = [_row(person.id, item) for person in result.people for item in person.items]
    reference = result.reference.name if result.reference else "none"
    lines = [
        f"model {result.model.name}, tier {result.access.value}; reference {reference}",
        table(rows, _COLUMNS, "no item"),
        f"decoys: {result.gate}",
        *_reveal_lines(result),
        *(f"condition: {sentence}" for sentence in conditions),
    ]
    return "\n".join(lines)


def _row(subject: str, item: ItemResult) -> dict[str, Any]:
    return {
        "subject": subject.removeprefix("subject-"),
        "type": item.measured.type,
        "length": item.measured.length_class,
        "measured": measured_words(item.measured.evidence),
        "p": f"{item.p_value:.3g}",
        "p_adjusted": f"{item.p_adjusted:.3g}",
        "verdict": f"{item.verdict} ({item.measured.doubt})" if item.measured.doubt else str(item.verdict),
    }


def measured_words(evidence: Evidence) -> str:
    """`rank 3 of 1000`, `rank 1 to 7 of 1000`, or `2 hits in 300`; N nulls make N + 1 ranks."""
    if isinstance(evidence, RankEvidence):
        return f"rank {evidence.rank} of {evidence.nulls + 1}"
    if isinstance(evidence, IntervalEvidence):
        return f"rank {evidence.best} to {evidence.worst} of {evidence.nulls + 1}"
    assert isinstance(evidence, HitEvidence)
    return f"{evidence.hits} hits in {evidence.samples}"


def _reveal_lines(result: ProbeResult) -> Iterator[str]:
    """gamma: the share of people whose value is revealed within 10^e sampled answers, with its interval over people."""
    found = [one for one in result.reveal if one.group is None and not one.decoys]
    rows = []
    for type_ in dict.fromkeys(one.type for one in found):
        own = [one for one in found if one.type == type_]
        cells = {f"10^{one.exponent}": _share(one) for one in own}
        rows.append({"type": type_, "people": own[0].people, **cells})
    if rows:
        yield "gamma: people whose value is revealed within so many sampled answers (95 % interval of the share)"
        yield table(rows, tuple(rows[0]), "")


def _share(one: Reveal) -> str:
    low, high = one.interval
    return f"{one.revealed} ({low:.2g} to {high:.2g})"
