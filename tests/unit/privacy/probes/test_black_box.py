"""The black-box probe at the full tier: who is found, who is not, what is refused, what is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from privacy.consent import Guard, new_request, read_openings, read_request
from privacy.errors import BoundaryError, ConsentError, ModelAccessError, PlanError, ProbeCancelledError, ScoreError
from privacy.people import Origin, Person
from privacy.probes.black_box import run_black_box
from privacy.probes.evidence import RankEvidence
from privacy.probes.model import Access
from privacy.probes.plan import ProbePlan
from privacy.probes.results import ProbeResult
from privacy.probes.scoring import rank_of
from privacy.redaction import Redactor, find_residue
from privacy.statistics.ranking import item_p_value
from privacy.statistics.validity import Basis, Word
from privacy.templates import Kind, Template
from tests.unit.privacy.probes.scored_model import COMMIT, ScoredModel, blind, decoys, invent, knowing, known_to, noise, plan_for

SUBJECTS = invent(4, Origin.CONSENTED, "subject")
DECOYS = decoys()
EVERYBODY = [*SUBJECTS, *DECOYS]


def run(
    people: list[Person] | None = None, model: ScoredModel | None = None, reference: ScoredModel | None = None, **options: object
) -> ProbeResult:
    people = people or EVERYBODY
    plan = plan_for(people, **{k: v for k, v in options.items() if k in ProbePlan.__dataclass_fields__})
    rest = {k: v for k, v in options.items() if k not in ProbePlan.__dataclass_fields__}
    given = {"release": COMMIT, "commit": COMMIT, **rest}
    return run_black_box(plan, people, model or ScoredModel(), reference, **given)  # type: ignore[arg-type]


def reference() -> ScoredModel:
    return ScoredModel(lambda context, value: -22.0 - 3 * noise(f"other|{context}|{value}"), name="reference")


def test_planted_people_are_found_and_nobody_else() -> None:
    planted = ScoredModel(knowing(known_to(SUBJECTS[:2]), 14.0))
    found = run(model=planted, reference=reference(), groups={SUBJECTS[0].id: "twice"})
    assert [person.verdict.word for person in found.people] == [Word.MEMORISED] * 2 + [Word.NOT_DETECTED] * 2
    assert found.found == 2 and found.gate.passes and {person.basis for person in found.people} == {Basis.CALIBRATED}
    first = found.people[0].items[0]
    assert first.p_value == 1 / 80 and first.measured.templates == 2
    shares = {(r.group, r.decoys, r.exponent): (r.revealed, r.people) for r in found.reveal}
    assert shares[None, False, 6] == (2, 4) and shares["twice", False, 6] == (1, 1) and shares[None, True, 6] == (0, 59)


def test_a_leak_of_known_strength_costs_known_queries() -> None:
    """q = e^-6.9 of the best template: 1/q = 992 answers, so 10^3 and not 10^2."""
    name, phone = SUBJECTS[0].values["name"], SUBJECTS[0].values["phone"]
    planted = ScoredModel(lambda context, value: -6.9 if name in context and value == phone else blind(context, value))
    one = run(model=planted, reference=reference()).people[0].items[0]
    assert isinstance(one.measured.evidence, RankEvidence) and one.measured.evidence.exponent == 3
    assert one.verdict.word is Word.MEMORISED


def test_innocent_people_are_not_accused() -> None:
    """Runs of a model that knows nobody: each accuses anybody with a chance of at most 5 %."""
    subjects = invent(5, Origin.CONSENTED, "subject")
    accused = 0
    for seed in range(3):
        model = ScoredModel(lambda context, value, seed=seed: blind(f"{seed}{context}", value))  # type: ignore[misc]
        accused += run([*subjects, *DECOYS], model, reference(), seed=seed).found
    assert accused <= 1


def test_without_reference_it_is_an_association_only() -> None:
    found = run(model=ScoredModel(knowing(known_to(SUBJECTS), 14.0)))
    assert {person.verdict.word for person in found.people} == {Word.ASSOCIATION} and found.found == 0
    assert all(person.p_adjusted <= 0.05 for person in found.people)


def test_canaries_need_no_reference() -> None:
    canaries = invent(2, Origin.CANARY, "canary")
    found = run([*canaries, *DECOYS], ScoredModel(knowing(known_to(canaries[:1]), 14.0)), release=None)
    assert [p.verdict.word for p in found.people] == [Word.MEMORISED, Word.NOT_DETECTED]
    assert found.people[0].basis is Basis.EXACT


def test_decoys_that_leak_leave_no_verdict() -> None:
    planted = ScoredModel(knowing(known_to(EVERYBODY[:20]), 14.0))
    found = run(model=planted, reference=reference())
    assert found.gate.rejected >= 16 and {p.verdict.word for p in found.people} == {Word.NO_VERDICT}


def test_constant_scores_give_p_1() -> None:
    flat = ScoredModel(lambda context, value: -20.0)
    found = run(model=flat, reference=ScoredModel(lambda context, value: -19.0))
    assert {item.p_value for p in found.people for item in p.items} == {1.0}


def test_rounding_of_a_back_end_breaks_no_tie_in_favour_of_an_accusation() -> None:
    """The target's score is a hair above all others': noise of arithmetic, not memory."""
    own = set(known_to(SUBJECTS).values())
    noisy = ScoredModel(lambda context, value: -20.0 + (2e-5 if value in own else 1e-5 * noise(value)))
    for standardise in (True, False):
        found = run(model=noisy, reference=ScoredModel(lambda c, v: -19.0), standardise=standardise)
        assert {item.p_value for p in found.people for item in p.items} == {1.0}


def test_nan_is_refused_and_minus_infinity_is_a_score() -> None:
    bad = SUBJECTS[1].values["phone"]
    for value in (math.nan, 0.5):
        with pytest.raises(ScoreError, match="never a number"):
            run(model=ScoredModel(lambda c, v, value=value: value if v == bad else blind(c, v)))  # type: ignore[misc]
    found = run(model=ScoredModel(lambda c, v: -math.inf if v == bad else blind(c, v)), reference=reference())
    assert found.people[1].items[0].p_value == 1.0
    impossible = ScoredModel(lambda c, v: -math.inf)
    assert {p.p_value for p in run(model=impossible, reference=impossible).people} == {1.0}


def test_a_tokenizer_that_merges_is_refused() -> None:
    model = ScoredModel(merges=True)
    with pytest.raises(BoundaryError) as caught:
        run(model=model)
    assert model.asked == 0 and not find_residue(str(caught.value).encode(), known_to(EVERYBODY).values())


def test_a_format_of_too_few_values_is_refused_before_anything_is_asked() -> None:
    model, numbered = ScoredModel(), [replace(p, values={**p.values, "number": "42"}) for p in EVERYBODY]
    template = Template("number", Kind.TWIN, "number", "The number of {name} is")
    with pytest.raises(PlanError, match="too few for 399 nulls"):
        run(numbered, model, types=("number",), templates=(template,), nulls=399)
    assert model.asked == 0


def test_fewer_log_probabilities_than_tokens_are_refused() -> None:
    class Short(ScoredModel):
        def score_candidates(self, *asked: object) -> list[list[tuple[float, ...]]]:  # type: ignore[override]
            return [[row[:-1] for row in rows] for rows in super().score_candidates(*asked)]  # type: ignore[arg-type]

    with pytest.raises(ModelAccessError, match="other log-probabilities"):
        run(model=Short())


def test_a_tier_that_the_model_lacks_is_refused() -> None:
    with pytest.raises(ModelAccessError, match="the plan asks for the tier full"):
        run(model=ScoredModel(access=Access.TEXT), access=Access.FULL)
    with pytest.raises(ModelAccessError, match="reference"):
        run(model=ScoredModel(), reference=ScoredModel(access=Access.TEXT))


# ---------------------------------------------------------------- consent


def guard(values: dict[str, str]) -> Guard:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    request, openings = new_request(
        Ed25519PrivateKey.from_private_bytes(b"s" * 32), Redactor(b"r" * 32), "ab" * 32, "my own data", list(values.items()), now
    )
    return Guard(read_request(request, now), read_openings(openings), "ab" * 32, now)


def test_exactly_the_signed_values_are_scored() -> None:
    subject = SUBJECTS[0]
    people = [subject, *DECOYS]
    found = run(people, release=guard(dict(subject.values)).release)
    signed = {item.commitment for item in guard(dict(subject.values)).consent.items}
    assert found.people[0].items[0].measured.commitment not in known_to(people).values() and signed
    for swapped in ({"phone": "212-555-0100"}, {"name": "Somebody Else"}):
        other, model = replace(subject, values={**subject.values, **swapped}), ScoredModel()
        with pytest.raises(ConsentError):
            run([other, *DECOYS], model, release=guard(dict(subject.values)).release)
        assert model.asked == 0
    with pytest.raises(ConsentError, match="guard"):
        run(people, release=None)


def test_a_guard_lets_a_value_be_scored_once() -> None:
    once = guard(dict(SUBJECTS[0].values))
    people = [SUBJECTS[0], *DECOYS]
    run(people, release=once.release)
    with pytest.raises(ConsentError):
        run(people, release=once.release)


def test_what_is_not_probed_is_not_said_to_the_model() -> None:
    """An e-mail outside the plan's types is neither released nor part of a prompt."""
    subject = replace(SUBJECTS[0], values={**SUBJECTS[0].values, "email": "jane.roe@mail.example"})
    released: list[str] = []

    def release(type_: str, value: str) -> str:
        released.append(type_)
        return COMMIT(type_, value)

    model = ScoredModel()
    run([subject, *DECOYS], model, release=release, templates=None)
    assert released == ["name", "phone"] and not any("jane.roe" in context for context in model.contexts)


