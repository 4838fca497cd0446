"""What `--score` may say: a score of the ledger, a named transformation of some, or `fitted:FILE`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli.exits import CommandError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from conformal.claims import ClaimTable
    from conformal.scores.fitted import FittedScore

PREFIX = "fitted:"
MAX_BYTES = 256 * 1024 * 1024


def read_fitted(path: Path) -> FittedScore:
    """The fitted score of a file. Raises CommandError or LedgerError."""
    from conformal.scores.fitted import FittedScore

    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise CommandError(f"{path} is no fitted score; make one with assay factuality boost --out")
    try:
        return FittedScore.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RecursionError):
        raise CommandError(f"{path} is not valid JSON; make a fitted score with assay factuality boost --out") from None


def open_score(table: ClaimTable, option: str, skip_fitted: bool = False) -> tuple[ClaimTable, npt.NDArray[np.float64]]:
    """The outputs to calibrate on and the score of their claims. Raises GuaranteeError where a fitted score has seen one of
    them, unless `skip_fitted` leaves those out."""
    from conformal.scores.named import named_score

    if option in table.scores or not option.startswith(PREFIX):
        return table, named_score(table, option)
    fitted = read_fitted(Path(option.removeprefix(PREFIX)))
    if skip_fitted:
        table = table.select(fitted.fresh_rows(table))
    return table, fitted.for_calibration(table)
