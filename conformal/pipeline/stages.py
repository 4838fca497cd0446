"""The stages of a run, item by item, each skipped where the journal has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from conformal.pipeline.backoff import BackOff
from conformal.pipeline.errors import ModelError, PipelineError, RunCancelledError
from conformal.pipeline.journal import Journal, Key
from conformal.pipeline.ledger import ScoredOutput
from conformal.pipeline.merging import merge_checked
from conformal.pipeline.model import Answer, Cancelled, Decoding, Progress, derive_seed
from conformal.pipeline.plan import Plan
from conformal.pipeline.questions import Question
from conformal.pipeline.scorers.scorer import Scorer, Task, checked
from conformal.pipeline.splitters.claim import Claim, check_claims
from conformal.pipeline.splitters.sentences import drop_unfinished

MAX_REASON_CHARS = 300
_FAILURES = (PipelineError, ArithmeticError, ValueError)


class Stages:
    """Works through a plan. `total` is the number of prompts."""

    def __init__(
        self, plan: Plan, journal: Journal, total: int, progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> None:
        self._plan, self._journal = plan, journal
        self._progress, self._cancelled = progress, cancelled
        self._samples = plan.samples if plan.needs_samples else 0
        self._total = total * (2 + self._samples + len(plan.scorers) + (plan.backoff is not None))
        self._done = 0

    def do_batch(self, questions: Sequence[Question]) -> None:
        """Every stage of these prompts. Raises ModelError when an answer fails, RunCancelledError."""
        self._ask("answer", "", questions, self._plan.decoding, replaceable=False)
        for number in range(self._samples):
            self._ask("sample", str(number), questions, self._plan.sampling, replaceable=True)
        for question in questions:
            self._once(("claims", question.id, ""), "split", lambda q=question: self._split(q))  # type: ignore[misc]
            for scorer in self._plan.scorers:
                self._once(("score", question.id, scorer.name), "scored", lambda q=question, s=scorer: self._score(q, s))  # type: ignore[misc]
        if self._plan.backoff is not None:
            self._back_off(self._plan.backoff, questions)

    def output(self, question: Question) -> ScoredOutput:
        """The finished output of a prompt."""
        found = self._journal["claims", question.id, ""]
        return ScoredOutput(
            id=question.id,
            prompt=question.prompt,
            output=self._journal["answer", question.id, ""]["text"],
            claims=self._claims(question),
            scores={scorer.name: self._scores(question, scorer.name) for scorer in self._plan.scorers},
            group=question.group,
            error=found.get("failed"),
        )

    def failures(self, questions: Sequence[Question]) -> dict[str, int]:
        """How many items failed, by what they were: missing samples, and outputs a scorer gave up on."""
        counts = {"samples": 0, **{f"score {scorer.name}": 0 for scorer in self._plan.scorers}}
        for question in questions:
            counts["samples"] += sum("failed" in self._journal["sample", question.id, str(k)] for k in range(self._samples))
            for scorer in self._plan.scorers:
                counts[f"score {scorer.name}"] += "failed" in self._journal["score", question.id, scorer.name]
        return {name: count for name, count in counts.items() if count}

    def merged(self, question: Question) -> dict[str, Any]:
        """The backed-off text of a prompt, as journalled."""
        found: dict[str, Any] = self._journal["merge", question.id, ""]
        return found

    # ------------------------------------------------------------------ asking the model

    def _ask(self, stage: str, part: str, questions: Sequence[Question], decoding: Decoding, replaceable: bool) -> None:
        """One answer a prompt. Where one is `replaceable`, a failing batch is asked again one by one, and what fails then is
        recorded as missing; otherwise the failure ends the run."""
        keys: list[Key] = [(stage, question.id, part) for question in questions]
        self._check_cancelled()
        if not all(key in self._journal for key in keys):
            seed = derive_seed(self._plan.seed, stage, part, questions[0].id)
            try:
                answers = self._answers(questions, replace(decoding, seed=seed))
                self._journal.put((key, _plain(answer)) for key, answer in zip(keys, answers, strict=True))
            except ModelError:
                if not replaceable:
                    raise
                self._ask_singly(keys, questions, decoding)
        self._tick(len(questions), f"{stage}s")

    def _ask_singly(self, keys: Sequence[Key], questions: Sequence[Question], decoding: Decoding) -> None:
        for key, question in zip(keys, questions, strict=True):
            self._check_cancelled()
            seed = derive_seed(self._plan.seed, *key)
            try:
                value = _plain(self._answers([question], replace(decoding, seed=seed))[0])
            except ModelError as error:
                value = _failed(error)
            self._journal.put([(key, value)])

    def _answers(self, questions: Sequence[Question], decoding: Decoding) -> list[Answer]:
        answers = self._plan.model.answer([question.prompt for question in questions], decoding)
        if len(answers) != len(questions):
            raise ModelError(f"the model gave {len(answers)} answers to {len(questions)} prompts")
        return answers

    # ------------------------------------------------------------------ claims, scores, texts

    def _split(self, question: Question) -> dict[str, Any]:
        found = self._journal["answer", question.id, ""]
        answer = drop_unfinished(found["text"]) if found["finish_reason"] == "length" else found["text"]
        claims = check_claims(self._plan.splitter.split(question.prompt, answer)) if answer else []
        return {"claims": [claim.to_json() for claim in claims]}

    def _score(self, question: Question, scorer: Scorer) -> dict[str, Any]:
        samples = [self._journal["sample", question.id, str(k)] for k in range(self._samples)]
        task = Task(
            id=question.id,
            prompt=question.prompt,
            output=self._journal["answer", question.id, ""]["text"],
            claims=self._claims(question),
            scores={name: self._scores(question, name) for name in self._before(scorer)},
            samples=tuple(None if "failed" in one else Answer(one["text"], one["finish_reason"]) for one in samples),
        )
        return {"scores": checked(scorer.score(task), task, scorer.name)} if task.claims else {"scores": []}

    def _before(self, scorer: Scorer) -> list[str]:
        names = [one.name for one in self._plan.scorers]
        return names[: names.index(scorer.name)]

    def _back_off(self, backoff: BackOff, questions: Sequence[Question]) -> None:
        left = [question for question in questions if ("merge", question.id, "") not in self._journal]
        outputs = [self.output(question) for question in left]
        for question, output, decision in zip(left, outputs, backoff.decide(outputs), strict=True):
            self._check_cancelled()
            texts = [output.claims[place].text for place in decision.kept]
            merged = merge_checked(self._plan.merger, self._plan.check, question.prompt, texts)
            value = {"kept": list(decision.kept), "reason": decision.reason, **merged.to_json()}
            self._journal.put([(("merge", question.id, ""), value)])
        self._tick(len(questions), "merged")

    def _claims(self, question: Question) -> tuple[Claim, ...]:
        return tuple(Claim.from_json(claim) for claim in self._journal["claims", question.id, ""].get("claims", ()))

    def _scores(self, question: Question, name: str) -> list[float | None]:
        found = self._journal["score", question.id, name].get("scores")
        return found if found is not None else [None] * len(self._claims(question))

    # ------------------------------------------------------------------ order of work

    def _once(self, key: Key, did: str, work: Callable[[], dict[str, Any]]) -> None:
        """Do an item unless it is done. Its failure is recorded: the output abstains, or its claims have no score."""
        self._check_cancelled()
        if key not in self._journal:
            try:
                value = work()
            except RunCancelledError:
                raise
            except _FAILURES as error:
                value = _failed(error)
            self._journal.put([(key, value)])
        self._tick(1, did)

    def _tick(self, count: int, did: str) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done / self._total, did)

    def _check_cancelled(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise RunCancelledError("the run was cancelled; run the same command again to continue")


def _plain(answer: Answer) -> dict[str, Any]:
    text = answer.text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates are no text
    return {"text": text, "finish_reason": str(answer.finish_reason)[:40]}


def _failed(error: Exception) -> dict[str, Any]:
    return {"failed": (str(error) or type(error).__name__)[:MAX_REASON_CHARS]}
