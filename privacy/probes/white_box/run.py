"""The white-box probe (ProPILE, arXiv 2307.01881, section 4) with a control: what does a tuned soft prompt add?

Two soft prompts are tuned: one on real people, one on as many invented ones of the same formats. Other people are then probed
three times by the same code, with the same nulls: without a soft prompt, after the control prompt, after the real one. What the
real prompt adds over both is recall; what the control adds too is knowledge of formats.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from privacy.errors import ConsentError, ModelAccessError, PlanError
from privacy.people import Origin, Person
from privacy.probes.black_box import Keep, Release, run_black_box
from privacy.probes.model import Access, Cancelled, Decoding, ModelFacts, ProbedModel, Progress
from privacy.probes.results import ProbeResult
from privacy.probes.white_box.model import Soft, WhiteBoxModel
from privacy.probes.white_box.results import WhiteBoxPlan, WhiteBoxResult, check_gain_size, compare
from privacy.probes.white_box.soft_prompt import Commit, FolderKeeper, Kind, Marks, SoftPrompt, refuse_overlap
from privacy.probes.white_box.subjects import LEAST_EVALUATED, build_examples, check_trained, draw_control
from privacy.probes.white_box.tuning import tune


@dataclass(frozen=True)
class PromptPair:
    """The two soft prompts for one model."""

    real: SoftPrompt
    control: SoftPrompt

    def to_json(self, commit: Commit) -> list[dict[str, Any]]:
        """What is told of the two. Their digests are keyed: arrays can be made again for guessed values, and compared."""
        prompts = [one.to_json() for one in (self.real, self.control)]
        return [{**one, "digest": commit("digest of a soft prompt", one["digest"])} for one in prompts]


class PromptedModel:
    """A white-box model as other probes see it (ProbedModel), with a soft prompt in front of every prompt, or none."""

    def __init__(self, model: WhiteBoxModel, soft: Soft | None) -> None:
        self._model, self._soft = model, soft

    def facts(self) -> ModelFacts:
        return self._model.facts()

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self._model.tokenize(text)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return self._model.detokenize(token_ids)

    def score_candidates(
        self, prompts: Sequence[Sequence[int]], candidates: Sequence[Sequence[Sequence[int]]], progress: Progress | None = None
    ) -> list[list[tuple[float, ...]]]:
        return self._model.score_prompted(self._soft, prompts, candidates, progress)

    def score(self, sequences: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        raise _only_candidates()

    def next_tokens(self, prompts: Sequence[Sequence[int]]) -> list[Mapping[int, float]]:
        raise _only_candidates()

    def token_moments(self, sequences: Sequence[Sequence[int]]) -> list[Any]:
        raise _only_candidates()

    def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
        raise _only_candidates()

    def write_tokens(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[tuple[int, ...]]:
        raise _only_candidates()


def _only_candidates() -> ModelAccessError:
    return ModelAccessError("after a soft prompt, candidates are scored and nothing else is asked")


def tune_soft_prompt(
    plan: WhiteBoxPlan,
    people: Sequence[Person],
    model: WhiteBoxModel,
    *,
    commit: Commit,
    kind: Kind = Kind.REAL,
    release: Release | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> SoftPrompt:
    """A soft prompt tuned on these people. `folder`: where its state is kept, so that a tuning that was cut off goes on.

    `release` is called for every value of a consented person before it is used. `commit` makes the marks by which overlap with
    measured people is refused later. Raises PlanError, ConsentError, TemplateError, BoundaryError, ModelAccessError,
    ProbeCancelledError.
    """  # fmt: skip
    check_weights(model)
    if kind is Kind.REAL:
        check_trained(people, plan.probe)
        _release_all(plan, people, release)
    examples = build_examples(people, plan.probe, model)
    facts = model.facts()
    name = facts.digest or facts.name
    keeper = None
    if folder is not None:
        told = [[e.subject, list(e.context), list(e.value)] for e in examples]
        content = json.dumps([name, kind.value, plan.tuning.to_json(), told])
        keeper = FolderKeeper(folder, kind.value, commit("tuning", hashlib.sha256(content.encode()).hexdigest()))
    soft, curve, step = tune(model, examples, plan.tuning, progress, cancelled, keeper)
    return SoftPrompt(kind, soft, name, len(people), curve, step, Marks.of(people, commit))


def tune_prompts(
    plan: WhiteBoxPlan,
    train_people: Sequence[Person],
    people: Sequence[Person],
    model: WhiteBoxModel,
    *,
    commit: Commit,
    release: Release | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> PromptPair:
    """The real and the control prompt, for later measurement on `people` (of whom nothing but keyed marks is used here)."""
    check_trained(train_people, plan.probe)
    refuse_overlap(Marks.of(train_people, commit), people, commit)
    avoid = Marks.of([*train_people, *people], commit)
    control = draw_control(train_people, plan.probe, avoid, plan.tuning.seed, commit)
    shared: dict[str, Any] = {"commit": commit, "folder": folder, "cancelled": cancelled}
    real = tune_soft_prompt(plan, train_people, model, release=release, progress=_part(progress, 0, 2), **shared)
    other = tune_soft_prompt(plan, control, model, kind=Kind.CONTROL, progress=_part(progress, 1, 2), **shared)
    return PromptPair(real, other)


def measure(
    plan: WhiteBoxPlan,
    prompts: PromptPair,
    people: Sequence[Person],
    model: WhiteBoxModel,
    reference: tuple[WhiteBoxModel, PromptPair] | None = None,
    *,
    commit: Commit,
    release: Release | None = None,
    keep: Keep | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> WhiteBoxResult:
    """Probe `people`, the decoys among them, without a prompt, with the control and with the real one, and compare.

    `reference`: a model that calibrates scores, with a pair of prompts tuned on it, on the same people. Each consented value is
    released once. Raises PlanError where anybody measured was tuned on, and what `run_black_box` raises.
    """  # fmt: skip
    check_measured(plan, people)
    pairs = [(model, prompts), *([reference] if reference is not None else [])]
    for owner, pair in pairs:
        check_weights(owner)
        for prompt in (pair.real, pair.control):
            _check_width(prompt, owner)
            refuse_overlap(prompt.marks, people, commit)
    once = _once(release)
    found: list[ProbeResult] = []
    for place, kind in enumerate((None, Kind.CONTROL, Kind.REAL)):
        models = [_with_prompt(owner, pair, kind) for owner, pair in pairs]
        found.append(
            run_black_box(
                plan.probe, people, models[0], models[1] if len(models) > 1 else None, release=once, commit=commit,
                keep=_kept(keep, kind.value if kind is not None else "none"), progress=_part(progress, place, 3),
                cancelled=cancelled,
            )
        )  # fmt: skip
    told = [one for _, pair in pairs for one in pair.to_json(commit)]
    return compare(plan, told, *found)


def run_white_box(
    plan: WhiteBoxPlan,
    train_people: Sequence[Person],
    people: Sequence[Person],
    model: WhiteBoxModel,
    reference: WhiteBoxModel | None = None,
    *,
    commit: Commit,
    release: Release | None = None,
    folder: Path | None = None,
    keep: Keep | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> WhiteBoxResult:
    """Tune on `train_people`, measure on `people` (decoys among these): `tune_prompts`, then `measure`.

    `folder` keeps the state of tunings and `keep` what was measured; neither holds a value. Raises what these two raise;
    nothing is asked of the model before plan and people were checked.
    """  # fmt: skip
    check_measured(plan, people)
    shared: dict[str, Any] = {"commit": commit, "release": _once(release), "cancelled": cancelled}
    models = [model, *([reference] if reference is not None else [])]
    pairs = []
    for place, owner in enumerate(models):
        part = folder / ("model", "reference")[place] if folder is not None else None
        bar = _part(progress, place, len(models) + 1)
        pairs.append(tune_prompts(plan, train_people, people, owner, folder=part, progress=bar, **shared))
    second = (models[1], pairs[1]) if reference is not None else None
    last = _part(progress, len(models), len(models) + 1)
    return measure(plan, pairs[0], people, model, second, keep=keep, progress=last, **shared)


def check_measured(plan: WhiteBoxPlan, people: Sequence[Person]) -> None:
    """Raises PlanError for people on whom the probe could show nothing: too few of them, or of nulls, or of decoys."""
    plan.probe.check(people)
    tested = sum(person.origin is not Origin.DECOY for person in people)
    if tested < LEAST_EVALUATED:
        raise PlanError(f"a gain is measured on at least {LEAST_EVALUATED} people, not {tested}")
    check_gain_size(tested, plan.probe.alpha)


def check_weights(model: WhiteBoxModel) -> None:
    """Raises ModelAccessError where the model is not in process."""
    facts = model.facts()
    if not facts.access.covers(Access.WEIGHTS):
        raise ModelAccessError(f"a soft prompt needs the model's weights; {facts.name} offers {facts.access.value} access")


def _check_width(prompt: SoftPrompt, model: WhiteBoxModel) -> None:
    width = int(model.embed(model.tokenize("a")[:1]).shape[1])
    if prompt.array.shape[1] != width:
        raise PlanError(
            f"the soft prompt has embeddings of width {prompt.array.shape[1]}, the model of width {width}; move it through the "
            "shared vocabulary (privacy.probes.white_box.transfer), or tune one on this model"
        )


def _with_prompt(model: WhiteBoxModel, pair: PromptPair, kind: Kind | None) -> ProbedModel:
    chosen = {None: None, Kind.REAL: pair.real.array, Kind.CONTROL: pair.control.array}
    return PromptedModel(model, chosen[kind])


def _release_all(plan: WhiteBoxPlan, people: Sequence[Person], release: Release | None) -> None:
    for person in people:
        if person.origin is not Origin.CONSENTED:
            continue
        if release is None:
            raise ConsentError("a consented person can be tuned on only under the request that was signed")
        for type_ in ("name", *plan.probe.items(person)):
            release(type_, person.values[type_])


def _once(release: Release | None) -> Release | None:
    """Releases each value once and remembers its commitment: the three probes are one use of it."""
    if release is None:
        return None
    known: dict[tuple[str, str], str] = {}

    def remembered(type_: str, value: str) -> str:
        if (type_, value) not in known:
            known[type_, value] = release(type_, value)
        return known[type_, value]

    return remembered


def _kept(keep: Keep | None, condition: str) -> Keep | None:
    if keep is None:
        return None

    def named(name: str, make: Callable[[], bytes]) -> bytes:
        return keep(f"{condition}-{name}", make)

    return named


def _part(progress: Progress | None, place: int, parts: int) -> Progress | None:
    """Progress of one part of several."""
    if progress is None:
        return None
    return lambda fraction, message: progress((place + fraction) / parts, message)
