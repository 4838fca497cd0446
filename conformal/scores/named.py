"""Scores by name, from what a ledger holds: `a`, `a+b`, `rank(a)`, `position`, `random:7`, and ties broken with `a~7`.

A name that the ledger itself has is always that score, so "frequency+gpt" of the published files stays what it is.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from conformal.claims import ClaimTable
from conformal.errors import LedgerError

Floats = npt.NDArray[np.float64]
MAX_NAME_CHARS = 1_000
MAX_SUMMANDS = 16
MAX_SEED = 2**32
TIE_WIDTH = 1e-9
_RANK = re.compile(r"rank\((.+)\)")
_SEEDED = re.compile(r"(.+)[:~](\d{1,10})")


def named_score(table: ClaimTable, name: str) -> Floats:
    """One finite number a claim (m), larger = more confident. Raises LedgerError for a name that cannot be computed.

    `rank(a)`: place within the output from the bottom, divided by the number of claims; claims with equal `a` share the mean.
    `position`: earlier claims first, -index. `random:SEED`: uniform. `a~SEED`: ties of `a` broken at random, by a shift of
    less than TIE_WIDTH of its spread, so that no two different values swap unless they are closer than that.
    """
    if name in table.scores:
        return table.scores[name]
    if len(name) > MAX_NAME_CHARS:
        raise LedgerError(f"the name of a score has at most {MAX_NAME_CHARS} characters")
    if name == "position":
        return -place_in_output(table).astype(np.float64)
    parts = _summands(name)
    if len(parts) > 1:
        return np.asarray(np.sum([named_score(table, part.strip()) for part in parts], axis=0))
    if found := _RANK.fullmatch(name):
        return rank_in_output(table, named_score(table, found[1]))
    if found := _SEEDED.fullmatch(name):
        return _seeded(table, found[1], int(found[2]), name)
    return table.score(name)


def _summands(name: str) -> list[str]:
    """The name cut at each + outside parentheses."""
    parts, depth = [""], 0
    for char in name:
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "+" and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    if len(parts) > MAX_SUMMANDS:
        raise LedgerError(f"a sum of scores has at most {MAX_SUMMANDS} parts")
    return parts


def place_in_output(table: ClaimTable) -> npt.NDArray[np.int64]:
    """Index of every claim within its output (m)."""
    return np.asarray(np.arange(table.n_claims) - table.offsets[:-1][table.owners])


def rank_in_output(table: ClaimTable, scores: Floats) -> Floats:
    """Mid-rank from the bottom within the output, divided by its number of claims: in (0, 1]."""
    order = np.lexsort((scores, table.owners))
    owner, ranked = table.owners[order], scores[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (owner[1:] != owner[:-1]) | (ranked[1:] != ranked[:-1])
    run = np.cumsum(starts) - 1
    first = np.flatnonzero(starts)
    last = np.append(first[1:], len(order)) - 1
    middle = ((first + last) / 2)[run] - table.offsets[:-1][owner] + 1
    out = np.empty(len(order))
    out[order] = middle / np.diff(table.offsets)[owner]
    return out


def _seeded(table: ClaimTable, base: str, seed: int, name: str) -> Floats:
    if seed >= MAX_SEED:
        raise LedgerError(f"the seed of {name!r} must be below {MAX_SEED}")
    draws = np.random.default_rng(seed).random(table.n_claims)
    if name.startswith("random:"):
        return draws
    if "~" not in name:
        raise LedgerError(f"there is no score {name!r}; a seed follows random as in random:7, or breaks ties as in {base}~7")
    values = named_score(table, base)
    return values + draws * TIE_WIDTH * (float(np.ptp(values)) if len(values) else 0.0)