# ---------------------------------------------------------------- what is kept and told


class Shelf(dict[str, bytes]):
    def keep(self, name: str, make: Callable[[], bytes]) -> bytes:
        if name not in self:
            self[name] = make()
        return self[name]


def test_a_cancelled_run_goes_on_from_what_it_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privacy.probes.black_box.ROWS_AT_ONCE", 2000)
    shelf, model = Shelf(), ScoredModel(knowing(known_to(SUBJECTS[:1]), 14.0))
    whole = run(model=ScoredModel(model.law), reference=reference())
    shares: list[float] = []
    with pytest.raises(ProbeCancelledError):
        run(
            model=model, reference=reference(), keep=shelf.keep,
            progress=lambda share, text: shares.append(share), cancelled=lambda: len(shelf) >= 3,
        )  # fmt: skip
    asked = model.asked
    assert 0 < asked < whole.plan.nulls * 2 * len(EVERYBODY) and shares == sorted(shares)
    assert run(model=model, reference=reference(), keep=shelf.keep).to_json() == whole.to_json()
    names = 2 * (1 + 79)  # the one accused is asked for with other names
    assert model.asked == (whole.plan.nulls + 1) * 2 * len(EVERYBODY) + names, "nothing was asked twice"
    everything = b"".join(name.encode() + data for name, data in shelf.items())
    assert not find_residue(everything, [value for p in EVERYBODY for value in p.values.values()])


