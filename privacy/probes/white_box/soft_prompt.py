"""A tuned soft prompt: its array, whom it was tuned on (as keyed marks), and files that hold no text.

A soft prompt may memorise its training subjects: its files have mode 0600, and reports carry its digest and loss curve only.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from privacy.errors import PlanError
from privacy.matching.folding import bare, fold
from privacy.people import Person
from privacy.probes.white_box.model import Soft
from privacy.probes.white_box.tuning import LossCurve, TuningState, curve_from

Commit = Callable[[str, str], str]
MAX_FILE_BYTES = 256 << 20
_VERSION = "assay-soft-prompt/1"
_LAST_DIGITS = 10
_ARRAYS = ("soft", "first", "second", "best")


class Kind(StrEnum):
    """What a soft prompt was tuned on."""

    REAL = "real"
    CONTROL = "control"
    """Invented people of the same number and format, whom the model never saw."""


@dataclass(frozen=True)
class Marks:
    """Keyed marks of people: one for an id, one for a name, one for every value. Equal only for equal text under one key.

    `key` marks the key itself, so that marks under two keys are never compared in silence.
    """

    key: str = field(repr=False)
    marks: frozenset[str] = field(repr=False)

    @classmethod
    def of(cls, people: Iterable[Person], commit: Commit) -> Marks:
        return cls(commit("mark of the key", ""), frozenset().union(*(marks_of(person, commit) for person in people)))

    def overlap(self, people: Sequence[Person], commit: Commit) -> list[int]:
        """Places (from 1) of the people who share an id, a name or a value with those marked. Raises PlanError."""
        if commit("mark of the key", "") != self.key:
            raise PlanError("this soft prompt was tuned under another key; whom it was tuned on cannot be compared")
        return [place for place, person in enumerate(people, 1) if marks_of(person, commit) & self.marks]


def marks_of(person: Person, commit: Commit) -> set[str]:
    """A person's marks: the id as it is, values folded, whatever their type."""
    return {commit("mark of an id", person.id)} | {commit("mark of a value", _folded(v)) for v in person.values.values()}


def _folded(value: str) -> str:
    """One spelling for the many of a value: letters and digits only; of a number, its last ten digits."""
    text = fold(value).text
    kept = "".join(character for character in bare(text) if character.isalnum())
    return kept[-_LAST_DIGITS:] if kept.isdigit() else kept or text


def refuse_overlap(marks: Marks, people: Sequence[Person], commit: Commit) -> None:
    """Raises PlanError where anybody evaluated was tuned on: by id, by name, or by any value."""
    found = marks.overlap(people, commit)
    if found:
        raise PlanError(
            f"{len(found)} people to be evaluated, the first at place {found[0]}, share an id, a name or a value with somebody "
            "the soft prompt is tuned on; a soft prompt is measured on other people only"
        )


