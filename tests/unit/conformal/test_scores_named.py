"""Named scores against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from conformal.claims import ClaimTable
from conformal.errors import LedgerError
from conformal.scores.named import named_score
from tests.unit.conformal.score_tables import scored_table


def small(values: list[float], name: str = "s") -> ClaimTable:
    """Two outputs: the first three claims, an output without any, then the rest."""
    m = len(values)
    return ClaimTable(("a", "empty", "b"), np.array([0, 3, 3, m]), {name: np.array(values)}, None, (None,) * 3)


def test_sums_positions_and_ranks_with_ties() -> None:
    table = small([3.0, 1.0, 1.0, 5.0, 7.0])
    assert named_score(table, "s+s").tolist() == [6.0, 2.0, 2.0, 10.0, 14.0]
    assert named_score(table, "position").tolist() == [0.0, -1.0, -2.0, 0.0, -1.0]
    assert named_score(table, "rank(s)") == pytest.approx([1.0, 0.5, 0.5, 0.5, 1.0])
    assert named_score(table, "rank(s+s)+rank(s)") == pytest.approx([2.0, 1.0, 1.0, 1.0, 2.0])
    assert named_score(table, "rank(s) + position") == pytest.approx([1.0, -0.5, -1.5, 0.5, 0.0])


def test_the_ledger_has_the_first_word() -> None:
    assert named_score(small([1.0, 2.0, 3.0], "s+t"), "s+t").tolist() == [1.0, 2.0, 3.0]


def test_random_scores_and_broken_ties_replay_by_seed() -> None:
    table = scored_table(30, seed=1)
    assert np.array_equal(named_score(table, "random:7"), named_score(table, "random:7"))
    assert not np.array_equal(named_score(table, "random:7"), named_score(table, "random:8"))
    broken = named_score(table, "fair~3")
    assert len(np.unique(broken)) == table.n_claims > len(np.unique(table.scores["fair"]))
    assert np.array_equal(np.round(broken), table.scores["fair"])


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "good+nothing",
        "rank(nothing)",
        "random",
        "good:3",
        "random:99999999999",
        "+",
        "x" * 2000,
        "+".join(["good"] * 20),
    ],
)
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(LedgerError):
        named_score(scored_table(5, seed=1), name)


def test_no_claims_at_all() -> None:
    table = ClaimTable(("a",), np.array([0, 0]), {"s": np.zeros(0)}, None, (None,))
    for name in ("s+s", "position", "rank(s)", "random:1", "s~1"):
        assert named_score(table, name).shape == (0,)
