"""Verbatim extraction by prefix: does the model continue the beginning of a record with the record itself, word for word?

After Carlini et al. (arXiv 2202.07646; google-research/lm-extraction-benchmark): a prefix of 50 tokens, a suffix of 50. Beside
greedy answers, exact (n, p)-discoverability under the declared decoding (Hayes et al., arXiv 2410.19482), which one greedy answer
cannot show, guesses ordered by confidence, and extraction strength, which is 0 where nothing follows. Every rate stands beside
that of controls, records that the model was not trained on: predictable text is extracted from any model.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from privacy.errors import ModelAccessError, PlanError, ProbeCancelledError, ScoreError
from privacy.membership.blind import Control, blind_control
from privacy.membership.records import Record, Role, check_records
from privacy.probes.decoded_likelihood import (
    check_decoding,
    is_likeliest,
    is_plain,
    next_lists,
    step_log_probability,
)
from privacy.probes.extraction_plan import ASKED, ExtractionPlan
from privacy.probes.extraction_results import ExtractionResult, MeasuredRecord, judge, needs_control, read_record
from privacy.probes.membership_results import blind_name
from privacy.probes.model import Access, Cancelled, Decoding, ProbedModel, Progress
from privacy.probes.plan import MAX_EXPONENT
from privacy.probes.scoring import TOKEN_FLOOR, sum_logs
from privacy.statistics.reveal import samples_to_extract

BATCH = 32
COMMITTED_TYPE = "record"
Commit = Callable[[str, str], str]
Keep = Callable[[str, Callable[[], bytes]], bytes]
Tokens = tuple[int, ...]


def run_extraction(
    plan: ExtractionPlan, records: Sequence[Record], model: ProbedModel, reference: ProbedModel | None = None, *,
    commit: Commit, keep: Keep | None = None, progress: Progress | None = None, cancelled: Cancelled | None = None,
) -> ExtractionResult:  # fmt: skip
    """Extract every record: MEMBER or CANDIDATE (asked for), and NON_MEMBER (controls). Those too short, or
    that begin like another, are left out and counted.

    `commit("record", id)` names a record in public. `keep` remembers the public rows when all are measured. Raises PlanError and
    ModelAccessError before the model writes anything (too few controls, no log-probabilities, a decoding whose likelihoods cannot
    be exact); ScoreError for NaN and duplicates; ProbeCancelledError.
    """
    counts = check_records(records)
    if counts[Role.DECOY] or counts[Role.POPULATION]:
        raise PlanError("extraction takes members, candidates and non-members; controls are non-members")
    for one in (model, reference):
        if one is not None and not one.facts().access.covers(Access.FULL):
            raise ModelAccessError(f"extraction needs the log-probability of every token; {one.facts().name} does not give it")
        if one is not None:
            check_decoding(plan.decoding, one.facts())
    pieces, too_short = _cut(plan, records, model, reference)
    asked = sum(piece.role in ASKED for piece in pieces)
    plan.check_counts(asked, len(pieces) - asked)

    def make() -> bytes:
        found = _Run(plan, model, reference, progress, cancelled).measure(pieces)
        return json.dumps([row.to_json() for row in _rank(pieces, found, commit)]).encode()

    kept = make() if keep is None else keep("extraction", make)
    try:
        rows = [read_record(row, place) for place, row in enumerate(json.loads(kept))]
    except (ValueError, TypeError):
        raise ScoreError("what was kept of the extraction audit is not what it keeps; delete it to measure again") from None
    facts = None if reference is None else reference.facts()
    control = _compare_texts(plan, records, pieces) if needs_control(plan, reference is not None) else None
    return judge(plan, model.facts(), facts, rows, too_short, len(records) - len(pieces) - too_short, control)


def _compare_texts(plan: ExtractionPlan, records: Sequence[Record], pieces: Sequence[_Piece]) -> Control:
    kept = {piece.id for piece in pieces}
    groups = [[one.text for one in records if one.id in kept and (one.role in ASKED) is side] for side in (True, False)]
    return blind_control(groups[0], groups[1], blind_name(Role.MEMBER), plan.seed)


@dataclass(frozen=True)
class _Piece:
    """A record's beginning and what follows it, in tokens of the whole text."""

    id: str
    role: Role
    prefix: Tokens = field(repr=False)
    suffix: Tokens = field(repr=False)


