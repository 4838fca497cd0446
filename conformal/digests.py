"""Digests of claim ledgers and of their outputs: what a certificate was calibrated on, and whether a test set is fresh."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from conformal.claims import MIN_CONTENT_CHARS, ClaimTable, plain_text
from conformal.documents import canonical, digest, float_text
from conformal.errors import GuaranteeError


def ledger_digest(table: ClaimTable) -> str:
    """SHA-256 over one canonical line an output: id, group, digest of its text, and every claim with label, scores, premises.

    The same for every file form that gives the same table.
    """
    hasher = hashlib.sha256()
    for line in _lines(table):
        hasher.update(line + b"\n")
    return hasher.hexdigest()


def output_digests(table: ClaimTable) -> tuple[str, ...]:
    """One digest an output, by which it is known again (n).

    Of prompt and output text where both are there, whatever its id, scores or labels; else of texts and scores of its claims;
    where the texts are shorter than MIN_CONTENT_CHARS, of id, texts and scores.
    """
    names = sorted(table.scores)
    found = []
    for i in range(table.n_outputs):
        if table.contents and table.contents[i]:
            found.append(table.contents[i])
            continue
        start, stop = int(table.offsets[i]), int(table.offsets[i + 1])
        texts = [plain_text(text) for text in table.texts[start:stop]]
        scores = [[name, *(float_text(x) for x in table.scores[name][start:stop].tolist())] for name in names]
        known = sum(map(len, texts)) >= MIN_CONTENT_CHARS
        found.append(digest([None if known else table.ids[i], texts, scores]))
    return tuple(found)


def refuse_overlap(known: frozenset[str], table: ClaimTable, what: str) -> tuple[str, ...]:
    """The digests of a table none of whose outputs is among `known`, nor twice in itself. Raises GuaranteeError."""
    found = output_digests(table)
    seen: set[str] = set()
    for identity, own in zip(table.ids, found):
        if own in known:
            raise GuaranteeError(f"{what}: the output {identity!r} is one of the calibration outputs; only fresh outputs count")
        if own in seen:
            raise GuaranteeError(f"{what}: the output {identity!r} is there twice; every output counts once")
        seen.add(own)
    return found


def _lines(table: ClaimTable) -> Iterator[bytes]:
    names = sorted(table.scores)
    columns = [table.scores[name].tolist() for name in names]
    for i in range(table.n_outputs):
        start, stop = int(table.offsets[i]), int(table.offsets[i + 1])
        claims = [
            [
                table.texts[j] if table.texts else "",
                table.labels[j] if table.labels is not None else None,
                [float_text(column[j]) for column in columns],
                [p - start for p in table.premises.get(j, ())],
            ]
            for j in range(start, stop)
        ]
        yield canonical([table.ids[i], table.groups[i], table.contents[i] if table.contents else "", names, claims])
