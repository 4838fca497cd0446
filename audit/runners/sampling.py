"""One step of sampling for a batch: filters, mark, draw, and when a row is done. Needs torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from audit.runners.protocol import Generation, RunnerError, Sampling
from watermark.errors import NotFiniteError

Detokenize = Callable[[Sequence[int]], str]
_SPARE_TOKENS = 8  # looked at besides a stop text's own bytes, for special tokens that print nothing


class Sampler:
    """The state of one batch. Row i draws from its own generator, seeded with `seeds[i]`, and keeps its place to the end.

    Order: end tokens ruled out below min_new_tokens, temperature, top-k, top-p, then the mark, then the draw. Recorded
    log-probabilities are those of the model before all of these.
    """

    def __init__(
        self, sampling: Sampling, seeds: Sequence[int], prompt_length: int, ends: frozenset[int], detokenize: Detokenize
    ) -> None:
        self.sampling, self.ends, self.detokenize = sampling, ends, detokenize
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._mark = sampling.mark.logits_processor(prompt_length, list(seeds)) if sampling.mark is not None else None
        self._window = max((len(stop.encode()) for stop in sampling.stop), default=0) + _SPARE_TOKENS
        self._done = ["" for _ in seeds]
        self._stops: dict[int, int] = {}  # row -> where in its text the stop text begins
        self._tokens: list[list[int]] = [[] for _ in seeds]
        self._logprobs: list[list[float]] = [[] for _ in seeds]
        self._top: list[list[dict[int, float]]] = [[] for _ in seeds]
        self._step = 0

    def next_tokens(self, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """The next token of every row (batch x 1) from ids so far (batch x length) and float32 logits (batch x vocabulary).

        Raises RunnerError when the model or the mark leaves nothing to draw from.
        """
        scores = logits
        if self._step < self.sampling.min_new_tokens and self.ends:
            scores = logits.clone()
            scores[:, sorted(self.ends)] = -torch.inf
        scores = filter_logits(scores, self.sampling)
        chosen = self._choose(ids, scores)
        self._record(chosen.tolist(), logits)
        self._step += 1
        return chosen[:, None]

    def _choose(self, ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """One token a row. Where tokens are sampled, a mark that can draw them itself does so."""
        draw = getattr(self._mark, "draw", None)
        if draw is not None and self.sampling.temperature > 0:
            try:
                tokens: torch.Tensor = draw(ids, scores)
            except NotFiniteError:
                raise RunnerError(_NOT_FINITE) from None
            return tokens
        if self._mark is not None:
            scores = self._mark(ids, scores)
        if self.sampling.temperature > 0:
            return self._draw(scores)
        best = scores.max(dim=-1)
        if not bool(torch.isfinite(best.values).all()):
            raise RunnerError(_NOT_FINITE)
        return best.indices

    def _draw(self, scores: torch.Tensor) -> torch.Tensor:
        """Inverse transform with one uniform a row; tokens of probability zero are never drawn."""
        cumulative = torch.softmax(scores, dim=-1).cumsum(dim=-1, dtype=torch.float64)
        total = cumulative[:, -1:]
        if not bool(torch.isfinite(total).all()):
            raise RunnerError(_NOT_FINITE)
        uniform = torch.stack([torch.rand(1, generator=generator, dtype=torch.float64) for generator in self._generators])
        target = torch.minimum(uniform.to(total.device) * total, torch.nextafter(total, torch.zeros_like(total)))
        return torch.searchsorted(cumulative, target, right=True)[:, 0]

    def _record(self, chosen: list[int], logits: torch.Tensor) -> None:
        logs = torch.log_softmax(logits, dim=-1)
        picked = logs[torch.arange(len(chosen)), chosen].tolist()
        if math.isnan(sum(picked)):
            raise RunnerError(_NOT_FINITE)
        count = min(self.sampling.top_logprobs, logs.shape[-1])
        top = logs.topk(count, dim=-1) if count else None
        for row, token in enumerate(chosen):
            if self._done[row]:
                continue
            if token in self.ends:
                self._done[row] = "stop"
                continue
            self._tokens[row].append(token)
            self._logprobs[row].append(picked[row])
            if top is not None:
                self._top[row].append(dict(zip(top.indices[row].tolist(), top.values[row].tolist(), strict=True)))
            start = self._find_stop(self._tokens[row]) if self.sampling.stop else None
            if start is not None:
                self._done[row] = "stop"
                self._stops[row] = start

    def _find_stop(self, tokens: list[int]) -> int | None:
        """Where the first stop text begins that ends after the first min_new_tokens tokens."""
        tail = self.detokenize(tokens[-self._window :])
        if len(tokens) <= self.sampling.min_new_tokens or not any(stop in tail for stop in self.sampling.stop):
            return None
        text, least = self.detokenize(tokens), len(self.detokenize(tokens[: self.sampling.min_new_tokens]))
        starts = (text.find(stop, max(0, least - len(stop) + 1)) for stop in self.sampling.stop)
        return min((start for start in starts if start >= 0), default=None)

    @property
    def all_done(self) -> bool:
        """Whether every row has ended, by an end token or a stop text."""
        return all(self._done)

    def answers(self) -> list[Generation]:
        """One Generation a row. The text ends before the stop text, the tokens with the last that lies before it entirely."""
        found = []
        for row, tokens in enumerate(self._tokens):
            text, kept = self.detokenize(tokens), len(tokens)
            if row in self._stops:
                text = text[: self._stops[row]]
                while kept and len(self.detokenize(tokens[:kept])) > len(text):
                    kept -= 1
            found.append(
                Generation(
                    text=text,
                    token_ids=tuple(tokens[:kept]),
                    finish_reason=self._done[row] or "length",
                    logprobs=tuple(self._logprobs[row][:kept]),
                    top_logprobs=tuple(self._top[row][:kept]) if self.sampling.top_logprobs else None,
                )
            )
        return found


_NOT_FINITE = "the model's scores are not finite numbers; try another dtype (float32)"


def filter_logits(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Temperature, top-k (ties kept) and top-p (the smallest set whose probability reaches top_p), as in transformers."""
    if sampling.temperature not in (0, 1):
        logits = logits / sampling.temperature
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = torch.softmax(ordered, dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        before[:, 0] = 0.0
        ordered = ordered.masked_fill(before >= sampling.top_p, -torch.inf)
        logits = torch.empty_like(logits).scatter_(1, order, ordered)
    return logits
