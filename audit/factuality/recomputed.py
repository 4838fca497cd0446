"""What the factuality audits share: everything follows from the request."""

from __future__ import annotations

from audit import recomputed
from audit.recomputed import RESULT_FILE as RESULT_FILE
from audit.recomputed import find_difference as find_difference
from conformal.errors import ConformalError


class Recomputed(recomputed.Recomputed):
    """Base of kinds whose result is a function of the parameters."""

    refusal = ConformalError
