"""What a robustness experiment found, in a form that anyone can recount: every cell keeps the p-values it was counted from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from watermark.errors import AttackError
from watermark.robustness.intervals import clopper_pearson

FORMAT = "assay-robustness/1"
CONFIDENCE = 0.95
MAX_CELLS = 10_000
MAX_P_VALUES = 5_000_000
# The point at which all curves begin: no edit at all.
UNEDITED = "none"
# Slack for logarithms that went through another base: a p-value of exactly alpha counts.
_SLACK = 1e-9

LogP = float | None  # log10 of a p-value; None where the detector gave no verdict, which never counts as detected


@dataclass(frozen=True)
class Cell:
    """All texts of one length under one attack at one rate. `median_log10_p` counts texts without a verdict as p = 1."""

    attack: str
    rate: float
    length: int
    log10_p: tuple[LogP, ...] = field(repr=False)
    detected: int
    power: float
    interval: tuple[float, float]
    median_log10_p: float

    @classmethod
    def count(cls, attack: str, rate: float, length: int, log10_p: Sequence[LogP], alpha: float) -> Cell:
        """Count from p-values. Raises AttackError for none."""
        if not log10_p:
            raise AttackError(f"no text to count for {attack} at length {length}")
        detected = sum(value is not None and value <= math.log10(alpha) + _SLACK for value in log10_p)
        ordered = sorted(0.0 if value is None else value for value in log10_p)
        middle = len(ordered) // 2
        median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
        interval = clopper_pearson(detected, len(ordered), CONFIDENCE)
        return cls(attack, rate, length, tuple(log10_p), detected, detected / len(ordered), interval, median)

    def to_json(self) -> dict[str, Any]:
        return {**self.__dict__, "log10_p": list(self.log10_p), "interval": list(self.interval)}


@dataclass(frozen=True)
class RobustnessReport:
    """Power against edit rate and length for one scheme, and the false alarms of clean texts.

    `cells` begin with one unedited cell a length (attack UNEDITED, rate 0), which starts the curve of every attack;
    `false_alarms` are the clean texts, one cell a length. `settings` says what was run, in JSON values and without keys.
    """

    label: str
    scheme: str
    dialect: str
    alpha: float
    settings: Mapping[str, Any]
    cells: tuple[Cell, ...]
    false_alarms: tuple[Cell, ...]

    @property
    def attacks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.attack for cell in self.cells if cell.attack != UNEDITED))

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(sorted({cell.length for cell in self.cells}))

    def curve(self, attack: str, length: int) -> tuple[Cell, ...]:
        """The cells of one attack and length by rising rate, the unedited one first."""
        chosen = [cell for cell in self.cells if cell.length == length and cell.attack in (attack, UNEDITED)]
        return tuple(sorted(chosen, key=lambda cell: cell.rate))

    def half_power(self, attack: str, length: int) -> float | None:
        """The edit rate at which power falls below 1/2 (linear between cells); None when it does not within the rates tried."""
        curve = self.curve(attack, length)
        for before, after in zip((None, *curve), curve):
            if after.power < 0.5:
                if before is None:
                    return after.rate
                share = (before.power - 0.5) / (before.power - after.power)
                return before.rate + share * (after.rate - before.rate)
        return None

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "label": self.label,
            "scheme": self.scheme,
            "dialect": self.dialect,
            "alpha": self.alpha,
            "confidence": CONFIDENCE,
            "settings": dict(self.settings),
            "cells": [cell.to_json() for cell in self.cells],
            "false_alarms": [cell.to_json() for cell in self.false_alarms],
            "half_power": [
                {"attack": attack, "length": length, "rate": self.half_power(attack, length)}
                for attack in self.attacks
                for length in self.lengths
            ],
        }

    @classmethod
    def from_json(cls, content: Any) -> RobustnessReport:
        """Read what `to_json` wrote and recount it. Raises AttackError where it is malformed or does not add up."""
        if not isinstance(content, Mapping) or content.get("format") != FORMAT:
            raise AttackError(f"not a robustness report of format {FORMAT}")
        for name in ("label", "scheme", "dialect"):
            if not isinstance(content.get(name), str):
                raise AttackError(f"{name} of the robustness report must be a string")
        alpha: Any = content.get("alpha")
        if type(alpha) not in (int, float) or not 0 < alpha < 1:
            raise AttackError("alpha of the robustness report must lie between 0 and 1")
        if not isinstance(content.get("settings"), Mapping):
            raise AttackError("settings of the robustness report must be an object")
        report = cls(
            label=content["label"],
            scheme=content["scheme"],
            dialect=content["dialect"],
            alpha=float(alpha),
            settings=dict(content["settings"]),
            cells=_read_cells(content, "cells", alpha),
            false_alarms=_read_cells(content, "false_alarms", alpha),
        )
        report.recount(content)
        return report

    def recount(self, content: Mapping[str, Any]) -> None:
        """Compare every derived figure of `content` with this report's. Raises AttackError that names the first mismatch."""
        expected = self.to_json()
        for name in ("cells", "false_alarms", "half_power"):
            given = content.get(name)
            if not isinstance(given, Sequence) or len(given) != len(expected[name]):
                raise AttackError(f"{name} of the robustness report has another length than its p-values give")
            for index, (own, theirs) in enumerate(zip(expected[name], given)):
                for member, value in own.items():
                    if not isinstance(theirs, Mapping) or not _same(value, theirs.get(member)):
                        raise AttackError(f"{name}[{index}].{member} of the robustness report does not follow from its p-values")
        if content.get("confidence") != CONFIDENCE:
            raise AttackError(f"the intervals of a robustness report have confidence {CONFIDENCE}")


