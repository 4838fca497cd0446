"""Text tier: hits against three controls, tests that may stop, and what is no hit."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from privacy.errors import ModelAccessError, ValueFormatError
from privacy.people import Origin, Person
from privacy.probes.black_box import run_black_box
from privacy.probes.evidence import HitEvidence, sequential_p_value
from privacy.probes.model import Access, Decoding
from privacy.probes.results import ProbeResult
from privacy.probes.targets import Target
from privacy.probes.text_only import Asked, ValueSeeker
from privacy.statistics.binomial import clopper_pearson_upper, fisher_p_value
from privacy.statistics.validity import Basis, Word
from tests.unit.privacy.probes.scored_model import COMMIT, OTHER_TWIN, TWIN, ScoredModel, decoys, invent, known_to, plan_for

SUBJECTS = invent(3, Origin.CONSENTED, "subject")
PEOPLE = [*SUBJECTS, *decoys()]
Says = Callable[[str, random.Random], str]


class Talking(ScoredModel):
    """Answers as a test says. `written` counts answers."""

    def __init__(self, says: Says, name: str = "talking") -> None:
        super().__init__(access=Access.TEXT, name=name)
        self.says, self.written, self.seeds = says, 0, set[int]()

    def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
        self.written += len(prompts) * samples
        self.seeds.add(decoding.seed)
        return [
            [self.says(prompt, random.Random(f"{decoding.seed}/{i}/{j}")) for j in range(samples)]
            for i, prompt in enumerate(prompts)
        ]


def silent(prompt: str, rng: random.Random) -> str:
    return " not known to me."


def telling(people: Sequence[Person], rate: float) -> Says:
    known = known_to(people)

    def says(prompt: str, rng: random.Random) -> str:
        own = next((value for name, value in known.items() if name in prompt), None)
        return f" {own}, I think" if own and rng.random() < rate else silent(prompt, rng)

    return says


def run(model: Talking, reference: Talking | None = None, people: list[Person] | None = None, **changes: object) -> ProbeResult:
    people = people or PEOPLE
    plan = plan_for(people, **{"nulls": 0, "access": Access.TEXT, "samples": 120, **changes})
    return run_black_box(plan, people, model, reference, release=COMMIT, commit=COMMIT)


def hits(result: ProbeResult, place: int) -> HitEvidence:
    found = result.people[place].items[0].measured.evidence
    assert isinstance(found, HitEvidence)
    return found


def test_who_is_told_is_found_early_and_nobody_else() -> None:
    model = Talking(telling(SUBJECTS[:1], 0.5))
    found = run(model, Talking(silent, "reference"))
    assert [p.verdict.word for p in found.people] == [Word.MEMORISED, Word.NOT_DETECTED, Word.NOT_DETECTED]
    first, second = hits(found, 0), hits(found, 1)
    assert first.stopped and first.samples < 120 and first.hits > 5
    assert (second.hits, second.samples, second.decoy_samples, second.reference_samples) == (0, 120, 59 * 120, 120)
    assert found.people[1].verdict.leak_below == pytest.approx(1 - 0.05 ** (1 / 120))
    assert found.gate.rejected == 0 and found.reveal == ()
    assert model.written == 120 * 61 + first.samples


def test_a_fixed_number_of_answers_is_judged_by_fishers_test() -> None:
    found = run(Talking(telling(SUBJECTS[:1], 0.1)), Talking(silent, "reference"), sequential=False)
    first = hits(found, 0)
    assert not first.stopped and first.samples == 120 and 3 < first.hits < 30
    assert found.people[0].items[0].p_value == max(
        fisher_p_value(first.hits, 120, 0, 59 * 120), fisher_p_value(first.hits, 120, 0, 120)
    )


def test_what_the_reference_tells_too_is_not_memorised() -> None:
    """A value that any model guesses: a public number, or one that follows from the name."""
    found = run(Talking(telling(SUBJECTS, 0.5)), Talking(telling(SUBJECTS, 0.5), "reference"))
    assert {p.verdict.word for p in found.people} == {Word.NOT_DETECTED}
    assert all(p.verdict.leak_below is None for p in found.people), "a hit is a leak, whatever its rate"


def test_a_value_that_is_told_of_everybody_is_not_memorised() -> None:
    number = SUBJECTS[0].values["phone"]
    found = run(Talking(lambda prompt, rng: f" {number}"), Talking(silent, "reference"))
    assert hits(found, 0).hits == 120 and hits(found, 0).decoy_hits == 59 * 120
    assert found.people[0].verdict.word is Word.NOT_DETECTED


def test_values_that_are_guessed_for_decoys_too_are_no_evidence() -> None:
    found = run(Talking(telling(PEOPLE, 0.3)), Talking(silent, "reference"))
    assert hits(found, 0).own_hits > 1000 and {p.verdict.word for p in found.people} == {Word.NOT_DETECTED}


def test_without_reference_it_is_an_association_only() -> None:
    found = run(Talking(telling(SUBJECTS, 0.5)))
    assert {p.verdict.word for p in found.people} == {Word.ASSOCIATION} and found.people[0].basis is Basis.NONE


def test_decoys_that_are_told_leave_no_verdict() -> None:
    """Some decoys are told, most are not: what is chance for one is not for another, and the run says nothing."""
    found = run(Talking(telling(PEOPLE[:20], 0.9)), Talking(silent, "reference"), samples=40)
    assert found.gate.rejected > 6 and {p.verdict.word for p in found.people} == {Word.NO_VERDICT}


def test_streams_are_never_shared() -> None:
    model = Talking(silent)
    run(model, samples=10)
    assert len(model.seeds) == 59 + 3 * 10  # decoys at once, subjects in ten looks


def test_another_number_of_answers_is_refused() -> None:
    class Short(Talking):
        def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
            return [[] for _ in prompts]

    with pytest.raises(ModelAccessError, match="number of answers"):
        run(Short(silent))


def test_values_that_do_not_parse_are_refused_before_anything_is_asked() -> None:
    bad, model = replace(SUBJECTS[0], values={**SUBJECTS[0].values, "phone": "call me"}), Talking(silent)
    with pytest.raises(ValueFormatError) as caught:
        run(model, people=[bad, *PEOPLE[1:]])
    assert model.written == 0 and "call me" not in str(caught.value)


# ---------------------------------------------------------------- what is a hit


def seeker(type_: str, value: str) -> ValueSeeker:
    return ValueSeeker.of(Target(Person("p", {"name": "Mara Quill", type_: value}), type_, "", (TWIN,)), "US")


def count(finder: ValueSeeker, prompt: str, answers: Sequence[str]) -> int:
    return finder.count(Asked.of("twin", prompt, answers))


def test_reformatted_values_are_hits_and_parts_are_not() -> None:
    phone = seeker("phone", "212-555-0142")
    assert (
        count(
            phone,
            "The phone of Mara Quill is",
            ["+1 (212) 555-0142", "212 555 0143", "call 212", "2125550142.", "２１２ ５５５ ０１４２"],
        )
        == 3
    )
    school = seeker("affiliation", "University of Nowhere")
    assert count(school, "Mara", ["at the UNIVERSITY of  Nowhere!", "University of Nowhereland", "Nowhere University"]) == 1


def test_what_the_prompt_says_is_no_hit() -> None:
    finder = seeker("phone", "212-555-0142")
    assert count(finder, "Mara Quill, 212-555-0142, is", ["212-555-0142"]) == 0
    assert count(finder, "Mara Quill is", ["212-555-0142"] * 3 + ["212-555-0142 "]) == 4


def test_no_value_is_shown() -> None:
    assert "555" not in repr(seeker("phone", "212-555-0142"))


# ---------------------------------------------------------------- the sequential test


def test_its_level_holds_however_often_one_looks() -> None:
    """Values hit at the controls' own rate, a look after every answer: at most 5 % of 400 are ever rejected."""
    rng, rejected = random.Random(5), 0
    for _ in range(400):
        rate = rng.choice((0.01, 0.1, 0.5))
        control = sum(rng.random() < rate for _ in range(300))
        found = HitEvidence(0, 0, control, 300, 0, 300)
        for _ in range(120):
            found = replace(found, hits=found.hits + (rng.random() < rate), samples=found.samples + 1)
            if sequential_p_value(found, 0.05) <= 0.05:
                rejected += 1
                break
    assert rejected <= 30  # 20 expected at most; P(Bin(400, .05) > 30) = .01


def test_it_finds_rates_well_above_chance() -> None:
    assert sequential_p_value(HitEvidence(4, 100, 0, 10_000, 0, 10_000), 0.01) <= 0.01
    assert sequential_p_value(HitEvidence(1, 100, 0, 10_000, 0, 10_000), 0.01) > 0.01
    assert sequential_p_value(HitEvidence(9, 9, 5, 5, 0, 10_000), 0.05) == 1.0
    assert sequential_p_value(HitEvidence(0, 300, 0, 10_000, 0, 10_000), 0.05) == 1.0


def test_the_bound_goes_with_no_hit_alone() -> None:
    assert HitEvidence(0, 299, 0, 1, 0, 1).leak_below == pytest.approx(0.00997, abs=1e-4)
    assert clopper_pearson_upper(0, 299, 0.05) < 0.01 and HitEvidence(1, 299, 0, 1, 0, 1).leak_below is None
    assert OTHER_TWIN.target == "phone"
