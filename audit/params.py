"""Reading the parameters of audits: closed objects, every number bounded, every complaint names the parameter."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from audit.canonical import canonical_bytes
from audit.errors import RequestError
from audit.requests import parse_digest


class Fields:
    """The members of `params`, taken one by one; `done` refuses what nobody took."""

    def __init__(self, params: Mapping[str, Any], kind: str) -> None:
        self._left, self._kind = dict(params), kind

    def take(self, name: str, default: Any = None) -> Any:
        """The member as it stands, or the default."""
        return self._left.pop(name, default)

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """An integer within bounds."""
        value = self.take(name, default)
        if type(value) is not int or not low <= value <= high:
            raise RequestError(f"params.{name} must be an integer from {low} to {high}")
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A number within bounds."""
        value = self.take(name, default)
        if type(value) not in (int, float) or not low <= value <= high:
            raise RequestError(f"params.{name} must be a number from {low:g} to {high:g}")
        return float(value)

    def choice(self, name: str, default: str, known: Sequence[str]) -> str:
        """One of several words."""
        value = self.take(name, default)
        if not isinstance(value, str) or value not in known:
            raise RequestError(f"params.{name} must be one of {', '.join(known)}")
        return value

    def flag(self, name: str) -> bool:
        """true or false; false where absent."""
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise RequestError(f"params.{name} must be true or false")
        return value

    def digest(self, name: str) -> str:
        """A digest that must be there."""
        return parse_digest(self.take(name), f"params.{name}")

    def optional_digest(self, name: str) -> str | None:
        """A digest, or null."""
        value = self.take(name)
        return None if value is None else parse_digest(value, f"params.{name}")

    def numbers(self, name: str, default: Sequence[float], low: float, high: float, most: int) -> tuple[float, ...]:
        """A list of different numbers within bounds."""
        value = self.take(name, list(default))
        if not isinstance(value, list) or not 0 < len(value) <= most or len(set(map(repr, value))) < len(value):
            raise RequestError(f"params.{name} must be a list of 1 to {most} different numbers")
        if any(type(item) not in (int, float) or not low <= item <= high for item in value):
            raise RequestError(f"params.{name} must hold numbers from {low:g} to {high:g}")
        return tuple(value)

    def integers(self, name: str, default: Sequence[int], low: int, high: int, most: int) -> tuple[int, ...]:
        """A list of different integers within bounds."""
        found = self.numbers(name, default, low, high, most)
        if any(type(item) is not int for item in found):
            raise RequestError(f"params.{name} must hold integers")
        return tuple(int(item) for item in found)

    def words(self, name: str, default: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
        """A list of different words out of the known ones."""
        value = self.take(name, list(default))
        if not isinstance(value, list) or not value or any(not isinstance(item, str) or item not in known for item in value):
            raise RequestError(f"params.{name} must be a list of words out of {', '.join(known)}")
        if len(set(value)) < len(value):
            raise RequestError(f"params.{name} names something twice")
        return tuple(value)

    def done(self) -> None:
        """Refuse what is left."""
        if self._left:
            raise RequestError(f"{self._kind} knows no parameter {min(map(str, self._left))[:60]!r}")


def document_digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of one document in canonical JSON."""
    return hashlib.sha256(canonical_bytes(document)).hexdigest()


def derive_seed(entropy: bytes, purpose: str) -> int:
    """A seed below 2^53 (so that JSON holds it) for one purpose of one audit."""
    return int.from_bytes(hashlib.sha256(entropy + purpose.encode()).digest()[:8], "big") >> 11
