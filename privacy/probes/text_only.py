"""Text tier: a model that only answers. Hits of a value in sampled answers, against three controls that tell what is chance.

Decoys are asked first, a fixed number of times; their answers are every person's control. Then each person is asked, until the
value is found (a test that is valid whenever one stops) or the planned number of answers is reached. Answers stay in memory.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from privacy.errors import ModelAccessError, ScoreError
from privacy.matching.folding import MAX_TEXT, bare, fold
from privacy.matching.matchers import TYPES, open_matcher
from privacy.people import Origin
from privacy.probes.evidence import HitEvidence
from privacy.probes.model import ProbedModel, Progress
from privacy.probes.plan import ProbePlan
from privacy.probes.targets import Target

OF_DIGITS = frozenset(("phone", "us-ssn", "payment-card"))
"""Types of which an answer that lacks the last four digits in a row cannot give the value, whatever stands between digits."""
LOOKS = 10
"""How often the sequential test looks at the answers to one person."""


@dataclass(frozen=True)
class Answer:
    """An answer that was given `times` times, with its digits alone."""

    text: str = field(repr=False)
    digits: str = field(repr=False)
    times: int


@dataclass(frozen=True)
class Asked:
    """The answers to one prompt. Never leaves this module."""

    template: str
    prompt: str = field(repr=False)
    answers: tuple[Answer, ...] = field(repr=False)

    @classmethod
    def of(cls, template: str, prompt: str, texts: Sequence[str]) -> Asked:
        counts = Counter(text[:MAX_TEXT] for text in texts)
        return cls(template, prompt, tuple(Answer(text, _digits(text), times) for text, times in counts.items()))

    @property
    def samples(self) -> int:
        return sum(answer.times for answer in self.answers)


@dataclass(frozen=True)
class ValueSeeker:
    """Finds one value in answers. Typed values by the matchers of their type, others word for word, case and accents aside."""

    type: str
    _finds: Callable[[str], bool] = field(repr=False)
    _ending: str = field(default="", repr=False)

    @classmethod
    def of(cls, target: Target, region: str | None) -> ValueSeeker:
        """Raises ValueFormatError for a value that does not parse as its type."""
        if target.type in TYPES or target.type.startswith("id:"):
            matcher = open_matcher(target.type, target.value, region)
            return cls(target.type, matcher.matches, _digits(target.value)[-4:] if target.type in OF_DIGITS else "")
        return cls(target.type, partial(_holds_words, _words(target.value)))

    def count(self, asked: Asked) -> int:
        """How many answers give the value; none where the prompt does already: repeating it is no disclosure."""
        likely = [answer for answer in asked.answers if self._ending in answer.digits]
        if not likely or self._finds(asked.prompt):
            return 0
        return sum(answer.times for answer in likely if self._finds(answer.text))


class DecoyAnswers:
    """What decoys were answered, by type: asked once for the whole run, a fixed number of times."""

    def __init__(self, plan: ProbePlan, targets: Sequence[Target], model: ProbedModel, progress: Progress | None) -> None:
        self._plan = plan
        self._targets = [target for target in targets if target.person.origin is Origin.DECOY]
        self._asked: list[list[Asked]] = []
        for place, target in enumerate(self._targets):
            self._asked.append(_ask_all(plan, target, model, "model"))
            if progress is not None:
                progress((place + 1) / len(self._targets), f"asked for {place + 1} of {len(self._targets)} values of decoys")
        self._own = [_seek(ValueSeeker.of(t, plan.region), asked) for t, asked in zip(self._targets, self._asked)]

    def own(self, target: Target) -> list[Asked]:
        """The answers to a decoy."""
        return next(asked for one, asked in zip(self._targets, self._asked) if one is target)

    def controls(self, target: Target, seeker: ValueSeeker) -> tuple[int, int, int, int]:
        """Hits and answers: of this value about (other) decoys with this target's templates, of their own values about them."""
        used = {template.id for template in target.templates}
        hits = samples = own_hits = own_samples = 0
        for decoy, asked, (own_hit, own_sample) in zip(self._targets, self._asked, self._own):
            if decoy.type != target.type or decoy.person.id == target.person.id:
                continue
            hit, sample = _seek(seeker, [one for one in asked if one.template in used])
            hits, samples = hits + hit, samples + sample
            own_hits, own_samples = own_hits + own_hit, own_samples + own_sample
        if not samples:
            raise ScoreError(f"no decoy was asked with the templates for the type {target.type}; there is no control")
        return hits, samples, own_hits, own_samples


