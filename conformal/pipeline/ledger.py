"""The scored ledger a run ends in: the claim ledger of `conformal.claims` without labels, for annotators and for filtering.

Same members. Two things differ until it is labelled: no claim has a `label`, and a claim that a scorer failed on lacks that name
in its `scores`, which reads as "never kept"; the strict ledger refuses such a claim. An output that could not be split has no
claims and an `error`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conformal.claims import MAX_LINE_BYTES, TableBuilder
from conformal.errors import LedgerError
from conformal.pipeline.journal import canonical_line
from conformal.pipeline.scorers.scorer import Score
from conformal.pipeline.splitters.claim import Claim


@dataclass(frozen=True)
class ScoredOutput:
    """One output. `scores[name]` has one entry a claim, None where there is none."""

    id: str
    prompt: str
    output: str
    claims: tuple[Claim, ...]
    scores: Mapping[str, Sequence[Score]]
    group: str | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        claims: list[dict[str, Any]] = []
        for place, claim in enumerate(self.claims):
            scores = {name: values[place] for name, values in self.scores.items() if values[place] is not None}
            claims.append({"text": claim.text, "scores": scores})
            if claim.premises:
                claims[-1]["premises"] = list(claim.premises)
        found: dict[str, Any] = {"id": self.id, "prompt": self.prompt, "output": self.output, "claims": claims}
        extra = {"group": self.group, "error": self.error}
        return {**found, **{name: value for name, value in extra.items() if value is not None}}


def ledger_text(outputs: Iterable[ScoredOutput]) -> str:
    """The ledger as a file: canonical JSON lines in the order given."""
    return "".join(canonical_line(output.to_json()) for output in outputs)


def read_scored_ledger(lines: Iterable[str], name: str = "the ledger") -> list[ScoredOutput]:
    """Strict but for missing labels and scores. Raises LedgerError naming line and claim."""
    checker = TableBuilder()
    out: list[ScoredOutput] = []
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        if not line.strip():
            continue
        if len(line) > MAX_LINE_BYTES:
            raise LedgerError(f"{where}: longer than {MAX_LINE_BYTES} characters")
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise LedgerError(f"{where}: not valid JSON") from None
        checker.add(record, where)
        out.append(_output(record, where))
    return out


def scored_only(output: ScoredOutput, name: str) -> ScoredOutput:
    """The output as back-off sees it under one score: without the claims that have none, and what rests on them. This form can be
    labelled and calibrated, since a claim without a score is never kept at any threshold."""
    scores = output.scores.get(name, [None] * len(output.claims))
    places: dict[int, int] = {}
    for place, claim in enumerate(output.claims):
        if scores[place] is not None and all(premise in places for premise in claim.premises):
            places[place] = len(places)
    claims = tuple(
        Claim(output.claims[place].text, tuple(places[p] for p in output.claims[place].premises), output.claims[place].span)
        for place in places
    )
    kept = {name: [scores[place] for place in places]}
    return ScoredOutput(output.id, output.prompt, output.output, claims, kept, output.group, output.error)


def _output(record: Mapping[str, Any], where: str) -> ScoredOutput:
    prompt, output, error = record.get("prompt"), record.get("output"), record.get("error")
    if not isinstance(prompt, str) or not isinstance(output, str):
        raise LedgerError(f"{where}: prompt and output must be texts")
    if error is not None and not isinstance(error, str):
        raise LedgerError(f"{where}: error must be a text")
    claims = tuple(Claim(claim["text"], tuple(claim.get("premises", ()))) for claim in record["claims"])
    names = {score for claim in record["claims"] for score in claim["scores"]}
    scores = {score: [claim["scores"].get(score) for claim in record["claims"]] for score in sorted(names)}
    return ScoredOutput(record["id"], prompt, output, claims, scores, record.get("group"), error)