def test_spoiled_parts_are_refused() -> None:
    for spoiled in (b"", b"[]", b'[{"rank": 1}]', b"[" * 10_000):
        with pytest.raises(ScoreError):
            run(keep=lambda name, make, spoiled=spoiled: spoiled)  # type: ignore[misc]


def test_a_result_tells_no_value_seed_or_likelihood() -> None:
    found = run(model=ScoredModel(), reference=reference(), seed=918273645)
    text = str(found.to_json()).encode()
    assert not find_residue(text, [value for p in EVERYBODY for value in p.values.values()]) and b"918273645" not in text
    assert set(found.to_json()["people"][0]["items"][0]["measured"]) == {"rank", "nulls", "exponent"}
    assert not find_residue(repr(found).encode(), known_to(EVERYBODY).values())


# ---------------------------------------------------------------- the rank itself


def test_the_rank_over_templates_is_the_exact_one() -> None:
    """Apart from ties, `rank_of` is the p-value of the room's own statistic, wherever the value stands among its nulls."""
    rng = np.random.default_rng(3)
    plan = plan_for(EVERYBODY, tolerance=0.0)
    for standardise in (True, False):
        for _ in range(50):
            scores, at = rng.normal(size=(3, 80)) * [[1.0], [5.0], [0.2]], int(rng.integers(80))
            exact = item_p_value(scores[:, at], np.delete(scores, at, axis=1), standardise)
            assert rank_of(scores, at, replace(plan, standardise=standardise)) == round(exact * 80)


def test_p_values_of_canaries_are_super_uniform_with_ties() -> None:
    """Coarse scores, two templates of very different scale, the canary drawn like its nulls: P(p <= u) <= u."""
    rng = np.random.default_rng(11)
    plan = plan_for(EVERYBODY)
    ranks = [
        rank_of(np.round(rng.normal(size=(2, 20)) * [[1.0], [0.001]], 1 if i % 2 else 4), int(rng.integers(20)), plan)
        for i in range(2000)
    ]
    for u in (0.05, 0.1, 0.25, 0.5):
        share = float(np.mean([rank / 20 <= u for rank in ranks]))
        assert share <= u + 4 * math.sqrt(u * (1 - u) / 2000)


def test_nulls_follow_from_the_seed_and_the_person() -> None:
    people = [*invent(4, Origin.CANARY, "canary"), *DECOYS]
    first, again, other = (run(people, ScoredModel(), reference(), seed=seed) for seed in (1, 1, 2))
    ranks = [[one.items[0].evidence for one in found.decoys] for found in (first, again, other)]
    assert ranks[0] == ranks[1] != ranks[2]
