"""Black-box probes of models whose memories are known: who stands in the training text often enough is found, and nobody else."""

from __future__ import annotations

import pytest

from audit.runners.planted import PlantedPlan
from privacy.statistics.binomial import binomial_sf
from privacy.statistics.validity import Basis, Word
from tests.planted_power import ALPHA, MEASURED, Curve, Share, draw, probe_people, shares, table

pytest.importorskip("transformers")
FEW = PlantedPlan(seed=20260805, people=((16, 6), (64, 6)), heldout=30, types=("phone",), recipe="planted-small")


def measure(plan: PlantedPlan, type_: str, calibrated: bool) -> dict[int, Share]:
    result = probe_people(plan, type_, calibrated)
    assert result.gate.passes, str(result.gate)
    assert {person.basis for person in result.people} == {Basis.CALIBRATED if calibrated else Basis.EXACT}
    rows = shares(result)
    print(f"\n{type_}, {'calibrated' if calibrated else 'exact'}, N = {result.plan.nulls}; {result.gate}", *table(rows), sep="\n")
    return {row.repetitions: row for row in rows}


@pytest.mark.guarantee
@pytest.mark.slow
@pytest.mark.parametrize(("type_", "calibrated"), [("phone", False), ("email", False), ("phone", True)])
def test_power_by_repetitions(type_: str, calibrated: bool) -> None:
    """At least 200 people held out; the whole run may accuse one of them with probability 5 % (Holm). None was accused where this
    was measured; two would be where models trained on another processor come out differently once in a thousand. By the verdict,
    whose level is a rate of false discoveries, as few as that rate allows."""
    found = measure(MEASURED, type_, calibrated)
    held_out = found[0]
    assert held_out.people >= 200 and held_out.sure <= 1
    accused = sum(row.found for row in found.values())
    assert binomial_sf(held_out.found, accused, ALPHA) > 1e-3, f"{held_out.found} of {accused} are accused falsely"
    # Measured, of 20: phone 18 and 19, e-mail 14 and 15; calibrated 5 and 13, for a reference model adds its own noise.
    assert found[16].found >= (1 if calibrated else 8) and found[64].sure >= (5 if calibrated else 9)
    assert found[64].found >= found[4].found >= found[1].found


@pytest.mark.slow
def test_who_stands_in_the_text_often_is_found() -> None:
    found = measure(FEW, "phone", False)
    assert found[0].sure <= 1 and found[0].found <= 3
    assert found[16].found >= 4 and found[64].found >= 5


@pytest.mark.guarantee
@pytest.mark.slow
def test_who_was_left_out_is_as_those_held_out() -> None:
    """The same people, the same probe; the text tells of half of them only."""
    often = [f"planted-64-{i:03}" for i in range(1, 7)]
    result = probe_people(FEW.without(often), "phone")
    named = {person.id for person in result.people if person.verdict.word is Word.MEMORISED}
    assert len(named & set(often)) <= 1 and len([id_ for id_ in named if id_.startswith("planted-16")]) >= 4


def test_the_figure_and_the_table_tell_what_was_counted() -> None:
    rows = [Share(0, 200, 1, 0, 0), Share(64, 20, 20, 19, 20)]
    lines = table(rows)
    assert lines[2].startswith("| 0 (held out) | 1 of 200 (0.000 - 0.028) | 0 of 200 (0.000 - 0.018) |")
    assert lines[3].startswith("| 64 | 20 of 20 (0.832 - 1.000) | 19 of 20 (0.751 - 0.999) |")
    curve = Curve("phone", rows)
    assert curve.line("sure", 0).points == ((0.0, 0.0), (4.0, 0.95)) and curve.line("found", 0).points[1] == (4.0, 1.0)
    assert "phone" in draw([curve]) and draw([curve]).startswith("<svg")
