"""Canary scores: one score and one coin a canary. Larger score = more likely in the training set."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from privacy.errors import ScoreError
from privacy.statistics.scores import Floats, as_scores

MAX_CANARIES = 1_000_000
MAX_FILE_BYTES = 200_000_000
_TRUTH = {"1": True, "0": False, "in": True, "out": False, "true": True, "false": False}


@dataclass(frozen=True)
class Canaries:
    """m finite scores and whether each canary was in the training set. Every coin was fair and independent of all else."""

    scores: Floats
    included: npt.NDArray[np.bool_]

    @classmethod
    def build(cls, scores: npt.ArrayLike, included: npt.ArrayLike) -> Canaries:
        """Raises ScoreError."""
        values, inside = as_scores(scores, "canary scores"), np.asarray(included)
        if inside.shape != values.shape or inside.dtype != np.bool_:
            raise ScoreError("every canary needs one score and one truth value")
        if values.size > MAX_CANARIES:
            raise ScoreError(f"at most {MAX_CANARIES} canaries are taken")
        return cls(values, inside)

    @property
    def m(self) -> int:
        return int(self.scores.size)

    def take(self, indices: npt.NDArray[np.int64]) -> Canaries:
        return Canaries(self.scores[indices], self.included[indices])

    def shuffle(self, seed: int) -> Canaries:
        """The canaries in a random order drawn from `seed` and their content.

        The order they came in plays no part: rows sorted by coin, under a permutation that is the same for every file, would
        let ties and splits know something of the coins.
        """
        canonical = self.take(np.lexsort((self.included, self.scores)))
        content = (canonical.scores + 0.0).tobytes() + canonical.included.tobytes()
        digest = hashlib.sha256(b"canaries %d " % seed + content).digest()
        return canonical.take(np.random.default_rng(int.from_bytes(digest)).permutation(self.m))


def read_canaries(path: Path) -> Canaries:
    """A CSV file with a header and the columns `score` and `included` (1/0, in/out, true/false). Raises ScoreError."""
    if not path.is_file():
        raise ScoreError(f"{path} is not a file; name a CSV file with the columns score and included")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ScoreError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    return parse_canaries(path.read_bytes())


def parse_canaries(content: bytes) -> Canaries:
    """The same from the bytes of the file. A `canary` column, if there is one, holds distinct names. Raises ScoreError."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        if not {"score", "included"} <= set(rows.fieldnames or ()):
            raise ScoreError("the file of canaries needs the columns score and included")
        scores, inside, names = [], [], set()
        for number, row in enumerate(rows, start=2):
            if number > MAX_CANARIES + 1:
                raise ScoreError(f"at most {MAX_CANARIES} canaries are taken")
            truth = _TRUTH.get((row["included"] or "").strip().lower())
            if truth is None:
                raise ScoreError(f"line {number}: included is 1 or 0")
            name = row.get("canary")
            if name is not None and name in names:
                raise ScoreError(f"line {number}: this canary is there twice")
            names.add(name)
            scores.append(_number(row["score"], number))
            inside.append(truth)
    except UnicodeDecodeError as error:
        raise ScoreError(f"the file of canaries is no UTF-8 text (byte {error.start})") from None
    except csv.Error:
        raise ScoreError("the file of canaries is no valid CSV") from None
    return Canaries.build(scores, np.array(inside, dtype=np.bool_))


def _number(text: str | None, line: int) -> float:
    try:
        return float(text or "")
    except ValueError:
        raise ScoreError(f"line {line}: score is no number") from None
