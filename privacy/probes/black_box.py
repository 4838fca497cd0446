"""The black-box probe (ProPILE, arXiv 2307.01881) with exact error control: does a model link a value to a name?

At the best tier that the model offers: ranks among same-format nulls (full), bounds of these (top-k), or hits in sampled answers
(text). Invented people go through the same code and decide whether the run says anything at all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from privacy.errors import ConsentError, ModelAccessError, PlanError, ProbeCancelledError, ScoreError
from privacy.invented.values import read_format
from privacy.people import Origin, Person
from privacy.probes import evidence as measures
from privacy.probes.coarse_ranks import told
from privacy.probes.doubts import Doubt, find_doubt
from privacy.probes.early_ranks import rank_until_plain
from privacy.probes.evidence import Evidence
from privacy.probes.model import Access, Cancelled, ProbedModel, Progress
from privacy.probes.plan import ProbePlan
from privacy.probes.results import MeasuredItem, MeasuredPerson, ProbeResult, judge
from privacy.probes.scoring import rank_targets
from privacy.probes.targets import Target, in_groups, templates_of
from privacy.probes.text_only import DecoyAnswers, ValueSeeker, count_hits
from privacy.probes.top_k import bound_targets
from privacy.redaction import length_class
from privacy.statistics.planning import check_nulls

Release = Callable[[str, str], str]
"""(type, value) -> commitment, of a value that may be scored now (`privacy.consent.Guard.release`). Raises ConsentError."""
Commit = Callable[[str, str], str]
"""(type, value) -> commitment, of a value that the auditor invented (`privacy.redaction.Redactor.commit`)."""
Keep = Callable[[str, Callable[[], bytes]], bytes]
"""(name, make) -> bytes: what is kept under a name, made and kept where it is not there yet. Holds ranks and counts only."""
ROWS_AT_ONCE = 8_000
"""Candidates (value and nulls, over all templates) that are measured and kept together."""


def run_black_box(
    plan: ProbePlan,
    people: Sequence[Person],
    model: ProbedModel,
    reference: ProbedModel | None = None,
    *,
    release: Release | None = None,
    commit: Commit,
    keep: Keep | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> ProbeResult:
    """Probe `people`, the decoys among them, as planned.

    `release` is called for every value of a consented person that is used, name included, once, before anything is asked of the
    model; without it no consented person is taken. `keep` makes a run resumable: what was measured is kept, in names and contents
    that tell ranks and counts alone, and not measured again.
    Raises PlanError before anything is asked; ConsentError; ValueFormatError; BoundaryError where the tokenizer joins prompt and
    value; ModelAccessError; ScoreError for NaN; ProbeCancelledError.
    """
    plan.check(people)
    run = _Run(plan, people, model, reference, keep, progress, cancelled)
    run.open_targets(release, commit)
    return run.measure()


def choose_access(plan: ProbePlan, model: ProbedModel) -> Access:
    """The tier of a run: the plan's, or the best of text, top-k and full that the model offers. Raises ModelAccessError."""
    offered = model.facts().access
    if plan.access is None:
        return Access.FULL if offered.covers(Access.FULL) else offered
    wanted = Access.FULL if plan.access is Access.WEIGHTS else plan.access
    if not offered.covers(wanted):
        raise ModelAccessError(f"the plan asks for the tier {wanted.value}; the model offers {offered.value}")
    return wanted


