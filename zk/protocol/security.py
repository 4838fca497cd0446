"""Soundness error budget, computed from the derived shapes of a schedule (PROTOCOL section 15)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import comb, log2

from zk.protocol.field import P
from zk.protocol.params import PadProfile, StoreProfile
from zk.protocol.schedule import Schedule

FIELD_SIZE = P * P
TARGET_BITS = 100


@dataclass(frozen=True)
class ErrorBudget:
    """Round-by-round soundness errors as exact fractions, by name; `worst_round` is eps_K of section 15."""

    terms: tuple[tuple[str, Fraction], ...]
    worst_round: Fraction

    @property
    def total(self) -> Fraction:
        return sum((error for _, error in self.terms), Fraction(0))

    @property
    def bits(self) -> float:
        return bits_of(self.worst_round)

    def lines(self) -> list[str]:
        """Readable budget, one line a term."""
        out = [f"{name:34s} 2^-{bits_of(error):.1f}" for name, error in self.terms if error]
        out.append(f"{'sum (interactive soundness)':34s} 2^-{bits_of(self.total):.1f}")
        out.append(f"{'worst round (eps_K)':34s} 2^-{self.bits:.1f}")
        return out


def bits_of(error: Fraction) -> float:
    if error == 0:
        return float("inf")
    shift = max(0, error.denominator.bit_length() - 900)
    return -(log2(error.numerator) - log2(error.denominator >> shift) - shift)


def column_error(reach: int, n_columns: int, n_opened: int) -> Fraction:
    """C(reach, t) / C(n, t): all opened columns fall among `reach` harmless ones."""
    return Fraction(comb(reach, n_opened), comb(n_columns, n_opened))


def _store_error(profile: StoreProfile) -> Fraction:
    return column_error((profile.n + profile.k) // 2, profile.n, profile.t)


def _pad_errors(profile: PadProfile) -> tuple[Fraction, Fraction]:
    code = column_error((profile.n + profile.k) // 2, profile.n, profile.t)
    return code, column_error(2 * profile.k - 2, profile.n, profile.t)


def error_budget(schedule: Schedule) -> ErrorBudget:
    """Every term of the table in section 15.1 for this schedule."""
    field = FIELD_SIZE
    store = _store_error(schedule.profile)
    pad_code, pad_linear = _pad_errors(schedule.pad_profile)
    proximity = Fraction(2 * schedule.profile.n + 1 + 2 * schedule.pad_profile.n + 1, field)
    lookups = schedule.lookups
    poles = Fraction(lookups.used, field) if lookups else Fraction(0)
    gkr = Fraction(sum(3 * j + 2 for j in range(lookups.depth)), field) if lookups else Fraction(0)
    n_vars = max(schedule.spaces.values(), default=0)
    equations = Fraction(len(schedule.equations) * n_vars, field)
    raw = Fraction(schedule.batch_vars, field) if schedule.program.raw else Fraction(0)
    levels = Fraction(sum(3 * item.n_vars + len(item.instances) - 1 for item in schedule.levels), field)
    batching = Fraction(2 * schedule.batch_vars + len(schedule.lins) - 1, field)
    terms = (
        ("store columns", store),
        ("pad columns, code", pad_code),
        ("pad columns, linear and quadratic", pad_linear),
        ("proximity gaps", proximity),
        ("LogUp poles", poles),
        ("LogUp-GKR", gkr),
        ("equations", equations),
        ("raw equality", raw),
        ("levels", levels),
        ("batching", batching),
        ("opening c, theta, mu", Fraction(3, field)),
    )
    worst = max(store + pad_code + pad_linear, *(error for name, error in terms if not name.endswith("columns")))
    return ErrorBudget(terms, worst)
