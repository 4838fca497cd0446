"""The claim ledger: outputs of a model, cut into claims, with scores and labels, as flat arrays.

JSON lines, one output a line: `id`, `prompt`, `output`, `claims` (a list of `{text, scores: {name: value}, label}`, and
optionally `premises`: indices of earlier claims it rests on) and optionally `group`. Reading is strict: every problem is a
LedgerError that names the line and the claim.
"""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from conformal.errors import LedgerError
from conformal.labels import LABELS, Label, LabelPolicy, parse_label

MAX_OUTPUTS = 2_000_000
MAX_CLAIMS = 20_000_000
MAX_LINE_BYTES = 8 * 1024 * 1024
MAX_ID_CHARS = 200
MAX_SCORES = 64
# Shorter than this, prompt and output together do not tell one output from another (placeholders, withheld texts).
MIN_CONTENT_CHARS = 32
Floats = npt.NDArray[np.float64]
_FIELDS = {"id", "prompt", "output", "claims", "group", "error"}
_CLAIM_FIELDS = {"text", "scores", "label", "premises"}


@dataclass(frozen=True)
class ClaimTable:
    """n outputs with together m claims. `offsets` (n + 1) marks the claims of output i: offsets[i] .. offsets[i + 1].

    `scores` by name, each of m finite floats, larger = more confident; `labels` one letter a claim, or None where the ledger
    is not labelled; `premises[j]` are flat indices of claims that claim j rests on; `contents[i]` is the SHA-256 of prompt and
    output (`plain_text`), empty where they are missing or too short to identify anything.
    """

    ids: tuple[str, ...]
    offsets: npt.NDArray[np.int64]
    scores: Mapping[str, Floats]
    labels: tuple[Label, ...] | None
    groups: tuple[str | None, ...]
    texts: tuple[str, ...] = ()
    premises: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    contents: tuple[str, ...] = ()

    @property
    def n_outputs(self) -> int:
        return len(self.ids)

    @property
    def n_claims(self) -> int:
        return int(self.offsets[-1])

    @cached_property
    def owners(self) -> npt.NDArray[np.int64]:
        """Index of its output for every claim (m); read-only."""
        out = np.repeat(np.arange(self.n_outputs), np.diff(self.offsets))
        out.flags.writeable = False
        return out

    def count(self, claims: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """How many of the marked claims (m) each output has (n)."""
        running = np.concatenate([[0], np.cumsum(claims)])
        return np.asarray(running[self.offsets[1:]] - running[self.offsets[:-1]], dtype=np.int64)

    def truth(self, policy: LabelPolicy) -> npt.NDArray[np.bool_]:
        """Whether each claim counts as true (m). Raises LedgerError when the ledger is not labelled."""
        if self.labels is None:
            raise LedgerError("the ledger has claims without a label; calibration and audits need every label")
        counts_as_true = {label: policy.is_true(label) for label in set(self.labels)}
        return np.fromiter(map(counts_as_true.__getitem__, self.labels), dtype=bool, count=len(self.labels))

    def score(self, name: str) -> Floats:
        """The scores of that name (m). Raises LedgerError that lists those the ledger has."""
        if name not in self.scores:
            raise LedgerError(
                f"the ledger has no score {name!r} on every claim; it has: {', '.join(sorted(self.scores)) or 'none'}"
            )
        return self.scores[name]

    def select(self, rows: npt.NDArray[np.int64]) -> ClaimTable:
        """The outputs of those indices, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        sizes = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        flat = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] - offsets[:-1], sizes)
        place = {int(old): new for new, old in enumerate(flat)} if self.premises else {}
        return ClaimTable(
            ids=tuple(self.ids[i] for i in rows),
            offsets=offsets,
            scores={name: values[flat] for name, values in self.scores.items()},
            labels=None if self.labels is None else tuple(self.labels[i] for i in flat),
            groups=tuple(self.groups[i] for i in rows),
            texts=tuple(self.texts[i] for i in flat) if self.texts else (),
            premises={place[j]: tuple(place[p] for p in self.premises[j]) for j in place if j in self.premises},
            contents=tuple(self.contents[i] for i in rows) if self.contents else (),
        )


def read_ledger(lines: Iterable[str], name: str = "the ledger") -> ClaimTable:
    """Read JSON lines. Raises LedgerError naming `name`, the line and the claim at fault."""
    builder = TableBuilder()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        if len(line) > MAX_LINE_BYTES:
            raise LedgerError(f"{where}: longer than {MAX_LINE_BYTES} characters")
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise LedgerError(f"{where}: not valid JSON") from None
        builder.add(record, where)
    return builder.finish(name)


class TableBuilder:
    """Collects outputs, one record after another, into a ClaimTable."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._sizes: list[int] = []
        self._groups: list[str | None] = []
        self._texts: list[str] = []
        self._labels: list[Label | None] = []
        self._scores: list[Mapping[str, float]] = []
        self._premises: dict[int, tuple[int, ...]] = {}
        self._contents: list[str] = []

    def add(self, record: Any, where: str) -> None:
        """Add one output as the ledger writes it. Raises LedgerError."""
        if not isinstance(record, Mapping):
            raise LedgerError(f"{where}: an output must be a JSON object")
        unknown = sorted(set(record) - _FIELDS)
        if unknown:
            raise LedgerError(f"{where}: unknown members {', '.join(map(str, unknown))[:200]}")
        identity, claims = record.get("id"), record.get("claims")
        if not isinstance(identity, str) or not 0 < len(identity) <= MAX_ID_CHARS:
            raise LedgerError(f"{where}: id must be a text of 1 to {MAX_ID_CHARS} characters")
        if identity in self._ids:
            raise LedgerError(f"{where}: the id {identity!r} was used before ({self._ids[identity]})")
        if not isinstance(claims, list):
            raise LedgerError(f"{where}: claims must be a list (an empty one for an empty output)")
        group = record.get("group")
        if group is not None and (not isinstance(group, str) or not group):
            raise LedgerError(f"{where}: group must be a non-empty text")
        if len(self._ids) >= MAX_OUTPUTS or len(self._labels) + len(claims) > MAX_CLAIMS:
            raise LedgerError(f"{where}: a ledger has at most {MAX_OUTPUTS} outputs and {MAX_CLAIMS} claims")
        content = _content(record, where)
        self._ids[identity] = where
        self._groups.append(group)
        self._contents.append(content)
        start = len(self._labels)
        for index, claim in enumerate(claims):
            self._add_claim(claim, index, start, where)
        self._sizes.append(len(claims))

    def _add_claim(self, claim: Any, index: int, start: int, output: str) -> None:
        """The text that names a claim is made where it is needed: it costs as much as all the checks together."""
        if not isinstance(claim, dict) or not isinstance(claim.get("text"), str):
            raise LedgerError(f"{output}, claim {index}: a claim must be an object with text, scores and label")
        if not claim.keys() <= _CLAIM_FIELDS:
            unknown = sorted(set(claim) - _CLAIM_FIELDS)
            raise LedgerError(f"{output}, claim {index}: unknown members {', '.join(map(str, unknown))[:200]}")
        label, premises = claim.get("label"), claim.get("premises", [])
        scores: Any = claim.get("scores")
        if type(label) is str and label in LABELS:
            known: Label | None = label  # type: ignore[assignment]
        else:
            known = None if label is None else parse_label(label, f"{output}, claim {index}")
        if not isinstance(premises, list) or not all(type(p) is int and 0 <= p < index for p in premises):
            raise LedgerError(f"{output}, claim {index}: premises must be indices of earlier claims of the same output")
        self._scores.append(scores if _are_plain(scores) else _parse_scores(scores, f"{output}, claim {index}"))
        self._texts.append(claim["text"])
        self._labels.append(known)
        if premises:
            self._premises[start + index] = tuple(start + p for p in premises)

    def finish(self, name: str) -> ClaimTable:
        """The table. Raises LedgerError when a score stands on some claims only, or labels do."""
        names: set[str] = set()
        for found in self._scores:
            if not found.keys() <= names:
                names.update(found)
        for score in sorted(names):
            for position, found in enumerate(self._scores):
                if score not in found:
                    raise LedgerError(
                        f"{name}: claim {position} of all ({self._texts[position][:60]!r}) lacks the score {score!r}"
                    )
        labelled = [label for label in self._labels if label is not None]
        if labelled and len(labelled) != len(self._labels):
            where = self._labels.index(None)
            raise LedgerError(f"{name}: claim {where} of all ({self._texts[where][:60]!r}) has no label, others have")
        return ClaimTable(
            ids=tuple(self._ids),
            offsets=np.concatenate([[0], np.cumsum(self._sizes)]).astype(np.int64),
            scores={score: np.array([found[score] for found in self._scores], dtype=np.float64) for score in sorted(names)},
            labels=tuple(labelled) if labelled or not self._labels else None,
            groups=tuple(self._groups),
            texts=tuple(self._texts),
            premises=self._premises,
            contents=tuple(self._contents),
        )


def _content(record: Mapping[str, Any], where: str) -> str:
    texts = [record.get("prompt", ""), record.get("output", "")]
    if not all(isinstance(text, str) for text in texts):
        raise LedgerError(f"{where}: prompt and output must be texts")
    if not texts[1] or len(texts[0]) + len(texts[1]) < MIN_CONTENT_CHARS:
        return ""
    return hashlib.sha256(json.dumps([plain_text(text) for text in texts]).encode("ascii")).hexdigest()


def plain_text(text: str) -> str:
    """The text without what does not make it another one: case, white space, forms of the same characters."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _are_plain(value: Any) -> bool:
    """Whether scores are already what `_parse_scores` returns."""
    if type(value) is not dict or len(value) > MAX_SCORES:
        return False
    return all(type(number) is float and math.isfinite(number) for number in value.values())


def _parse_scores(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, Mapping) or len(value) > MAX_SCORES:
        raise LedgerError(f"{where}: scores must be an object of at most {MAX_SCORES} named numbers")
    return {str(name): parse_score(number, f"{where}, score {str(name)[:60]!r}") for name, number in value.items()}


def parse_score(value: Any, where: str) -> float:
    """A finite number. Raises LedgerError: a missing score is never read as zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise LedgerError(
            f"{where}: {str(value)[:40]!r} is not a finite number; a claim without a score cannot be kept or calibrated"
        )
    return float(value)


def _is_finite(value: int | float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def concatenate_labels(tables: Sequence[ClaimTable]) -> set[str]:
    """All ids of several tables; raises LedgerError where two share one, since a test set must be fresh."""
    seen: set[str] = set()
    for table in tables:
        shared = seen.intersection(table.ids)
        if shared:
            raise LedgerError(f"the output {sorted(shared)[0]!r} is in both sets; calibration and test outputs must be different")
        seen.update(table.ids)
    return seen
