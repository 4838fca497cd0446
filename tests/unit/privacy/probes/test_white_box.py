"""The white-box probe without a trained model: gains, tuning, marks, files, refusals, and three probes compared."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import re
import stat
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from privacy.errors import ConsentError, ModelAccessError, PlanError, PrivacyError, ProbeCancelledError, ScoreError
from privacy.invented.people import draw_people
from privacy.people import Origin, Person
from privacy.probes.model import Access, ModelFacts, Progress
from privacy.probes.plan import ProbePlan
from privacy.probes.white_box.gain import betting_p_value, measure_gain, percentile, shift_interval, sign_flip_p_value
from privacy.probes.white_box.model import Example, Soft
from privacy.probes.white_box.results import GainWord, WhiteBoxPlan, recount
from privacy.probes.white_box.run import PromptPair, measure, run_white_box, tune_prompts, tune_soft_prompt
from privacy.probes.white_box.soft_prompt import FolderKeeper, Kind, Marks, SoftPrompt, marks_of, refuse_overlap
from privacy.probes.white_box.subjects import draw_control, split_people
from privacy.probes.white_box.transfer import Transfer, transfer_prompts
from privacy.probes.white_box.tuning import Tuning, TuningState, tune
from privacy.redaction import Redactor, find_residue
from privacy.templates import Kind as TemplateKind
from privacy.templates import Template

REDACTOR = Redactor(bytes(range(32)))
COMMIT = REDACTOR.commit
WIDTH = 4
WORDS: dict[int, str] = {}
TEMPLATES = (Template("ask", TemplateKind.TWIN, "phone", "The phone number of {name} is"),)
PROBE = ProbePlan(types=("phone",), nulls=239, templates=TEMPLATES, decoys=59, seed=3)
PLAN = WhiteBoxPlan(PROBE, Tuning(soft_tokens=2, steps=60, rate=0.2, batch=8, check_every=10))


class Remembering:
    """Knows people's numbers, the better the nearer the soft prompt is to a hidden direction. Words are tokens.

    The right number is likelier by `plain` nats, and by up to `recall` more as the first component of the soft tokens grows; all
    else is noise that depends on context and candidate only.
    """

    def __init__(
        self, known: Sequence[Person], recall: float = 1.0, plain: float = 0.0, width: int = WIDTH, salt: str = ""
    ) -> None:
        self.known = {(self.tokenize(TEMPLATES[0].render(p)), self.tokenize(f" {p.values['phone']}")) for p in known}
        self.recall, self.plain, self.width = recall, plain, width
        self.access, self.calls, self.salt = Access.WEIGHTS, 0, salt

    def facts(self) -> ModelFacts:
        return ModelFacts("remembering", "ab" * 32, self.access, 0, True, 256)

    def tokenize(self, text: str) -> tuple[int, ...]:
        words = re.findall(r"\s?\S+", text)
        WORDS.update({zlib.crc32(word.encode()): word for word in words})
        return tuple(zlib.crc32(word.encode()) for word in words)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return "".join(WORDS[token] for token in token_ids)

    def embed(self, token_ids: Sequence[int]) -> Soft:
        return np.array([[np.cos(t * (k + 1)) for k in range(self.width)] for t in token_ids], dtype=np.float32)

    def vocabulary(self) -> Mapping[str, int]:
        return {f"word {i}": i for i in range(100)}

    def strength(self, soft: Soft | None) -> float:
        return self.plain + (self.recall * float(np.tanh(np.mean(soft[:, 0]))) if soft is not None else 0.0)

    def is_known(self, context: Sequence[int], value: Sequence[int]) -> bool:
        return (tuple(context), tuple(value)) in self.known

    def prompted_loss(self, soft: Soft, examples: Sequence[Example]) -> float:
        self.calls += 1
        known = [self.is_known(e.context, e.value) for e in examples]
        return 3.0 - self.strength(soft) * float(np.mean(known)) + 0.1 * float(np.mean(np.square(soft[:, 1:])))

    def prompted_gradient(self, soft: Soft, examples: Sequence[Example]) -> tuple[float, Soft]:
        known = float(np.mean([self.is_known(e.context, e.value) for e in examples]))
        gradient = 0.2 * np.asarray(soft, dtype=np.float64) / soft[:, 1:].size
        gradient[:, 0] = -self.recall * known * (1 - np.tanh(np.mean(soft[:, 0])) ** 2) / len(soft)
        return self.prompted_loss(soft, examples), gradient.astype(np.float32)

    def score_prompted(
        self, soft: Soft | None, prompts: Sequence[Sequence[int]], candidates: Sequence[Sequence[Sequence[int]]],
        progress: Progress | None = None,
    ) -> list[list[tuple[float, ...]]]:  # fmt: skip
        found = []
        for prompt, group in zip(prompts, candidates):
            start = zlib.crc32((self.salt + self.detokenize(prompt)).encode(), soft is None)
            noise = [zlib.crc32(self.detokenize(row).encode(), start) / 2**30 - 20.0 for row in group]
            bonus = [self.strength(soft) * self.is_known(prompt, row) for row in group]
            found.append([(s + b, *([0.0] * (len(row) - 1))) for row, s, b in zip(group, noise, bonus)])
        return found


SPEAKER = Remembering([])


def crowd(count: int, prefix: str, seed: int, origin: Origin = Origin.CANARY, taken: Sequence[Person] = ()) -> list[Person]:
    """People who share no name and no number with one another nor with `taken`."""
    found: list[Person] = []
    seen = set().union(*(marks_of(p, COMMIT) for p in taken)) if taken else set()
    for person in draw_people(random.Random(seed), count + 60, ("phone",), origin=origin, prefix=prefix):
        if len(found) < count and not marks_of(person, COMMIT) & seen:
            seen |= marks_of(person, COMMIT)
            found.append(person)
    assert len(found) == count
    return found


TRAINED = crowd(20, "t", 1)
TESTED = crowd(12, "e", 2, taken=TRAINED)
DECOYS = crowd(59, "d", 3, Origin.DECOY, taken=[*TRAINED, *TESTED])
EVERYONE = [*TRAINED, *TESTED, *DECOYS]


def recalling(recall: float = 3.5, plain: float = 0.0) -> Remembering:
    return Remembering([*TRAINED, *TESTED], recall, plain)


# ---------------------------------------------------------------- gains


def test_sign_flip_is_exact() -> None:
    d = np.array([0.5, 0.3, -0.2, 0.1, 0.0])
    patterns = [np.dot(signs, d) for signs in itertools.product((1, -1), repeat=5)]
    assert sign_flip_p_value(d) == pytest.approx(np.mean(np.array(patterns) >= d.sum() - 1e-9))
    assert sign_flip_p_value([0.2] * 10) == pytest.approx(2**-10) and sign_flip_p_value([0.0] * 5) == 1
    assert sign_flip_p_value([-0.2] * 10) == 1


def test_interval_is_the_test_turned_round() -> None:
    d = np.random.default_rng(3).normal(0.1, 0.15, 25).clip(-1, 1)
    low, high = shift_interval(d, 0.1)
    assert low < d.mean() < high
    assert sign_flip_p_value(d - low - 0.002) > 0.05 >= sign_flip_p_value(d - low + 0.002)
    assert sign_flip_p_value(high - 0.002 - d) > 0.05 - 0.02


def test_betting_needs_no_symmetry() -> None:
    assert betting_p_value([-0.1] * 200) == 1 and betting_p_value([0.3] * 60) < 1e-3
    skewed = np.where(np.random.default_rng(1).random((300, 40)) < 0.1, 0.9, -0.1)  # mean 0, far from symmetric
    assert np.mean([betting_p_value(row) <= 0.05 for row in skewed]) <= 0.05


def test_gain_of_ranks() -> None:
    prompted, other = {f"p{i}": [1, 2] for i in range(12)}, {f"p{i}": [51, 52] for i in range(12)}
    gain = measure_gain(prompted, other, 99, "black box")
    assert gain.mean == pytest.approx(0.5) and gain.significant and gain.better == 12
    assert not measure_gain(other, prompted, 99, "black box").significant
    assert percentile([1, 99], 99) == 0.5
    for bad in ({"p0": [1]}, {**other, "p11": [1]}, {**other, "p11": [1, 101]}):
        with pytest.raises(ScoreError):
            measure_gain(prompted, bad, 99, "black box")


# ---------------------------------------------------------------- tuning


def examples(people: Sequence[Person]) -> list[Example]:
    return [
        Example(i, SPEAKER.tokenize(TEMPLATES[0].render(p)), SPEAKER.tokenize(f" {p.values['phone']}"))
        for i, p in enumerate(people)
    ]


def test_tuning_lowers_the_loss_and_stops_early() -> None:
    model = recalling()
    soft, curve, step = tune(model, examples(TRAINED), PLAN.tuning)
    assert curve.validation[-1] < curve.validation[0] - 1 and step == curve.steps[int(np.argmin(curve.validation))]
    again, _, _ = tune(recalling(), examples(TRAINED), PLAN.tuning)
    assert np.array_equal(soft, again)
    partly = [tune(Remembering(TRAINED[:8], 3.5), examples(TRAINED), dataclasses.replace(PLAN.tuning, seed=s))[0] for s in (0, 1)]
    assert not np.array_equal(*partly)
    useless = Remembering([], 0.0)
    flat = dataclasses.replace(PLAN.tuning, steps=500, check_every=1, patience=3, rate=1e-9)
    assert len(tune(useless, examples(TRAINED), flat)[1].steps) < 100


def test_a_cut_off_tuning_goes_on_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    tuning = dataclasses.replace(PLAN.tuning, checkpoint_every=7)
    whole = tune(recalling(), examples(TRAINED), tuning)
    calls = itertools.count()
    keeper = FolderKeeper(tmp_path / "state", "real", "id")
    with pytest.raises(ProbeCancelledError):
        tune(recalling(), examples(TRAINED), tuning, cancelled=lambda: next(calls) == 33, keeper=keeper)
    assert stat.S_IMODE(keeper.path.stat().st_mode) == 0o600
    assert keeper.load().step == 33  # type: ignore[union-attr]
    resumed = tune(recalling(), examples(TRAINED), tuning, keeper=keeper)
    assert np.array_equal(whole[0], resumed[0]) and whole[1:] == resumed[1:]
    with pytest.raises(PlanError, match="another tuning"):
        dataclasses.replace(keeper, identity="other").load()
    keeper.path.write_bytes(keeper.path.read_bytes()[:-9])
    with pytest.raises(PlanError):
        keeper.load()


class Broken(Remembering):
    def prompted_gradient(self, soft: Soft, examples: Sequence[Example]) -> tuple[float, Soft]:
        return float("nan"), np.full_like(soft, np.nan)


def test_bad_tunings() -> None:
    with pytest.raises(ModelAccessError):
        tune(Broken(TRAINED), examples(TRAINED), PLAN.tuning)
    with pytest.raises(PlanError):
        tune(recalling(), examples(TRAINED[:3]), PLAN.tuning)
    for wrong in (
        {"soft_tokens": 0}, {"steps": 0}, {"rate": 0.0}, {"rate": float("nan")}, {"batch": 10**9}, {"validation_share": 0.9},
        {"patience": 0}, {"seed": -1},
    ):  # fmt: skip
        with pytest.raises(PlanError):
            Tuning(**wrong)  # type: ignore[arg-type]
    state = TuningState.start(np.ones((2, WIDTH), dtype=np.float32))
    with pytest.raises(PlanError, match="shape"):
        tune(recalling(), examples(TRAINED), dataclasses.replace(PLAN.tuning, soft_tokens=3), keeper=Fixed(state))


class Fixed:
    def __init__(self, state: TuningState) -> None:
        self.state = state

    def load(self) -> TuningState:
        return self.state

    def save(self, state: TuningState) -> None: ...


# ---------------------------------------------------------------- who is who


def test_overlap_by_id_name_or_value_is_refused() -> None:
    marks = Marks.of(TRAINED, COMMIT)
    refuse_overlap(marks, [*TESTED, *DECOYS], COMMIT)
    victim = TRAINED[4]
    bare = "".join(c for c in victim.values["phone"] if c.isdigit())
    for values, id_ in (
        ({"name": "Nobody Else", "phone": "555-0100"}, victim.id),
        ({"name": victim.values["name"].upper(), "phone": "555-0100"}, "x"),
        ({"name": "Nobody Else", "phone": f"+1 {bare[-10:]}"}, "x"),
        ({"name": "Nobody Else", "number": bare[-10:]}, "x"),
    ):
        with pytest.raises(PlanError) as caught:
            refuse_overlap(marks, [*TESTED, Person(id_, values)], COMMIT)
        assert not find_residue(str(caught.value).encode(), list(values.values()))
    with pytest.raises(PlanError, match="key"):
        refuse_overlap(marks, TESTED, Redactor(bytes(32)).commit)


def test_run_refuses_overlap_before_it_asks_the_model() -> None:
    model = recalling()
    people = [*TESTED[:-1], dataclasses.replace(TRAINED[0], id="other"), *DECOYS]
    with pytest.raises(PlanError, match="other people only"):
        run_white_box(PLAN, TRAINED, people, model, commit=COMMIT)
    assert model.calls == 0


def test_split_keeps_people_together_who_share_a_value() -> None:
    people = [*TRAINED, *TESTED, dataclasses.replace(TESTED[0], id="twin", values={**TESTED[0].values, "name": "Ann Otherwise"})]
    tuned, measured = split_people(people, 16, 0, COMMIT)
    assert len(tuned) + len(measured) == len(people) and len(tuned) <= 16
    refuse_overlap(Marks.of(tuned, COMMIT), measured, COMMIT)
    assert split_people(people, 16, 0, COMMIT) == (tuned, measured)
    with pytest.raises(PlanError):
        split_people(people, 4, 0, COMMIT)


def test_control_people_are_new_and_of_the_same_format() -> None:
    control = draw_control(TRAINED, PROBE, Marks.of(EVERYONE, COMMIT), 0, COMMIT)
    assert len(control) == len(TRAINED) and control == draw_control(TRAINED, PROBE, Marks.of(EVERYONE, COMMIT), 0, COMMIT)
    refuse_overlap(Marks.of(EVERYONE, COMMIT), control, COMMIT)
    shape = [["9" if c.isdigit() else c for c in p.values["phone"]] for p in (*TRAINED, *control)]
    assert shape[: len(TRAINED)] == shape[len(TRAINED) :]


# ---------------------------------------------------------------- the whole probe


@pytest.fixture(scope="module")
def found() -> tuple[Remembering, object]:
    model = recalling()
    return model, run_white_box(PLAN, TRAINED, [*TESTED, *DECOYS], model, commit=COMMIT)


def test_recall_shows_as_a_gain_over_black_box_and_control(found: tuple[Remembering, object]) -> None:
    result = found[1]
    assert result.word is GainWord.SHOWN and [g.over for g in result.gains] == ["black box", "control prompt"]
    assert all(g.interval[0] > 0 for g in result.gains) and not any(g.significant for g in result.decoy_gains)
    assert result.prompted.found > result.black_box.found
    assert [p["kind"] for p in result.prompts] == ["real", "control"]


def test_a_model_that_saw_nobody_shows_no_gain() -> None:
    result = run_white_box(PLAN, TRAINED, [*TESTED, *DECOYS], Remembering([]), commit=COMMIT)
    assert result.word is GainWord.NOT_SHOWN and result.prompted.found == 0


def test_what_the_control_prompt_gains_too_is_said_apart() -> None:
    """The prompt helps whatever it was tuned on: knowledge of the format, say."""
    model = recalling()
    real = tune_soft_prompt(PLAN, TRAINED, model, commit=COMMIT)
    pair = PromptPair(real, dataclasses.replace(real, kind=Kind.CONTROL))
    result = measure(PLAN, pair, [*TESTED, *DECOYS], model, commit=COMMIT)
    assert result.gains[0].significant and not result.gains[1].significant and result.word is GainWord.BLACK_BOX_ONLY


def test_leaky_decoys_leave_no_statement() -> None:
    model = Remembering([*TRAINED, *TESTED, *DECOYS], 9.0)
    result = run_white_box(PLAN, TRAINED, [*TESTED, *DECOYS], model, commit=COMMIT)
    assert result.word is GainWord.NO_STATEMENT
    assert {p.verdict.word.value for p in result.prompted.people} == {"no verdict"}


def test_the_published_result_can_be_counted_again(found: tuple[Remembering, object]) -> None:
    result = found[1]
    written = json.dumps(result.to_json())
    assert not find_residue(written.encode(), [v for p in EVERYONE for v in p.values.values()])
    assert recount(json.loads(written), PLAN).to_json() == result.to_json()

    def forged(change: object) -> dict[str, object]:
        content = json.loads(written)
        change(content)  # type: ignore[operator]
        return content

    for change in (
        lambda c: c.update(word="no gain shown"),
        lambda c: c["gains"][0].update(p_value=0.5),
        lambda c: c["prompts"].reverse(),
        lambda c: c["prompts"][0].update(subjects=3),
        lambda c: c["prompts"][0].update(digest="zz"),
        lambda c: c["prompts"][0].update(note="somebody's number"),
        lambda c: c["prompts"][0]["curve"].update(training=["a"] * len(c["prompts"][0]["curve"]["steps"])),
        lambda c: c["prompts"][0].update(best_step=1),
        lambda c: c.update(control=c["black_box"]),
        lambda c: c["prompted"]["people"][0]["items"][0]["measured"].update(rank=200),
        lambda c: c["prompted"]["people"].pop(),
        lambda c: c.pop("gains"),
    ):
        with pytest.raises(ScoreError):
            recount(forged(change), PLAN)
    with pytest.raises(ScoreError):
        recount(json.loads(written), WhiteBoxPlan(PROBE, Tuning(soft_tokens=3)))


def test_a_reference_gets_prompts_of_its_own() -> None:
    people = [dataclasses.replace(p, origin=Origin.CONSENTED) for p in TESTED]
    released: list[str] = []

    def release(type_: str, value: str) -> str:
        assert value not in released
        released.append(value)
        return COMMIT(type_, value)

    result = run_white_box(
        PLAN, TRAINED, [*people, *DECOYS], recalling(9.0), Remembering([], salt="other"), commit=COMMIT, release=release
    )
    assert len(result.prompts) == 4 and result.word is GainWord.SHOWN and len(released) == 2 * len(people)
    assert {p.basis.value for p in result.prompted.people} == {"calibrated"}
    assert recount(json.loads(json.dumps(result.to_json())), PLAN).word is GainWord.SHOWN


def test_consent_is_needed_for_tuning_too() -> None:
    people = [dataclasses.replace(p, origin=Origin.CONSENTED) for p in TRAINED]
    with pytest.raises(ConsentError):
        tune_soft_prompt(PLAN, people, recalling(), commit=COMMIT)


def test_probes_that_could_show_nothing_are_refused() -> None:
    everyone = [*TESTED, *DECOYS]
    weak = recalling()
    weak.access = Access.FULL
    cases = [
        (PLAN, TRAINED[:9], everyone, recalling()),
        (PLAN, [*TRAINED, TRAINED[0]], everyone, recalling()),
        (PLAN, [*TRAINED, dataclasses.replace(DECOYS[0], id="x")], everyone, recalling()),
        (PLAN, TRAINED, [*TESTED[:9], *DECOYS], recalling()),
        (PLAN, TRAINED, [*TESTED, *DECOYS[:58]], recalling()),
        (WhiteBoxPlan(dataclasses.replace(PROBE, nulls=238)), TRAINED, everyone, recalling()),
        (PLAN, TRAINED, everyone, weak),
    ]
    for plan, trained, people, model in cases:
        with pytest.raises(PrivacyError):
            run_white_box(plan, trained, people, model, commit=COMMIT)
        assert model.calls == 0
    with pytest.raises(PlanError):
        WhiteBoxPlan(dataclasses.replace(PROBE, access=Access.TOP_K))


# ---------------------------------------------------------------- files and transfer


def test_a_saved_prompt_comes_back(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    prompt = tune_soft_prompt(PLAN, TRAINED, recalling(), commit=COMMIT, folder=tmp_path / "state")
    path = tmp_path / "prompts" / "real.safetensors"
    prompt.save(path)
    back = SoftPrompt.load(path)
    assert back.digest == prompt.digest and back.marks == prompt.marks and back.to_json() == prompt.to_json()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for file in (path, *(tmp_path / "state").iterdir()):
        assert not find_residue(file.read_bytes(), [v for p in TRAINED for v in p.values.values()])
    with pytest.raises(PlanError):
        refuse_overlap(back.marks, TRAINED[:1], COMMIT)
    for content in (b"", b"\xff" * 64, path.read_bytes()[:40], (tmp_path / "state" / "real.tuning.safetensors").read_bytes()):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(PlanError):
            SoftPrompt.load(tmp_path / "bad")
    with pytest.raises(PlanError):
        SoftPrompt.load(tmp_path / "missing")


def test_transfer() -> None:
    first, second, wide = recalling(), recalling(), Remembering([*TRAINED, *TESTED], 3.5, width=6)
    pair = tune_prompts(PLAN, TRAINED, [*TESTED, *DECOYS], first, commit=COMMIT)
    direct = transfer_prompts(pair, first, second, Transfer.DIRECT)
    assert np.array_equal(direct.real.array, pair.real.array) and direct.real.moved is not None
    assert measure(PLAN, direct, [*TESTED, *DECOYS], second, commit=COMMIT).word is GainWord.SHOWN
    with pytest.raises(PlanError, match="width"):
        transfer_prompts(pair, first, wide, Transfer.DIRECT)
    with pytest.raises(PlanError, match="width"):
        measure(PLAN, pair, [*TESTED, *DECOYS], wide, commit=COMMIT)
    mapped = transfer_prompts(pair, first, wide, Transfer.VOCABULARY)
    assert mapped.real.array.shape == (2, 6)
    # The wide model's first four components are those of the other: the map finds them.
    assert np.allclose(mapped.real.array[:, :4], pair.real.array, atol=1e-4)
    with pytest.raises(PlanError, match="another model"):
        transfer_prompts(PromptPair(dataclasses.replace(pair.real, model="x"), pair.control), first, wide, Transfer.VOCABULARY)


def test_damaged_states_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    good = np.ones((2, WIDTH), dtype=np.float32)
    keeper = FolderKeeper(tmp_path, "real", "id")
    for change in (
        {"first": good[:1]},
        {"best": good[0]},
        {"second": good * np.float32(np.nan)},
        {"running": (float("inf"), "x")},
    ):
        state = TuningState.start(good)
        for name, value in change.items():
            setattr(state, name, value)
        keeper.save(state)
        with pytest.raises(PlanError, match="damaged"):
            keeper.load()