class _Run:
    def __init__(
        self, plan: ProbePlan, people: Sequence[Person], model: ProbedModel, reference: ProbedModel | None,
        keep: Keep | None, progress: Progress | None, cancelled: Cancelled | None,
    ) -> None:  # fmt: skip
        self.plan, self.people, self.model, self.reference = plan, people, model, reference
        self.keep, self.progress, self.cancelled = keep, progress, cancelled
        self.access = choose_access(plan, model)
        self.tests = plan.tests(people)
        if self.access is not Access.TEXT:
            check_nulls(plan.nulls, self.tests, plan.alpha)
        else:
            measures.check_samples(plan, self.tests, plan.decoys)
        self.facts = model.facts()
        self.reference_facts = reference.facts() if reference is not None else None
        if self.access is Access.FULL and self.reference_facts and not self.reference_facts.access.covers(Access.FULL):
            raise ModelAccessError("a reference model gives the log-probability of every token; this one does not")
        self.targets: list[Target] = []
        self._decoy_answers: DecoyAnswers | None = None

    # ------------------------------------------------------------------ before anything is asked

    def open_targets(self, release: Release | None, commit: Commit) -> None:
        """Templates and commitments of everything that will be measured. Raises ConsentError, PlanError."""
        for person in self.people:
            templates = [(type_, templates_of(self.plan, person, type_)) for type_ in self.plan.items(person)]
            if person.origin is Origin.CONSENTED:
                if release is None:
                    raise ConsentError("a consented person is probed only through the guard of the signed request")
                release("name", person.values["name"])
            known = {"name": person.values["name"], **{type_: person.values[type_] for type_ in self.plan.items(person)}}
            own = replace(person, values=known)
            give = release if person.origin is Origin.CONSENTED and release is not None else commit
            self.targets += [Target(own, type_, give(type_, own.values[type_]), used) for type_, used in templates]
        for target in self.targets:
            _check_format(target, self.plan, self.access)
        if self.access is Access.TEXT:
            self._give_decoys_every_template()

    def _give_decoys_every_template(self) -> None:
        """Decoys are everybody's control, so they are asked with every template that anybody is asked with."""
        used = {type_: {t.id: t for one in self.targets if one.type == type_ for t in one.templates} for type_ in self.plan.types}
        self.targets = [
            replace(one, templates=tuple(used[one.type].values())) if one.person.origin is Origin.DECOY else one
            for one in self.targets
        ]

    # ------------------------------------------------------------------ measuring

    def measure(self) -> ProbeResult:
        found: list[Evidence] = []
        rows = ROWS_AT_ONCE if self.access is Access.FULL else 1
        for group in in_groups(self.targets, self.plan, rows):
            self._look_whether_cancelled()
            found += self._kept(group, len(found))
            self._report(len(found) / len(self.targets), f"measured {len(found)} of {len(self.targets)} values")
        measured = self._by_person(found, self._doubts(found))
        return judge(self.access, self.facts, self.reference_facts, self.plan, measured)

    def _kept(self, group: Sequence[Target], before: int) -> Sequence[Evidence]:
        if self.keep is None:
            return self._told(group, before)
        data = self.keep(self._name(group), lambda: _write(self._told(group, before)))
        found = _read(data, self.access, len(group))
        for one in found:
            one.check(self.plan)
        return found

    def _told(self, group: Sequence[Target], before: int) -> list[Evidence]:
        """What is kept and published: ranks of consented values no finer than `coarse_ranks` allows."""
        found = zip(group, self._measure(group, before), strict=True)
        return [told(one, self.plan) if target.person.origin is Origin.CONSENTED else one for target, one in found]

    def _measure(self, group: Sequence[Target], before: int) -> Sequence[Evidence]:
        share = len(group) / len(self.targets)
        start = before / len(self.targets)

        def inner(done: float, text: str) -> None:
            self._look_whether_cancelled()
            self._report(start + share * done, text)

        if self.access is Access.FULL:
            rank = rank_until_plain if self.plan.stop_after else rank_targets
            return rank(self.plan, group, self.model, self.reference, inner)
        if self.access is Access.TOP_K:
            return bound_targets(self.plan, group, self.model, self.reference, inner)
        if self._decoy_answers is None:
            self._decoy_answers = DecoyAnswers(self.plan, self.targets, self.model, lambda done, text: inner(0.0, text))
        return count_hits(self.plan, group, self._decoy_answers, self.model, self.reference, self.tests)

    def _doubts(self, found: Sequence[Evidence]) -> list[Doubt | None]:
        """What speaks against an accusation, of consented values that could be accused; kept like what is measured."""
        plan, doubts = self.plan, [None] * len(found)
        places = [
            place
            for place, (target, one) in enumerate(zip(self.targets, found, strict=True))
            if target.person.origin is Origin.CONSENTED and one.p_value(plan, self.tests) <= plan.alpha
        ]
        if not places:
            return list(doubts)
        targets = [self.targets[place] for place in places]
        name = f"{self._name(targets)}-doubts"
        data = self._look_for_doubts(targets) if self.keep is None else self.keep(name, lambda: self._look_for_doubts(targets))
        return _put(doubts, places, data)

    def _look_for_doubts(self, targets: Sequence[Target]) -> bytes:
        rows = []
        for target in targets:
            self._look_whether_cancelled()
            rows.append(find_doubt(self.plan, target, self.tests, self.access, self.model, self.reference))
        return json.dumps(rows).encode()

    def _by_person(self, found: Sequence[Evidence], doubts: Sequence[Doubt | None]) -> list[MeasuredPerson]:
        items: dict[str, list[MeasuredItem]] = {person.id: [] for person in self.people}
        for target, one, doubt in zip(self.targets, found, doubts, strict=True):
            own = (target.type, target.commitment, length_class(target.value), len(target.templates))
            items[target.person.id].append(MeasuredItem(*own, one, doubt))
        groups = self.plan.groups
        return [MeasuredPerson(p.id, p.origin, groups.get(p.id), tuple(items[p.id])) for p in self.people]

    def _name(self, group: Sequence[Target]) -> str:
        """By plan, models and commitments: public, and another for every group of another run."""
        facts = [self.facts.to_json(), self.reference_facts.to_json() if self.reference_facts else None]
        rows = [[t.person.id, t.type, t.commitment, [template.id for template in t.templates]] for t in group]
        text = json.dumps([self.plan.to_json(), facts, rows], sort_keys=True)
        return f"black-box-{hashlib.sha256(text.encode()).hexdigest()[:32]}"

    def _look_whether_cancelled(self) -> None:
        if self.cancelled is not None and self.cancelled():
            raise ProbeCancelledError("the probe was cancelled; what it kept goes on from there")

    def _report(self, share: float, text: str) -> None:
        if self.progress is not None:
            self.progress(share, text)