@dataclass(frozen=True)
class SoftPrompt:
    """L_s x d, tuned on `subjects` people for the model `model` (a digest, or a name where there is none).

    `moved`: how it came to this model from the one it was tuned on, if it did.
    """

    kind: Kind
    array: Soft = field(repr=False)
    model: str
    subjects: int
    curve: LossCurve
    best_step: int
    marks: Marks = field(repr=False)
    moved: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 over shape and values."""
        array = np.ascontiguousarray(self.array, dtype="<f4")
        return hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Public: no array."""
        return {
            "kind": self.kind.value,
            "digest": self.digest,
            "soft_tokens": int(self.array.shape[0]),
            "width": int(self.array.shape[1]),
            "model": self.model,
            "moved": self.moved,
            "subjects": self.subjects,
            "best_step": self.best_step,
            "curve": self.curve.to_json(),
        }

    def save(self, path: Path) -> None:
        """As safetensors, mode 0600. Raises PlanError where it cannot be written."""
        marks = np.frombuffer(b"".join(bytes.fromhex(mark) for mark in sorted(self.marks.marks)), dtype=np.uint8)
        record = {
            "kind": self.kind.value,
            "model": self.model,
            "subjects": self.subjects,
            "best_step": self.best_step,
            "key": self.marks.key,
            "moved": self.moved,
            "curve": _plain(self.curve),
        }
        _write(path, {"soft_prompt": np.ascontiguousarray(self.array, dtype=np.float32), "marks": marks.copy()}, record)

    @classmethod
    def load(cls, path: Path) -> SoftPrompt:
        """Raises PlanError for whatever is no soft prompt of `save`."""
        arrays, record = _read(path)
        try:
            array, raw = arrays["soft_prompt"], arrays["marks"].astype(np.uint8).tobytes()
            marks = Marks(str(record["key"]), frozenset(raw[i : i + 32].hex() for i in range(0, len(raw), 32)))
            curve = curve_from(record["curve"])
            found = cls(
                Kind(record["kind"]), array.astype(np.float32), str(record["model"]), int(record["subjects"]), curve,
                int(record["best_step"]), marks, None if record["moved"] is None else str(record["moved"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            raise PlanError(f"{path} holds no soft prompt") from None
        if len(raw) % 32 or found.array.ndim != 2 or found.array.size == 0 or not np.isfinite(found.array).all():
            raise PlanError(f"{path} holds no soft prompt")
        return found


@dataclass(frozen=True)
class FolderKeeper:
    """The state of one tuning in a folder of the caller's, mode 0600; `identity` is a digest of what is tuned, and how."""

    folder: Path
    name: str
    identity: str

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.tuning.safetensors"

    def load(self) -> TuningState | None:
        """None where nothing was kept. Raises PlanError where what lies there belongs to another tuning or is damaged."""
        if not self.path.is_file():
            return None
        arrays, record = _read(self.path)
        if record.get("identity") != self.identity:
            raise PlanError(f"{self.path} belongs to another tuning; name an empty folder")
        try:
            best_loss = float("inf") if record["best_loss"] is None else float(record["best_loss"])
            kept = [arrays[name] for name in _ARRAYS]
            if any(a.ndim != 2 or a.shape != kept[0].shape or a.dtype != np.float32 or not np.isfinite(a).all() for a in kept):
                raise ValueError
            return TuningState(
                arrays["soft"], arrays["first"], arrays["second"], arrays["best"],
                step=int(record["step"]), best_step=int(record["best_step"]), best_loss=best_loss, stale=int(record["stale"]),
                running=tuple(map(float, record["running"])), curve=curve_from(record["curve"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, OverflowError):
            raise PlanError(f"{self.path} is damaged; remove it and tune again") from None

    def save(self, state: TuningState) -> None:
        """Written beside and renamed. Raises PlanError where it cannot be written."""
        record = {
            "identity": self.identity,
            "step": state.step,
            "best_step": state.best_step,
            "best_loss": state.best_loss if np.isfinite(state.best_loss) else None,
            "stale": state.stale,
            "running": list(state.running),
            "curve": _plain(state.curve),
        }
        _write(self.path, {name: np.ascontiguousarray(getattr(state, name), dtype=np.float32) for name in _ARRAYS}, record)


def _plain(curve: LossCurve) -> dict[str, list[float]]:
    return {"steps": list(curve.steps), "training": list(curve.training), "validation": list(curve.validation)}


def _write(path: Path, arrays: Mapping[str, npt.NDArray[Any]], record: Mapping[str, Any]) -> None:
    from safetensors.numpy import save

    content = save(dict(arrays), metadata={"version": _VERSION, "record": json.dumps(record, sort_keys=True)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, beside = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise
    except OSError as error:
        raise PlanError(f"{path} cannot be written: {error.strerror}") from None


def _read(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise PlanError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        arrays = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        record = json.loads(header["record"])
        if header["version"] != _VERSION or not isinstance(record, dict):
            raise ValueError
        return dict(arrays), record
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}") from None
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        raise PlanError(f"{path} is no file of a soft prompt") from None