@dataclass(frozen=True)
class _Step:
    """One token of a suffix: whether greedy decoding writes it, and ln of its probability under the plan's decoding."""

    likeliest: bool
    log_p: float


@dataclass
class _Found:
    """What is known of one record while the audit runs. `confidence`: ln of the likelihood of the surest answer."""

    matched: int
    hits: int
    exponent: int | None
    rest_from: int | None
    guess_right: bool
    confidence: float
    by_reference: bool | None


def _cut(
    plan: ExtractionPlan, records: Sequence[Record], model: ProbedModel, reference: ProbedModel | None
) -> tuple[list[_Piece], int]:
    """Records with enough tokens, the first of those that begin alike. Both depend on the tokenizer, not the model.

    A control that begins like a record that is asked for is no control: ScoreError.
    """
    size = plan.prefix_tokens + plan.suffix_tokens
    found: list[_Piece] = []
    seen: dict[Tokens, tuple[int, bool]] = {}
    too_short = 0
    for place, record in enumerate(records):
        tokens = tuple(model.tokenize(record.text))[:size]
        if reference is not None and tuple(reference.tokenize(record.text))[:size] != tokens:
            raise ModelAccessError("the reference model has another tokenizer than the model; take one with the same")
        if len(tokens) < size:
            too_short += 1
            continue
        first, is_asked = seen.setdefault(tokens, (place, record.role in ASKED))
        if is_asked is not (record.role in ASKED):
            raise ScoreError(f"records {first} and {place} begin with the same {size} tokens, but one of them is a control")
        if first != place:
            continue
        found.append(_Piece(record.id, record.role, tokens[: plan.prefix_tokens], tokens[plan.prefix_tokens :]))
    return found, too_short


def _rank(pieces: Sequence[_Piece], found: Sequence[_Found], commit: Commit) -> Iterator[MeasuredRecord]:
    """Confidences leave as ranks: of those of equal confidence, all have the best rank of any."""
    order = sorted((one.confidence for one in found), reverse=True)
    places: dict[float, int] = {}
    for rank, value in enumerate(order, 1):
        places.setdefault(value, rank)
    for piece, one in zip(pieces, found, strict=True):
        yield MeasuredRecord(
            commit(COMMITTED_TYPE, piece.id), piece.role, one.matched, one.hits, one.exponent, one.rest_from,
            one.guess_right, places[one.confidence], one.by_reference,
        )  # fmt: skip