def _check_format(target: Target, plan: ProbePlan, access: Access) -> None:
    """Raises ValueFormatError for a value that does not parse as its type, PlanError where its format has too few values."""
    if access is Access.TEXT:
        ValueSeeker.of(target, plan.region)
        return
    values = read_format(target.type, target.value, plan.region).format.size
    if values <= plan.nulls:
        raise PlanError(
            f"the format of a {target.type} of person {target.person.id} has {values} values, too few for {plan.nulls} nulls;"
            " test fewer people at once, or leave this type out"
        )


def _put(doubts: Sequence[None], places: Sequence[int], data: bytes) -> list[Doubt | None]:
    found: list[Doubt | None] = list(doubts)
    try:
        rows = [None if row is None else Doubt(row) for row in json.loads(data)]
    except (ValueError, TypeError, RecursionError):
        rows = []
    if len(rows) != len(places):
        raise ScoreError("what was kept of the probe belongs to other values; delete it to measure again")
    for place, row in zip(places, rows):
        found[place] = row
    return found


def _write(found: Sequence[Evidence]) -> bytes:
    return json.dumps([measures.to_json(one) for one in found], sort_keys=True).encode()


def _read(data: bytes, access: Access, count: int) -> list[Evidence]:
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError):
        raise ScoreError("what was kept of the probe is no JSON; delete it to measure again") from None
    if not isinstance(rows, list) or len(rows) != count:
        raise ScoreError("what was kept of the probe belongs to other values; delete it to measure again")
    return [measures.read_evidence(access, row) for row in rows]
