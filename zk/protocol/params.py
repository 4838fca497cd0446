"""Profiles, limits and names that prover and verifier must agree on (PROTOCOL sections 7.8, 17.1)."""

from __future__ import annotations

from dataclasses import dataclass

PROTOCOL_VERSION = "zkaudit/v1"

# Limits of section 7.8: beyond them a program is refused before any cryptography.
MAX_DIMS = 6
MAX_TENSORS = 4096
MAX_EQUATIONS = 4096
MAX_STEPS = 4096
MAX_SAMPLES = 1 << 16
MAX_LOG_LEAVES = 26
MAX_TABLE_BITS = 16
MAX_DENSE_VECTOR = 1 << 16
MAX_SPARSE_SUPPORT = 1 << 20
MAX_ROWS = 1 << 16
MAX_PROOF_BYTES = 1 << 30
MAX_STATEMENT_BYTES = 1 << 24
MAX_ROLES = 16
MAX_PUBLIC_ENTRIES = 1 << 21
MAX_LAYERS = 32
MAX_WIDTH = 1 << 16
MAX_DATASET_ROWS = 1 << 20


@dataclass(frozen=True)
class StoreProfile:
    """Reed-Solomon parameters of store tableaux: l message slots, h random coefficients of long-lived rows,
    h1 of one-time rows, n columns, t opened columns."""

    name: str
    l: int  # noqa: E741 - the paper's name
    h: int
    h1: int
    n: int
    t: int

    @property
    def k(self) -> int:
        return self.l + self.h

    @property
    def log_l(self) -> int:
        return self.l.bit_length() - 1

    @property
    def is_toy(self) -> bool:
        return self.name.startswith("TOY")

    def describe(self) -> str:
        return f"{self.name} l={self.l} h={self.h} h1={self.h1} k={self.k} n={self.n} t={self.t}"


@dataclass(frozen=True)
class PadProfile:
    """Parameters of the pad tableau (section 5.2), rows over K with evaluation embedding on <omega_l>."""

    name: str
    l: int  # noqa: E741
    h: int
    n: int
    t: int

    @property
    def k(self) -> int:
        return self.l + self.h

    @property
    def n_linear(self) -> int:
        """Coefficients of the linear answer: degree < k + l."""
        return self.k + self.l

    @property
    def n_quadratic(self) -> int:
        """Coefficients of the quotient g: degree <= 2(k-1) - l."""
        return 2 * self.k - 1 - self.l

    @property
    def quadratic_shift(self) -> int:
        """Exponent of the second blinding half: G0 + X^shift G1 spans all n_quadratic coefficients."""
        return self.n_quadratic - self.k

    def describe(self) -> str:
        return f"{self.name} l={self.l} h={self.h} k={self.k} n={self.n} t={self.t}"


STORE_PROFILES = {
    profile.name: profile
    for profile in (
        StoreProfile("S10", 1024, 1024, 192, 8192, 150),
        StoreProfile("S13", 8192, 1024, 192, 32768, 160),
        StoreProfile("S14", 16384, 2048, 192, 65536, 160),
        StoreProfile("S15", 32768, 4096, 192, 131072, 160),
        StoreProfile("TOY4", 16, 16, 8, 128, 6),
    )
}
PAD_PROFILES = {profile.name: profile for profile in (PadProfile("P", 512, 160, 4096, 128), PadProfile("TOYP", 16, 8, 128, 6))}
PAD_OF_STORE = {name: ("TOYP" if name.startswith("TOY") else "P") for name in STORE_PROFILES}


def log2_ceil(size: int) -> int:
    """lg d = ceil(log2 d) for d >= 1."""
    return (size - 1).bit_length()


def padded(size: int) -> int:
    return 1 << log2_ceil(size)


def limb_widths(shift: int) -> tuple[int, ...]:
    """Widths of the limbs that tile [0, 2^shift): 16-bit limbs, the last one holding the rest; they sum to `shift`."""
    widths = [16] * (shift // 16)
    if shift % 16:
        widths.append(shift % 16)
    return tuple(widths)
