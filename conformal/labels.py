"""Labels of claims: a closed vocabulary, and a declared policy for the two that are neither true nor false.

A label outside the vocabulary is an error, never a guess: one padded "Y" halves the published retention on MATH.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from conformal.errors import LedgerError

Label = Literal["Y", "N", "S", "U"]
LABELS: frozenset[str] = frozenset("YNSU")
MAX_SHOWN_CHARS = 40

_SPELLINGS: dict[Any, Label] = {
    "Y": "Y", "N": "N", "S": "S", "U": "U",
    "true": "Y", "false": "N", "subjective": "S", "unverifiable": "U",
}  # fmt: skip


@dataclass(frozen=True)
class LabelPolicy:
    """Which of the labels S (subjective) and U (unverifiable) count as true. The default is that of arXiv 2402.10978's data."""

    subjective: bool = True
    unverifiable: bool = False

    def is_true(self, label: Label) -> bool:
        return label == "Y" or (label == "S" and self.subjective) or (label == "U" and self.unverifiable)

    def to_json(self) -> dict[str, bool]:
        return {"subjective": self.subjective, "unverifiable": self.unverifiable}


PUBLISHED_POLICY = LabelPolicy()


def parse_label(value: Any, where: str) -> Label:
    """The label, exactly spelled: Y, N, S, U, their words, or a JSON boolean. Raises LedgerError naming `where`."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    found = _SPELLINGS.get(value) if isinstance(value, str) else None
    if found is None:
        shown = repr(value) if len(repr(value)) <= MAX_SHOWN_CHARS else repr(value)[:MAX_SHOWN_CHARS] + "..."
        length = f" ({len(value)} characters)" if isinstance(value, str) else ""
        raise LedgerError(
            f"{where}: the label {shown}{length} is none of Y (true), N (false), S (subjective), U (unverifiable);"
            " labels are never trimmed or guessed, correct it in the file"
        )
    return found