def _read_cells(content: Mapping[str, Any], name: str, alpha: float) -> tuple[Cell, ...]:
    given = content.get(name)
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > MAX_CELLS:
        raise AttackError(f"{name} of the robustness report must be a list of at most {MAX_CELLS} cells")
    cells: list[Cell] = []
    total, seen = 0, set()
    for index, cell in enumerate(given):
        where = f"{name}[{index}] of the robustness report"
        if not isinstance(cell, Mapping) or not isinstance(cell.get("attack"), str):
            raise AttackError(f"{where} has no attack")
        rate: Any = cell.get("rate")
        length: Any = cell.get("length")
        log10_p: Any = cell.get("log10_p")
        if type(rate) not in (int, float) or not 0 <= rate <= 1 or type(length) is not int or length < 1:
            raise AttackError(f"{where} has no rate in [0, 1] and positive length")
        if not isinstance(log10_p, Sequence) or isinstance(log10_p, str) or not log10_p:
            raise AttackError(f"{where} has no p-values")
        total += len(log10_p)
        if total > MAX_P_VALUES:
            raise AttackError(f"a robustness report holds at most {MAX_P_VALUES} p-values")
        for value in log10_p:
            if value is not None and (type(value) not in (int, float) or not -math.inf < value <= 0):
                raise AttackError(f"{where}: {str(value)[:40]!r} is not the logarithm of a p-value")
        if (cell["attack"], rate, length) in seen:
            raise AttackError(f"{where} stands there twice")
        seen.add((cell["attack"], rate, length))
        cells.append(Cell.count(cell["attack"], float(rate), length, list(log10_p), alpha))
    return tuple(cells)


def _same(own: Any, given: Any) -> bool:
    """Equal, floats to 1e-9 (intervals come from another machine's logarithms)."""
    if isinstance(own, list):
        return isinstance(given, Sequence) and len(own) == len(given) and all(map(_same, own, given))
    if isinstance(own, float):
        return type(given) in (int, float) and math.isclose(own, given, rel_tol=1e-9, abs_tol=1e-9)
    return type(own) is type(given) and bool(own == given)