def count_hits(
    plan: ProbePlan,
    targets: Sequence[Target],
    decoys: DecoyAnswers,
    model: ProbedModel,
    reference: ProbedModel | None,
    tests: int,
) -> list[HitEvidence]:
    """Hits of each target with its controls. Raises ValueFormatError, ModelAccessError, ProbeCancelledError."""
    return [_count(plan, target, decoys, model, reference, tests) for target in targets]


def _count(
    plan: ProbePlan, target: Target, decoys: DecoyAnswers, model: ProbedModel, reference: ProbedModel | None, tests: int
) -> HitEvidence:
    seeker = ValueSeeker.of(target, plan.region)
    controls = decoys.controls(target, seeker)
    theirs = _seek(seeker, _ask_all(plan, target, reference, "reference")) if reference is not None else (None, None)
    found = HitEvidence(0, 0, *controls, *theirs)
    if target.person.origin is Origin.DECOY:
        hits, samples = _seek(seeker, decoys.own(target))
        return replace(found, hits=hits, samples=samples)
    for asked in _looks(plan, target, model, "model", LOOKS if plan.sequential else 1):
        hits, samples = _seek(seeker, asked)
        found = replace(found, hits=found.hits + hits, samples=found.samples + samples)
        if plan.sequential and found.samples < plan.samples and found.p_value(plan, tests) <= plan.alpha / tests:
            return replace(found, stopped=True)
    return found


def _seek(seeker: ValueSeeker, asked: Sequence[Asked]) -> tuple[int, int]:
    """Hits and answers."""
    return sum(seeker.count(one) for one in asked), sum(one.samples for one in asked)


def _ask_all(plan: ProbePlan, target: Target, model: ProbedModel, who: str) -> list[Asked]:
    return [asked for look in _looks(plan, target, model, who, 1) for asked in look]


def _looks(plan: ProbePlan, target: Target, model: ProbedModel, who: str, looks: int) -> Iterator[list[Asked]]:
    """The planned answers, shared out evenly over the templates, in `looks` parts. Answer s of a target uses template s mod K."""
    templates, prompts = target.templates, target.contexts()
    done = [0] * len(templates)
    for look in range(1, looks + 1):
        upto = plan.samples * look // looks
        wanted = [upto // len(templates) + (k < upto % len(templates)) for k in range(len(templates))]
        asked = []
        for extra in sorted({wanted[k] - done[k] for k in range(len(templates))} - {0}):
            places = [k for k in range(len(templates)) if wanted[k] - done[k] == extra]
            seed = _seed(plan, target, who, look, extra)
            answers = model.write([prompts[k] for k in places], extra, replace(plan.decoding, seed=seed))
            if len(answers) != len(places) or any(len(row) != extra for row in answers):
                raise ModelAccessError("the model gave another number of answers than was asked for")
            asked += [Asked.of(templates[k].id, prompts[k], row) for k, row in zip(places, answers)]
        done = wanted
        if asked:
            yield asked


def _seed(plan: ProbePlan, target: Target, who: str, look: int, extra: int) -> int:
    """A random stream of its own for every part of every target; the model's and the reference's differ."""
    text = f"{plan.seed}/{plan.decoding.seed}/{target.person.id}/{target.type}/{who}/{look}/{extra}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def _digits(text: str) -> str:
    return "".join(c for c in fold(text).text if c in "0123456789")


def _words(text: str) -> tuple[str, ...]:
    folded = bare(fold(text).text)
    return tuple("".join(c if c.isalnum() else " " for c in folded).split())


def _holds_words(sought: tuple[str, ...], text: str) -> bool:
    words = _words(text)
    return any(words[i : i + len(sought)] == sought for i in range(len(words) - len(sought) + 1))
