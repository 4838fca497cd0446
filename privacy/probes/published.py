"""Numbers of a published result beside those that a reader computes again."""

from __future__ import annotations

import math
from typing import Any

MAX_WHOLE = 1 << 63
"""Whole numbers beyond this are none of ours, and some are beyond any float."""


def is_same(mine: Any, theirs: Any) -> bool:
    """Whether two JSON values are equal, numbers up to the rounding of another machine."""
    if isinstance(mine, bool) or isinstance(theirs, bool) or mine is None or isinstance(mine, str):
        return type(mine) is type(theirs) and bool(mine == theirs)
    if isinstance(mine, dict):
        return isinstance(theirs, dict) and set(mine) == set(theirs) and all(is_same(v, theirs[k]) for k, v in mine.items())
    if isinstance(mine, list):
        return isinstance(theirs, list) and len(mine) == len(theirs) and all(map(is_same, mine, theirs))
    if isinstance(theirs, int) and abs(theirs) > MAX_WHOLE:
        return False
    return isinstance(theirs, (int, float)) and math.isclose(mine, theirs, rel_tol=1e-9, abs_tol=1e-12)
