"""What an endpoint really offers, found by asking it. A test that fails, or whose answer says nothing, lowers the tier.

Sent: a known string as text and as token ids, ids split where the tokenizer would not split, a long prompt, the same prompts in
two orders (as a batch and side by side), a greedy answer scored again as a prompt, and a seeded sample twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from audit.runners.endpoint import Endpoint, RefusedError
from audit.runners.protocol import Capabilities, Generation, Prompt, RunnerError, Sampling, Tier
from audit.runners.wire import Dialect, PromptScores, choices, generation_body, read_generation, read_score, score_body

TOLERANCE_NATS = 0.1
"""Within which log-probabilities of the same token count as the same: servers compute in 16 bits and in changing batches."""
KNOWN_TEXT = "The object is created when the function is called, and it is not changed by the first statement of the class."
BOUNDARIES = (("inter", "national"), (" the", "re"), ("wh", "ich"), ("func", "tion"))
LONG_TOKENS = 256
MAX_MODELS = 10_000
_GREEDY = Sampling(max_new_tokens=8, temperature=0.0)
_SAMPLED = Sampling(max_new_tokens=24, temperature=1.0)
Json = dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """How to talk to a model of an endpoint, and what may be asked of it."""

    model: str
    dialect: Dialect
    capabilities: Capabilities


def probe(endpoint: Endpoint, model: str | None = None) -> Findings:
    """Find out by about twenty short requests. Raises RunnerError when the endpoint offers no such model or answers nothing."""
    name, listed = choose_model(endpoint, model)
    return _Probe(endpoint, name, listed).run()


def choose_model(endpoint: Endpoint, model: str | None) -> tuple[str, Json]:
    """The model to ask and its entry in /models: the one named, or the only one there is. Raises RunnerError."""
    try:
        data = endpoint.get("/models").get("data")
    except RefusedError:
        if model is None:
            raise RunnerError(f"{endpoint.target.name} lists no models; name one after #") from None
        return model, {}
    listed = data[:MAX_MODELS] if isinstance(data, list) else []
    entries = {entry["id"]: entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)}
    shown = ", ".join(sorted(entries)[:10])[:500] or "none"
    if model is None and len(entries) != 1:
        raise RunnerError(f"{endpoint.target.name} offers {len(entries)} models ({shown}); name one after #")
    chosen = model if model is not None else next(iter(entries))
    if chosen not in entries:
        raise RunnerError(f"{endpoint.target.name} does not offer {chosen[:100]!r}; it offers: {shown}")
    return chosen, entries[chosen]


class _Probe:
    """One run. `notes` becomes the public findings; `dialect` grows as features are found."""

    def __init__(self, endpoint: Endpoint, model: str, listed: Json) -> None:
        self.endpoint, self.model, self.listed = endpoint, model, listed
        self.dialect = Dialect()
        self.notes: list[str] = []
        self.known: tuple[int, ...] | None = None

    def run(self) -> Findings:
        self._find_interface()
        self._find_top_logprobs()
        self._find_extended()
        ids = prompts = scores = ordered = False
        if self.dialect.completions:
            ids = self._check("returns token ids", self._find_token_ids)
            self.known = self._ids_of_text(KNOWN_TEXT)
            prompts = self._check("honours prompts of token ids", self._honours_token_prompts)
            scores = prompts and self._check("gives log-probabilities of prompts", self._find_prompt_scores)
            ordered = scores and self._check("log-probabilities do not depend on the order of requests", self._is_ordered)
        deterministic = self._check("the same seed gives the same answer, another seed another", self._is_deterministic)
        return Findings(self.model, self.dialect, self._conclude(ids, prompts, scores, ordered, deterministic))

    def _conclude(self, ids: bool, prompts: bool, scores: bool, ordered: bool, deterministic: bool) -> Capabilities:
        tier = Tier.TOP_LOGPROBS if self.dialect.top_logprobs else Tier.CHAT
        if self.dialect.top_logprobs and ids and prompts and scores and ordered:
            tier = Tier.TOKENS
        context = next((v for k in ("max_model_len", "context_length") if type(v := self.listed.get(k)) is int and v > 0), None)
        return Capabilities(
            tier=tier,
            token_prompts=prompts,
            returns_token_ids=ids,
            top_logprobs=self.dialect.top_logprobs,
            prompt_logprobs=scores,
            deterministic=deterministic,
            order_independent=ordered,
            logits_processors=False,
            max_context=context,
            details=tuple(self.notes),
        )

    # ------------------------------------------------------------------ asking

    def _generate(self, prompt: Prompt, sampling: Sampling, seed: int = 0) -> Generation:
        return self._generate_raw(prompt, sampling, seed)[0]

    def _generate_raw(self, prompt: Prompt, sampling: Sampling, seed: int = 0) -> tuple[Generation, Json, Any]:
        path = "/completions" if self.dialect.completions else "/chat/completions"
        answer = self.endpoint.post(path, generation_body(self.model, prompt, sampling, seed, self.dialect))
        choice = choices(answer)[0]
        return read_generation(choice, sampling, self.dialect), choice, answer.get("usage")

    def _scores(self, rows: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Scores of prompts asked side by side, one a request."""
        calls = [("POST", "/completions", score_body(self.model, list(row), self.dialect)) for row in rows]
        answers = self.endpoint.ask_all(calls)
        return [read_score(choices(a)[0], a.get("usage"), row, self.dialect) for a, row in zip(answers, rows, strict=True)]

    def _check(self, what: str, test: Callable[[], bool]) -> bool:
        """A finding. An error is a no; a refusal too."""
        try:
            passed = test()
            self.notes.append(f"{'yes' if passed else 'no'}: {what}")
        except RunnerError as error:
            passed = False
            self.notes.append(f"no: {what} ({str(error)[:160]})")
        return passed

    # ------------------------------------------------------------------ tests

    def _find_interface(self) -> None:
        """Completions if there are any, otherwise chat; with the wider set of sampling parameters if it is taken."""
        refused: RunnerError | None = None
        for completions in (True, False):
            for extended in (True, False):
                self.dialect = Dialect(completions=completions, extended=extended)
                try:
                    self._generate(Prompt(text=KNOWN_TEXT), replace(_GREEDY, max_new_tokens=1))
                except RefusedError as error:
                    refused = error
                    continue
                self.notes.append(f"yes: answers {'/completions' if completions else '/chat/completions'}")
                return
        raise RunnerError(f"the endpoint answers neither /completions nor /chat/completions: {refused}")

    def _find_top_logprobs(self) -> None:
        for count in (20, 5, 1):
            dialect, self.dialect = self.dialect, replace(self.dialect, top_logprobs=count)
            try:
                answer = self._generate(Prompt(text=KNOWN_TEXT), replace(_GREEDY, max_new_tokens=2, top_logprobs=count))
                given = min((len(entry) for entry in answer.top_logprobs or ()), default=0)
            except RunnerError:
                given = 0
            self.dialect = replace(dialect, top_logprobs=min(given, count))
            if given:
                break
        self.notes.append(f"{'yes' if self.dialect.top_logprobs else 'no'}: {self.dialect.top_logprobs} top log-probabilities")

    def _find_extended(self) -> None:
        """top_k 1 at a high temperature is greedy where the parameter is honoured."""

        def honoured() -> bool:
            hot = replace(_GREEDY, temperature=2.0, top_k=1)
            return self._generate(Prompt(text=KNOWN_TEXT), hot, 5).text == self._generate(Prompt(text=KNOWN_TEXT), _GREEDY).text

        if not (self.dialect.extended and self._check("honours top_k", honoured)):
            self.dialect = replace(self.dialect, extended=False)
            self.notes.append("no: sampling parameters beyond OpenAI's; those of the server's own apply")

    def _find_token_ids(self) -> bool:
        """By a list of ids, or by ids in place of tokens (then top log-probabilities have ids too), or by both."""
        for name in ("returns_ids", "ids_as_tokens"):
            before = self.dialect
            self.dialect = replace(before, returns_ids=True) if name == "returns_ids" else replace(before, ids_as_tokens=True)
            try:
                answer, choice, _ = self._generate_raw(
                    Prompt(text=KNOWN_TEXT), replace(_GREEDY, top_logprobs=before.top_logprobs)
                )
                keys = {key for entry in answer.top_logprobs or () for key in entry}
                listed = isinstance(choice.get("prompt_token_ids"), list)
                found = listed if name == "returns_ids" else all(type(key) is int for key in keys)
            except RunnerError:
                found = False
            if not (found and answer.token_ids):
                self.dialect = before
        return self.dialect.returns_ids or self.dialect.ids_as_tokens

    def _ids_of_text(self, text: str) -> tuple[int, ...] | None:
        """How the endpoint tokenizes a prompt, as far as it tells."""
        try:
            if self.dialect.returns_ids:
                _, choice, _ = self._generate_raw(Prompt(text=text), replace(_GREEDY, max_new_tokens=1))
                found = choice.get("prompt_token_ids")
            else:
                body = {"model": self.model, "prompt": text, "add_special_tokens": True}
                found = self.endpoint.post("//tokenize", body).get("tokens")
        except RunnerError:
            return None
        return tuple(found) if isinstance(found, list) and found and all(type(token) is int for token in found) else None

    def _honours_token_prompts(self) -> bool:
        """Ids mean what the text means, are not tokenized anew, and are not cut."""
        if self.known is None:
            return False
        by_text = self._generate(Prompt(text=KNOWN_TEXT), _GREEDY)
        by_ids, choice, usage = self._generate_raw(Prompt(token_ids=self.known), _GREEDY)
        if not (
            self._saw(choice, usage, self.known) and by_ids.text == by_text.text and _close(by_ids.logprobs, by_text.logprobs)
        ):
            return False
        for ids in (self._odd_split(), self._long(self.known)):
            if ids is None:
                return False
            _, choice, usage = self._generate_raw(Prompt(token_ids=ids), replace(_GREEDY, max_new_tokens=1))
            if not self._saw(choice, usage, ids):
                return False
        return True

    def _saw(self, choice: Json, usage: Any, ids: Sequence[int]) -> bool:
        """Whether the endpoint says that it read just these ids."""
        counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        return counted == len(ids) and (not self.dialect.returns_ids or choice.get("prompt_token_ids") == list(ids))

    @staticmethod
    def _long(ids: tuple[int, ...]) -> tuple[int, ...]:
        return (ids * (LONG_TOKENS // len(ids) + 1))[:LONG_TOKENS]

    def _odd_split(self) -> tuple[int, ...] | None:
        """Ids that no tokenizer gives for the text they stand for."""
        for first, second in BOUNDARIES:
            head, tail, whole = (self._ids_of_text(text) for text in (first, second, first + second))
            if head is not None and tail is not None and whole is not None and head + tail != whole:
                return head + tail
        return None

    def _find_prompt_scores(self) -> bool:
        """A greedy answer, scored as part of a prompt, has the log-probabilities it was given with."""
        if self.known is None:
            return False
        written = self._generate(Prompt(token_ids=self.known), _GREEDY)
        if not written.token_ids or not written.logprobs:
            return False
        before = self.dialect
        ways: tuple[PromptScores, ...] = ("echo", "prompt_logprobs")
        for way in ways:
            self.dialect = replace(before, prompt_scores=way)
            try:
                scores = self._scores([self.known + written.token_ids])[0]
                self._scores([self._long(self.known)])  # raises when it was cut
                if _close(scores[-len(written.token_ids) :], written.logprobs):
                    return True
            except RunnerError:
                pass
        self.dialect = before
        return False

    def _is_ordered(self) -> bool:
        known = self.known or ()
        rows = [known, tuple(reversed(known)), known[: len(known) // 2]]
        alone = [self._scores([row])[0] for row in rows]
        side_by_side = self._scores(rows[::-1])[::-1]
        same = [side_by_side]
        for order in ((0, 1, 2), (2, 1, 0)):
            found = self._batch([rows[i] for i in order])
            if found is not None:
                same.append([found[order.index(i)] for i in range(3)])
        return all(_close(a, b) for found in same for a, b in zip(alone, found, strict=True))

    def _batch(self, rows: Sequence[Sequence[int]]) -> list[tuple[float, ...]] | None:
        """Scores of prompts in one request, by the index of their choice; None where batches are refused."""
        dialect = self.dialect
        try:
            answer = self.endpoint.post("/completions", score_body(self.model, [list(row) for row in rows], dialect))
        except RefusedError:
            return None
        return [read_score(choice, None, row, dialect) for choice, row in zip(choices(answer, len(rows)), rows, strict=True)]

    def _is_deterministic(self) -> bool:
        first, again, *others = [self._generate(Prompt(text=KNOWN_TEXT), _SAMPLED, seed) for seed in (11, 11, 12, 13)]
        return first.text == again.text and any(other.text != first.text for other in others)


def _close(a: Sequence[float] | None, b: Sequence[float] | None) -> bool:
    """Whether log-probabilities agree; where none are given there is nothing to disagree."""
    if a is None or b is None:
        return a is b
    return len(a) == len(b) and all(math.isclose(x, y, rel_tol=0.0, abs_tol=TOLERANCE_NATS) for x, y in zip(a, b, strict=True))
