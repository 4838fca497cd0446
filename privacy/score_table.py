"""Score files: what each model variant gave the true answer and its alternatives, one row a fact. Pure parsing, bounded.

A CSV file with a header. Columns left of `question` label the model variant; `question` and `author` (the subject) are
identifiers; `true_tokens`, `true_nll` and `alt1_tokens`, `alt1_nll` .. are token counts and summed negative log-likelihoods;
`decoy` (1 or 0) marks invented subjects. `PREFIXtrue_nll`, `PREFIXalt1_nll` .. may hold a reference model's scores. Other columns
are left alone.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from privacy.errors import ScoreError
from privacy.statistics.scores import Floats

MAX_FILE_BYTES = 200_000_000
MAX_ROWS = 1_000_000
MAX_ALTERNATIVES = 1000
MAX_VARIANTS = 1000
_NAME = re.compile(r"[\w .:/+-]{0,100}")
_IDENTIFIER = re.compile(r"[\w.:-]{1,64}")
_ALTERNATIVE = re.compile(r"alt([1-9][0-9]{0,3})_nll")

Labels = Mapping[str, str]


@dataclass(frozen=True)
class Fact:
    """One question: candidates with the true answer first. `reference` is empty where the row has none."""

    subject: str
    decoy: bool
    tokens: tuple[float, ...]
    nll: tuple[float, ...]
    reference: tuple[float, ...]


@dataclass
class Variant:
    """The scores of one model: facts by question."""

    labels: Labels
    facts: dict[str, Fact] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in self.labels.items()) or "the model"

    def scores(self, reference: Variant | None = None, own_reference: bool = False) -> Floats:
        """Questions x candidates: log-likelihood per token, minus that under the reference if there is one. Raises ScoreError."""
        tokens = np.array([fact.tokens for fact in self.facts.values()])
        nll = np.array([fact.nll for fact in self.facts.values()])
        if own_reference:
            return np.asarray((np.array([fact.reference for fact in self.facts.values()]) - nll) / tokens)
        if reference is None:
            return np.asarray(-nll / tokens)
        rows = []
        for question, fact in self.facts.items():
            other = reference.facts.get(question)
            if other is None or other.subject != fact.subject or other.tokens != fact.tokens:
                raise ScoreError(f"the reference ({reference.name}) has no row for question {question} with the same tokens")
            rows.append(other.nll)
        return np.asarray((np.array(rows) - nll) / tokens)


@dataclass(frozen=True)
class ScoreTable:
    """All variants of a file, in its order, with at least one fact each."""

    variants: tuple[Variant, ...]
    candidates: int

    def find(self, wanted: Labels, like: Variant) -> Variant:
        """The variant with these labels, the labels not named being those of `like`. Raises ScoreError."""
        labels = {**like.labels, **wanted}
        for variant in self.variants:
            if dict(variant.labels) == labels:
                return variant
        spelled = ", ".join(f"{key}={value}" for key, value in labels.items())
        names = "; ".join(variant.name for variant in self.variants[:8])
        raise ScoreError(f"the scores have no variant {spelled}; there are: {names}")


def read_scores(path: Path, reference_prefix: str = "") -> ScoreTable:
    """Raises ScoreError."""
    if not path.is_file():
        raise ScoreError(f"{path} is not a file; name a CSV file of scores")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ScoreError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return parse_scores(path.read_bytes(), reference_prefix)


def parse_scores(content: bytes, reference_prefix: str = "") -> ScoreTable:
    """The table from the bytes of a file. Raises ScoreError, which names the line but never repeats what stands there."""
    try:
        rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        columns = _Columns.read(next(rows, []), reference_prefix)
        variants: dict[tuple[str, ...], Variant] = {}
        for number, row in enumerate(rows, start=2):
            if number > MAX_ROWS + 1:
                raise ScoreError(f"at most {MAX_ROWS} rows are taken")
            if not row:
                continue
            key, question, fact = columns.parse(row, number)
            variant = variants.setdefault(key, Variant(dict(zip(columns.labels, key))))
            if question in variant.facts:
                raise ScoreError(f"line {number}: this question is there twice for {variant.name}")
            variant.facts[question] = fact
            if len(variants) > MAX_VARIANTS:
                raise ScoreError(f"at most {MAX_VARIANTS} model variants are taken; are the columns left of question labels?")
    except UnicodeDecodeError as error:
        raise ScoreError(f"the score file is no UTF-8 text (byte {error.start})") from None
    except csv.Error:
        raise ScoreError("the score file is no valid CSV") from None
    if not variants:
        raise ScoreError("the score file has no rows")
    return ScoreTable(tuple(variants.values()), len(columns.nll))


@dataclass(frozen=True)
class _Columns:
    """Where the columns of a file are."""

    width: int
    labels: tuple[str, ...]
    question: int
    subject: int
    decoy: int | None
    tokens: tuple[int, ...]
    nll: tuple[int, ...]
    reference: tuple[int, ...]

    @classmethod
    def read(cls, header: list[str], prefix: str) -> _Columns:
        if len(set(header)) != len(header):
            raise ScoreError("a column of the score file is there twice")
        at = {name: i for i, name in enumerate(header)}
        count = max((int(m[1]) for m in map(_ALTERNATIVE.fullmatch, header) if m), default=0)
        if not 1 <= count <= MAX_ALTERNATIVES:
            raise ScoreError(f"the score file needs 1 to {MAX_ALTERNATIVES} alternatives: columns alt1_tokens, alt1_nll, ..")
        names = ["true", *(f"alt{j}" for j in range(1, count + 1))]
        needed = ["question", "author", *(f"{n}_{part}" for n in names for part in ("tokens", "nll"))]
        needed += [f"{prefix}{n}_nll" for n in names] if prefix else []
        missing = [name for name in needed if name not in at]
        if missing:
            raise ScoreError(f"the score file lacks the column {missing[0]}")
        labels = tuple(n for n in header[: at["question"]] if n != "author")
        return cls(
            len(header), labels, at["question"], at["author"], at.get("decoy"),
            tuple(at[f"{n}_tokens"] for n in names), tuple(at[f"{n}_nll"] for n in names),
            tuple(at[f"{prefix}{n}_nll"] for n in names) if prefix else (),
        )  # fmt: skip

    def parse(self, row: list[str], line: int) -> tuple[tuple[str, ...], str, Fact]:
        if len(row) != self.width:
            raise ScoreError(f"line {line} has {len(row)} cells, the header {self.width}")
        key = tuple(row[i].strip() for i in range(self.question) if i != self.subject)
        if not all(map(_NAME.fullmatch, key)):
            raise ScoreError(f"line {line}: a label of the model variant is longer than 100 characters or has odd ones")
        question, subject = row[self.question].strip(), row[self.subject].strip()
        if not _IDENTIFIER.fullmatch(question) or not _IDENTIFIER.fullmatch(subject):
            raise ScoreError(f"line {line}: question and author are identifiers of letters, digits and .:-_, never personal data")
        decoy = row[self.decoy].strip() if self.decoy is not None else "0"
        if decoy not in ("0", "1"):
            raise ScoreError(f"line {line}: decoy is 1 or 0")
        tokens = tuple(_numbers(row, self.tokens, line))
        if not all(t >= 1 and t == int(t) for t in tokens):
            raise ScoreError(f"line {line}: a token count is no whole number from 1 on")
        nll, reference = tuple(_numbers(row, self.nll, line)), tuple(_numbers(row, self.reference, line))
        if min((*nll, *reference)) < 0:
            raise ScoreError(f"line {line}: a negative log-likelihood is below 0")
        return key, question, Fact(subject, decoy == "1", tokens, nll, reference)


def _numbers(row: list[str], columns: tuple[int, ...], line: int) -> Iterator[float]:
    for i in columns:
        try:
            value = float(row[i])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ScoreError(f"line {line}, column {i + 1}: not a finite number")
        yield value
