"""Overlapping groups: one threshold a group, and an output filtered by the highest of all the groups it is in.

For every group g, P(the statement fails | the output is in g) <= alpha. Why: given membership, the calibration members of g and
a fresh member are exchangeable, so r > q_g with probability at most alpha; the threshold used is at least q_g, and a higher
threshold keeps fewer claims. (Barber, Candes, Ramdas & Tibshirani, arXiv 1903.04684, section 4, take unions of sets likewise.)

What this deviates from: Cherian, Gibbs & Candes (arXiv 2406.09714) and Jung et al. (arXiv 2209.15145) fit all groups jointly by
quantile regression and come close to 1 - alpha from both sides. The maximum is one-sided: simpler to replay, valid in finite
samples without a fit for every test point, at the price of more claims removed where groups differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from conformal.calibration import Mode, Threshold, find_threshold
from conformal.claims import ClaimTable
from conformal.errors import GuaranteeError, LedgerError, LevelError
from conformal.laws import beta_binomial_pmf

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Memberships = Sequence[frozenset[str]]
EVERYONE = "(everyone)"
MAX_GROUPS = 1000
GroupVerdict = Literal["consistent", "refuted", "not-enough-data"]


def read_memberships(table: ClaimTable, separator: str | None = None) -> tuple[frozenset[str], ...]:
    """The groups of every output: its `group`, or with a separator the groups that it lists ("age:60+|topic:heart").

    Raises LedgerError for an output without a group, an empty or repeated name, or more than MAX_GROUPS groups.
    """
    out = []
    for identity, group in zip(table.ids, table.groups):
        names = [] if group is None else [group] if separator is None else group.split(separator)
        if not names or not all(names) or len(set(names)) != len(names) or any(n != n.strip() for n in names):
            raise LedgerError(
                f"the output {identity!r} has the group {group!r}; every output needs group names, each once, unpadded"
            )
        if EVERYONE in names:
            raise LedgerError(f"the output {identity!r}: {EVERYONE} is the group of all outputs and is not written down")
        out.append(frozenset(names))
    if len(frozenset().union(*out)) > MAX_GROUPS:
        raise LedgerError(f"there are more than {MAX_GROUPS} groups")
    return tuple(out)


def require_disjoint(memberships: Memberships, ids: Sequence[str]) -> tuple[str, ...]:
    """The one group of every output, for Mondrian. Raises GuaranteeError where groups overlap, LedgerError for no group."""
    for identity, groups in zip(ids, memberships):
        if len(groups) > 1:
            shown = ", ".join(sorted(groups)[:4])
            raise GuaranteeError(
                f"the output {identity!r} is in {len(groups)} groups ({shown}): Mondrian thresholds need disjoint groups;"
                " calibrate overlapping ones with the highest threshold of all groups an output is in"
            )
        if not groups:
            raise LedgerError(f"the output {identity!r} has no group; group guarantees need one on every output")
    return tuple(next(iter(groups)) for groups in memberships)


@dataclass(frozen=True)
class OverlappingThresholds:
    """One threshold a group, EVERYONE among them if `everyone`. A group below its minimum n withholds all its outputs.

    `delta` is the PAC confidence of each group by itself (divided by the number of groups when all shall hold at once).
    """

    alpha: Fraction
    mode: Mode
    delta: Fraction
    thresholds: Mapping[str, Threshold]

    def threshold_of(self, groups: Iterable[str]) -> float:
        """The highest threshold of the groups of an output; +Infinity for no group or one that was not calibrated."""
        wanted = [*groups, EVERYONE] if EVERYONE in self.thresholds else [*groups]
        if not wanted:
            return float("inf")
        return max(self.thresholds[g].value if g in self.thresholds else float("inf") for g in wanted)

    def thresholds_for(self, memberships: Memberships) -> Floats:
        """One an output (n), as `Calibrator.summarise` takes them."""
        return np.array([self.threshold_of(groups) for groups in memberships], dtype=np.float64)

    @property
    def withheld(self) -> tuple[str, ...]:
        """The groups that have too few calibration outputs: their outputs are always withheld."""
        return tuple(name for name, threshold in self.thresholds.items() if threshold.rank is None)


def calibrate_overlapping(
    conformity: Floats,
    memberships: Memberships,
    alpha: Fraction,
    mode: Mode = "marginal",
    delta: Fraction = Fraction(1, 20),
    minimum: int = 0,
    everyone: bool = True,
    simultaneous: bool = False,
) -> OverlappingThresholds:
    """Calibrate every group on all its members.

    `minimum`: groups below it withhold, as do those too small for the level. `everyone`: all outputs are a group too, which adds
    the marginal guarantee and covers outputs of no group. `simultaneous`: in PAC mode all groups hold at once with probability
    1 - delta (delta / number of groups each). Raises LedgerError for lengths that differ or a group-less output.
    """
    if len(conformity) != len(memberships) or not len(conformity):
        raise LedgerError(f"{len(conformity)} conformity scores and {len(memberships)} memberships; one each an output is needed")
    if minimum < 0:
        raise LevelError("the minimum of a group cannot be negative")
    if not everyone and not all(memberships):
        raise LedgerError("an output has no group; group guarantees need one on every output")
    names = sorted(frozenset().union(*memberships))
    members = {name: np.array([name in groups for groups in memberships], dtype=bool) for name in names}
    if everyone:
        members[EVERYONE] = np.ones(len(conformity), dtype=bool)
    each = delta / len(members) if simultaneous and mode == "pac" else delta
    thresholds = {}
    for name, rows in members.items():
        found = find_threshold(conformity[rows], alpha, mode, each)
        thresholds[name] = found if found.n >= minimum else Threshold(alpha, found.n, None, float("inf"), (1.0, 1.0), 1.0)
    return OverlappingThresholds(alpha, mode, each, thresholds)


@dataclass(frozen=True)
class GroupCheck:
    """What held-out labels say about one group: `p_value` by itself, `adjusted` by Holm over all groups."""

    group: str
    m: int
    covered: int
    p_value: float
    adjusted: float
    verdict: GroupVerdict

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


def check_groups(
    thresholds: OverlappingThresholds, memberships: Memberships, holds: Bools, level: float = 0.05, minimum: int = 1
) -> tuple[GroupCheck, ...]:
    """Test, on held-out outputs, every group's promise at once: an honest calibration has a group refuted with probability at
    most `level`.

    The covered ones of m members follow BetaBinomial(m, k, n + 1 - k), or more, when the threshold is the group's k-th smallest
    of n or higher; Holm's correction allows any dependence, so groups may overlap. Groups that are withheld or have fewer than
    `minimum` members cannot be judged. Raises LedgerError for lengths that differ, LevelError for a level outside (0, 1).
    """
    if len(memberships) != len(holds):
        raise LedgerError(f"{len(memberships)} memberships and {len(holds)} results; one each an output is needed")
    if not 0 < level < 1:
        raise LevelError(f"the level of a check lies strictly between 0 and 1, not {level}")
    counts = {}
    for name in thresholds.thresholds:
        rows = np.array([name == EVERYONE or name in groups for groups in memberships], dtype=bool)
        counts[name] = (int(rows.sum()), int(holds[rows].sum()))
    tested = {
        name: _p_value(thresholds.thresholds[name], *counts[name])
        for name in counts
        if counts[name][0] >= max(1, minimum) and thresholds.thresholds[name].rank is not None
    }
    adjusted = holm(tested)
    return tuple(
        GroupCheck(name, m, covered, tested.get(name, 1.0), adjusted.get(name, 1.0), _verdict(name, adjusted, level))
        for name, (m, covered) in counts.items()
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's adjusted p-values: rejecting those at most `level` makes any false rejection with probability at most `level`."""
    out, highest = {}, 0.0
    for place, name in enumerate(sorted(p_values, key=lambda n: p_values[n])):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[name]))
        out[name] = highest
    return out


def _p_value(threshold: Threshold, m: int, covered: int) -> float:
    assert threshold.rank is not None
    return float(min(1.0, beta_binomial_pmf(m, threshold.rank, threshold.n)[: covered + 1].sum()))


def _verdict(name: str, adjusted: Mapping[str, float], level: float) -> GroupVerdict:
    if name not in adjusted:
        return "not-enough-data"
    return "refuted" if adjusted[name] <= level else "consistent"
