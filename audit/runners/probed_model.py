"""A runner as privacy probes see it (`privacy.probes.model.ProbedModel`). What it asks is personal: nothing is kept or quoted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from audit.runners.back_end_probe import check_listed_tokens, check_scores, check_tokenizer
from audit.runners.masked_errors import asked
from audit.runners.protocol import (
    Cancelled,
    Capabilities,
    CapabilityError,
    Generation,
    Prompt,
    Runner,
    Sampling,
    Tier,
)
from audit.runners.sampling_rules import row_seed
from privacy.errors import ModelAccessError, ProbeCancelledError
from privacy.probes.model import Access, Decoding, ModelFacts, Progress

MOST_LISTED = 20
"""Next tokens that are asked for at the top-k tier."""
ROWS_AT_ONCE = 4096
TOKENS_AT_ONCE = 1 << 20
ANSWERS_AT_ONCE = 4096
PREFIXES_AT_ONCE = 64
SEEDS_TRIED = 8

Row = Sequence[int]


class RunnerModel:
    """Leaves the runner open. The back end is probed before anything is scored (`audit.runners.back_end_probe`).

    An endpoint must be opened with `exchanges=ExchangeLog.none()`; one that keeps what it is asked is refused. Raises
    ModelAccessError, here and in every method, where the model does not offer what is asked or answers something malformed; no
    message holds text that a server or a library wrote. `top_k` is how many next tokens are asked for at the top-k tier.
    """

    def __init__(self, runner: Runner, cancelled: Cancelled | None = None, top_k: int = MOST_LISTED) -> None:
        self._runner, self._cancelled, self._top_k = runner, cancelled, top_k
        log = getattr(runner, "exchanges", None)
        if log is not None and log.keeps:
            raise ModelAccessError(
                "this endpoint's exchanges are kept, and would hold personal values; open it with exchanges=ExchangeLog.none()"
            )
        self._facts: ModelFacts | None = None
        self._may_score = self._may_list = False

    @property
    def runner(self) -> Runner:
        """What it stands for, for probes that need weights."""
        return self._runner

    def facts(self) -> ModelFacts:
        if self._facts is None:
            found, attested = asked(self._runner.capabilities), asked(self._runner.attestation)
            access = asked(lambda: self._access(found))
            self._facts = ModelFacts(
                name=attested.model,
                digest=attested.model_digest,
                access=access,
                top_k=min(found.top_logprobs, self._top_k) if access.covers(Access.TOP_K) else 0,
                deterministic=found.deterministic,
                vocab_size=found.vocab_size,
            )
        return self._facts

    def _access(self, found: Capabilities) -> Access:
        """By what was found, not by what is claimed. Above text, the model's own tokens must be at hand."""
        if found.tier >= Tier.IN_PROCESS:
            return Access.WEIGHTS
        if not found.token_prompts or not self._tokenizes():
            return Access.TEXT
        if found.tier >= Tier.TOKENS and found.prompt_logprobs:
            return Access.FULL
        return Access.TOP_K if found.top_logprobs and self._lists_ids(found) else Access.TEXT

    def _tokenizes(self) -> bool:
        try:
            return bool(self._runner.tokenize("a known text"))
        except CapabilityError:
            return False

    def _lists_ids(self, found: Capabilities) -> bool:
        """Whether the likeliest tokens are told by their ids; by their text alone they cannot be told apart."""
        listed = self._first_tokens([self._runner.tokenize("a known text")], min(found.top_logprobs, self._top_k))[0]
        return bool(listed) and all(type(token) is int for token in listed)

    # ------------------------------------------------------------------ text and tokens

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(asked(lambda: self._runner.tokenize(text)))

    def tokenize_all(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Several texts: side by side where the runner can, which is many times quicker over HTTP."""
        engine: Callable[..., Any] | None = getattr(self._runner, "tokenize_all", None)
        if engine is None:
            return [self.tokenize(text) for text in texts]
        found: list[tuple[int, ...]] = asked(lambda: engine(texts, self._cancelled))
        return found

    def detokenize(self, token_ids: Row) -> str:
        return asked(lambda: self._runner.detokenize(token_ids))

    # ------------------------------------------------------------------ scores

    def score(self, sequences: Sequence[Row]) -> list[tuple[float, ...]]:
        self._open_scores()
        return self._score_rows(sequences, None)

    def score_candidates(
        self, prompts: Sequence[Row], candidates: Sequence[Sequence[Row]], progress: Progress | None = None
    ) -> list[list[tuple[float, ...]]]:
        self._open_scores()
        return self._score_candidates(prompts, candidates, progress)

    def _score_candidates(
        self, prompts: Sequence[Row], candidates: Sequence[Sequence[Row]], progress: Progress | None = None
    ) -> list[list[tuple[float, ...]]]:
        """By the runner's own engine, which shares prefixes; otherwise each candidate as a text of its own."""
        if len(prompts) != len(candidates) or not all(prompts) or not all(map(all, candidates)):
            raise ModelAccessError("every prompt and candidate has tokens, and every prompt its candidates")
        engine: Callable[..., Any] | None = getattr(self._runner, "score_candidates", None)
        if engine is not None:
            own: list[list[tuple[float, ...]]] = asked(lambda: engine(prompts, candidates, progress, self._cancelled))
            return own
        rows = [[*prompt, *tail] for prompt, tails in zip(prompts, candidates) for tail in tails]
        scores = iter(self._score_rows(rows, progress))
        found = []
        for prompt, tails in zip(prompts, candidates):
            found.append([tuple(next(scores)[len(prompt) - 1 :]) for _ in tails])
        return found

    def _score_rows(self, rows: Sequence[Row], progress: Progress | None) -> list[tuple[float, ...]]:
        found: list[tuple[float, ...]] = []
        for part in _parts(rows):
            scores = asked(partial(self._runner.score, part, cancelled=self._cancelled))
            if len(scores) != len(part) or any(len(own) != len(row) - 1 for own, row in zip(scores, part)):
                raise ModelAccessError("the model gave another number of log-probabilities than the texts have tokens")
            found += scores
            if progress is not None:
                progress(len(found) / len(rows), f"scored {len(found)} of {len(rows)} texts")
        return found

    def token_moments(self, sequences: Sequence[Row]) -> list[tuple[tuple[float, float], ...]]:
        """Needs WEIGHTS: the whole distribution at every place."""
        self._needs(Access.WEIGHTS, "whole next-token distributions")
        self._open_scores()
        engine: Callable[..., Any] | None = getattr(self._runner, "token_moments", None)
        if engine is not None:
            own: list[tuple[tuple[float, float], ...]] = asked(lambda: engine(sequences, self._cancelled))
            return own
        found = []
        for row in sequences:
            moments: list[tuple[float, float]] = []
            for first in range(1, len(row), PREFIXES_AT_ONCE):
                ends = range(first, min(first + PREFIXES_AT_ONCE, len(row)))
                moments += _moments(asked(partial(self._runner.next_token_logprobs, [row[:end] for end in ends])))
                self._look_whether_cancelled()
            found.append(tuple(moments))
        return found

    def next_laws(self, prompts: Sequence[Row]) -> list[Any]:
        """Needs WEIGHTS: for every prompt, the log-probability of every token, as a numpy array."""
        self._needs(Access.WEIGHTS, "whole next-token distributions")
        self._open_scores()
        found: list[Any] = []
        for first in range(0, len(prompts), PREFIXES_AT_ONCE):
            part = prompts[first : first + PREFIXES_AT_ONCE]
            found += list(asked(partial(self._runner.next_token_logprobs, part)))
            self._look_whether_cancelled()
        return found

    def network(self) -> Any:
        """The torch module, to be copied and left as it is (`privacy.probes.relearning`)."""
        return self._in_process("network")()

    def with_network(self, network: Any) -> RunnerModel:
        """The same model over another network of the same shape."""
        return RunnerModel(self._in_process("with_network")(network), self._cancelled, self._top_k)

    def _in_process(self, method: str) -> Callable[..., Any]:
        found: Callable[..., Any] | None = getattr(self._runner, method, None)
        if found is None:
            raise ModelAccessError("weights can be copied of models in process only; this one is not")
        return found

    def next_tokens(self, prompts: Sequence[Row]) -> list[Mapping[int, float]]:
        self._needs(Access.TOP_K, "the likeliest next tokens by id")
        if not self._may_list:
            check_tokenizer(self)
            check_listed_tokens(self._next_tokens, self.tokenize)
            self._may_list = True
        return self._next_tokens(prompts)

    def _next_tokens(self, prompts: Sequence[Row]) -> list[Mapping[int, float]]:
        found = asked(lambda: self._first_tokens(prompts, self.facts().top_k))
        if any(not listed or not all(type(token) is int for token in listed) for listed in found):
            raise ModelAccessError("the model listed no next tokens by id; such a model is probed at the text tier")
        return found

    def _first_tokens(self, prompts: Sequence[Row], count: int) -> list[Mapping[Any, float]]:
        """What is listed at the first new position. A greedy answer that ends at once lists nothing: another one is drawn."""
        found: list[Mapping[Any, float]] = [{} for _ in prompts]
        left = list(range(len(prompts)))
        for seed in range(SEEDS_TRIED):
            if not left:
                break
            sampling = Sampling(max_new_tokens=1, temperature=float(seed > 0), seed=seed, top_logprobs=count)
            answers = self._runner.generate([Prompt(token_ids=tuple(prompts[i])) for i in left], sampling, None, self._cancelled)
            for i, answer in zip(left, answers, strict=True):
                found[i] = answer.top_logprobs[0] if answer.top_logprobs else {}
            left = [i for i in left if not found[i]]
        return found

    # ------------------------------------------------------------------ answers

    def write(self, prompts: Sequence[str], samples: int, decoding: Decoding) -> list[list[str]]:
        answers = self._generate([Prompt(text=text) for text in prompts for _ in range(samples)], decoding)
        texts = iter([answer.text for answer in answers])
        return [[next(texts) for _ in range(samples)] for _ in prompts]

    def write_tokens(self, prompts: Sequence[Row], decoding: Decoding) -> list[tuple[int, ...]]:
        self._needs(Access.FULL, "answers as token ids")
        return self._write_tokens(prompts, decoding)

    def _write_tokens(self, prompts: Sequence[Row], decoding: Decoding) -> list[tuple[int, ...]]:
        answers = self._generate([Prompt(token_ids=tuple(row)) for row in prompts], decoding)
        if any(answer.token_ids is None for answer in answers):
            raise ModelAccessError("the model gives its answers without token ids")
        return [answer.token_ids or () for answer in answers]

    def _generate(self, prompts: Sequence[Prompt], decoding: Decoding) -> list[Generation]:
        """Every part of the prompts has a seed of its own, since a runner counts rows from 0 in every call."""
        found: list[Generation] = []
        for first in range(0, len(prompts), ANSWERS_AT_ONCE):
            part = prompts[first : first + ANSWERS_AT_ONCE]
            sampling = Sampling(
                max_new_tokens=decoding.max_new_tokens,
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                top_k=decoding.top_k,
                seed=row_seed(decoding.seed, first) if first else decoding.seed,
            )
            answers = asked(partial(self._runner.generate, part, sampling, None, self._cancelled))
            if len(answers) != len(part):
                raise ModelAccessError("the model gave another number of answers than it had prompts")
            found += answers
        return found

    # ------------------------------------------------------------------ before anything is scored

    def _look_whether_cancelled(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise ProbeCancelledError("the probe was cancelled while the model was asked")

    def _needs(self, needed: Access, what: str) -> None:
        offered = self.facts().access
        if not offered.covers(needed):
            raise ModelAccessError(f"{what}: the tier {needed.value} is needed, the model offers {offered.value}")

    def _open_scores(self) -> None:
        """Raises ModelAccessError with what the probe of the back end found."""
        self._needs(Access.FULL, "log-probabilities of texts")
        if not self._may_score:
            check_tokenizer(self)
            check_scores(self._score_candidates, self._write_tokens, self.tokenize)
            self._may_score = True


def _moments(logs: Any) -> list[tuple[float, float]]:
    """Mean and standard deviation of the log-probability under each row's own distribution (rows x vocabulary, nats)."""
    import numpy as np

    weights = np.exp(logs)
    finite = np.where(weights > 0, logs, 0.0)
    means = (weights * finite).sum(axis=1)
    spread = np.sqrt((weights * (finite - means[:, None]) ** 2).sum(axis=1))
    return [(float(mean), float(deviation)) for mean, deviation in zip(means, spread)]


def _parts(rows: Sequence[Row]) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        if part and (len(part) == ROWS_AT_ONCE or size + len(row) > TOKENS_AT_ONCE):
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row)
    if part:
        yield part