class _Run:
    def __init__(
        self, plan: ExtractionPlan, model: ProbedModel, reference: ProbedModel | None,
        progress: Progress | None, cancelled: Cancelled | None,
    ) -> None:  # fmt: skip
        self.plan, self.model, self.reference = plan, model, reference
        self.progress, self.cancelled = progress, cancelled

    def measure(self, pieces: Sequence[_Piece]) -> list[_Found]:
        found: list[_Found] = []
        for first in range(0, len(pieces), BATCH):
            if self.cancelled is not None and self.cancelled():
                raise ProbeCancelledError("the extraction audit was cancelled")
            found += self._batch(pieces[first : first + BATCH], first)
            if self.progress is not None:
                self.progress(len(found) / len(pieces), f"continued {len(found)} of {len(pieces)} records")
        return found

    def _batch(self, part: Sequence[_Piece], first: int) -> list[_Found]:
        answers = [self._greedy(self.model, part), *self._samples(part, first)]
        scores = self._score(part, answers)
        plain = is_plain(self.plan.decoding)
        steps = self._steps(self.model, part) if self.plan.strength or not plain else [[] for _ in part]
        theirs = None if self.reference is None else self._by_reference(self.reference, part)
        found = []
        for i, piece in enumerate(part):
            own = [one[i] for one in answers]
            log_q = scores[i][piece.suffix] if plain else _sum(steps[i])
            confidence, wrong = max((scores[i].get(answer, -math.inf), answer != piece.suffix) for answer in own)
            found.append(
                _Found(
                    _leading(own[0], piece.suffix), sum(answer == piece.suffix for answer in own[1:]), self._exponent(log_q),
                    _rest_from(steps[i]) if self.plan.strength else None, not wrong, confidence,
                    None if theirs is None else theirs[i],
                )
            )  # fmt: skip
        return found

    # ------------------------------------------------------------------ answers

    def _greedy(self, model: ProbedModel, part: Sequence[_Piece]) -> list[Tokens]:
        return self._write(model, part, Decoding(self.plan.suffix_tokens, 0.0))

    def _samples(self, part: Sequence[_Piece], first: int) -> Iterator[list[Tokens]]:
        plan = self.plan
        for number in range(plan.samples):
            seed = random.Random(f"extraction/{plan.seed}/{first}/{number}").getrandbits(31)
            yield self._write(self.model, part, Decoding(plan.suffix_tokens, plan.temperature, plan.top_p, plan.top_k, seed))

    def _write(self, model: ProbedModel, part: Sequence[_Piece], decoding: Decoding) -> list[Tokens]:
        answers = model.write_tokens([piece.prefix for piece in part], decoding)
        if len(answers) != len(part):
            raise ModelAccessError("the model gave another number of answers than it had prompts")
        return [tuple(answer)[: self.plan.suffix_tokens] for answer in answers]

    def _score(self, part: Sequence[_Piece], answers: Sequence[Sequence[Tokens]]) -> list[dict[Tokens, float]]:
        """For every record, ln of the likelihood of its suffix and of every answer that is not empty."""
        texts = [list(dict.fromkeys([piece.suffix, *(one[i] for one in answers if one[i])])) for i, piece in enumerate(part)]
        found = self.model.score_candidates([piece.prefix for piece in part], texts)
        fits = len(found) == len(part) and all(
            [len(row) for row in rows] == [len(t) for t in own] for rows, own in zip(found, texts)
        )
        if not fits:
            raise ModelAccessError("the model gave other log-probabilities than those of the texts' tokens")
        return [dict(zip(own, map(sum_logs, rows))) for own, rows in zip(texts, found)]

    # ------------------------------------------------------------------ likelihoods

    def _steps(self, model: ProbedModel, part: Sequence[_Piece]) -> list[list[_Step]]:
        """Every token of every suffix after those before it. Whole distributions are large: one at a time."""
        decoding, size = self.plan.decoding, model.facts().vocab_size
        prompts = [(*piece.prefix, *piece.suffix[:at]) for piece in part for at in range(len(piece.suffix))]
        lists = next_lists(model, prompts)

        def step(token: int) -> _Step:
            listed = next(lists)
            log_p = 0.0 if is_plain(decoding) else step_log_probability(listed, token, decoding, size)
            return _Step(is_likeliest(listed, token), log_p)

        return [[step(token) for token in piece.suffix] for piece in part]

    def _exponent(self, log_q: float) -> int | None:
        """The least e such that 10^e samples show the suffix with the plan's probability."""
        q = math.exp(log_q) if log_q > TOKEN_FLOOR else 0.0
        needed = samples_to_extract(q, self.plan.probability)
        return next((e for e in range(MAX_EXPONENT + 1) if needed <= 10**e), None)

    def _by_reference(self, reference: ProbedModel, part: Sequence[_Piece]) -> list[bool]:
        """Whether the reference model extracts each record, by the plan's criterion."""
        plan = self.plan
        if plan.criterion == "greedy":
            return [answer == piece.suffix for answer, piece in zip(self._greedy(reference, part), part, strict=True)]
        if is_plain(plan.decoding):
            rows = reference.score_candidates([piece.prefix for piece in part], [[piece.suffix] for piece in part])
            logs = [sum_logs(row[0]) for row in rows]
        else:
            logs = [_sum(own) for own in self._steps(reference, part)]
        exponents = [self._exponent(one) for one in logs]
        return [one is not None and one <= plan.samples_exponent for one in exponents]


def _sum(steps: Sequence[_Step]) -> float:
    return math.fsum(step.log_p for step in steps)


def _rest_from(steps: Sequence[_Step]) -> int:
    """The fewest leading tokens after which every further one is the likeliest: greedy decoding then writes the rest."""
    return next((len(steps) - i for i, step in enumerate(reversed(steps)) if not step.likeliest), 0)


def _leading(answer: Tokens, suffix: Tokens) -> int:
    return next((i for i, token in enumerate(suffix) if i >= len(answer) or answer[i] != token), len(suffix))
