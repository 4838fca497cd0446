"""Lookup tables, fixed by name and integer parameters (PROTOCOL 8.1, 11)."""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from functools import lru_cache

from zk.protocol.errors import LimitError, ProgramError
from zk.protocol.params import MAX_TABLE_BITS


@dataclass(frozen=True)
class Table:
    """`range` with parameter (w,), or `exp` with (s_z, s_e, w). An exclusive table serves one lookup only."""

    name: str
    params: tuple[int, ...]
    exclusive: str = ""

    @property
    def key_bits(self) -> int:
        return self.params[-1]

    @property
    def n_rows(self) -> int:
        return 1 << self.key_bits

    @property
    def is_function(self) -> bool:
        return self.name != "range"

    def check(self) -> None:
        if self.name not in ("range", "exp") or len(self.params) != (1 if self.name == "range" else 3):
            raise ProgramError(f"unknown table {self.name}{self.params}")
        if not 0 <= self.key_bits <= MAX_TABLE_BITS:
            raise LimitError(f"table {self.name}{self.params}: at most {MAX_TABLE_BITS} key bits")
        if self.name == "exp" and not (0 <= self.params[0] <= 16 and 1 <= self.params[1] <= 16):
            raise ProgramError(f"table exp{self.params}: scales outside 0..16 and 1..16")

    def values(self) -> tuple[int, ...]:
        """f(u) for every key u; for a range table the keys themselves are the only component."""
        if self.name == "exp":
            return exp_values(*self.params)
        raise ProgramError("a range table has no values")

    def value_bound(self) -> int:
        """Largest value of the second component (0 for a range table)."""
        return 1 << self.params[1] if self.is_function else 0


@lru_cache(maxsize=8)
def exp_values(s_z: int, s_e: int, w_d: int) -> tuple[int, ...]:
    """E(u) = floor(2^s_e exp(-u 2^-s_z) + 1/2) for u in [0, 2^w_d), computed with 60 decimal digits."""
    with decimal.localcontext(decimal.Context(prec=60, rounding=decimal.ROUND_HALF_EVEN)) as context:
        step = (decimal.Decimal(-1) / (1 << s_z)).exp(context)
        scale = decimal.Decimal(1 << s_e)
        half = decimal.Decimal("0.5")
        out: list[int] = []
        for u in range(1 << w_d):
            if out and out[-1] == 0:
                out.append(0)
                continue
            out.append(int((scale * context.power(step, u) + half).to_integral_value(decimal.ROUND_FLOOR)))
        return tuple(out)
