"""Soft prompts on a model in process: their gradient, and log-probabilities of candidates after them.

The soft prompt runs once and its keys and values are read by every prompt; prompt and candidates then run as trees, as in
`audit.runners.candidates`, whose check against plain scores (whole rows of embeddings, no cache) holds here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.errors import CancelledError
from audit.runners.candidate_trie import Trie
from audit.runners.candidates import MAX_CANDIDATES, CandidateScorer, Scores
from audit.runners.protocol import Cancelled, CapabilityError, Progress, RunnerError
from privacy.probes.white_box.model import Example, Soft

if TYPE_CHECKING:
    from audit.runners.transformers_runner import TransformersRunner

ROWS_AT_ONCE = 64


class SoftPrompts:
    """The soft-prompt half of a TransformersRunner. Raises CapabilityError where the architecture takes no embeddings."""

    def __init__(self, runner: TransformersRunner, torch: Any, model: Any, takes: set[str]) -> None:
        if "inputs_embeds" not in takes:
            raise CapabilityError("this architecture takes no embeddings as its input, so that no soft prompt can be tuned")
        self._runner, self._torch, self._model, self._takes = runner, torch, model, takes
        self._table = model.get_input_embeddings()
        self._scorer: SoftScorer | None = None
        self._tuned: bytes = b""

    @property
    def width(self) -> int:
        """The length d of an embedding."""
        return int(self._table.weight.shape[1])

    def embed(self, token_ids: Sequence[int]) -> Soft:
        """Input embeddings (tokens x d)."""
        with self._torch.inference_mode():
            found = self._table(self._torch.tensor(list(token_ids), device=self._model.device))
        return np.asarray(found.float().cpu().numpy(), dtype=np.float32)

    # ------------------------------------------------------------------ gradient

    def loss(self, soft: Soft, examples: Sequence[Example]) -> float:
        """Mean over examples of -log p(value | soft prompt, context), summed over the value's tokens. Raises RunnerError."""
        with self._torch.no_grad():
            total = sum(float(self._loss(self._tensor(soft), part).sum()) for part in _parts(examples))
        return total / len(examples)

    def gradient(self, soft: Soft, examples: Sequence[Example]) -> tuple[float, Soft]:
        """The same and its gradient with respect to the soft prompt; the weights take part without gradients of their own."""
        wanted = [p for p in self._model.parameters() if p.requires_grad]
        for parameter in wanted:
            parameter.requires_grad_(False)
        try:
            theta = self._tensor(soft, float32=True).requires_grad_(True)
            total = 0.0
            with self._torch.enable_grad():
                for part in _parts(examples):
                    loss = self._loss(theta.to(self._model.dtype), part).sum() / len(examples)
                    loss.backward()
                    total += float(loss.detach())
        except RuntimeError as error:
            raise RunnerError(f"the gradient of a soft prompt failed: {str(error)[:300]}") from error
        finally:
            for parameter in wanted:
                parameter.requires_grad_(True)
        return total, np.asarray(theta.grad.float().cpu().numpy(), dtype=np.float32)

    def _tensor(self, soft: Soft, float32: bool = False) -> Any:
        array = np.array(soft, dtype=np.float32)
        if array.ndim != 2 or array.shape[1] != self.width:
            raise RunnerError(f"a soft prompt for this model has the width {self.width}, not {array.shape[-1]}")
        dtype = self._torch.float32 if float32 else self._model.dtype
        return self._torch.from_numpy(array).to(device=self._model.device, dtype=dtype)

    def _loss(self, theta: Any, examples: Sequence[Example]) -> Any:
        """-log p(value) of each example (rows)."""
        torch = self._torch
        rows = [[*example.context, *example.value] for example in examples]
        self._check_context(theta.shape[0] + max(map(len, rows)))
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=self._model.device)
        scored = torch.tensor(
            [[len(e.context) <= i < len(row) for i in range(width)] for e, row in zip(examples, rows)], device=self._model.device
        )
        states = torch.cat([theta.expand(len(rows), -1, -1), self._table(ids)], dim=1)
        logits = self._model(inputs_embeds=states).logits[:, theta.shape[0] - 1 : -1].float()
        picked = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids, reduction="none")
        return (picked * scored).sum(dim=1)

    # ------------------------------------------------------------------ scores

    def score(
        self,
        soft: Soft | None,
        prompts: Sequence[Sequence[int]],
        candidates: Sequence[Sequence[Sequence[int]]],
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[Scores]:
        """As the runner's `score_candidates`, after the soft prompt. Raises RunnerError, CancelledError."""
        if soft is None:
            return self._runner.score_candidates(prompts, candidates, progress, cancelled)
        if len(prompts) != len(candidates) or sum(map(len, candidates)) > MAX_CANDIDATES:
            raise RunnerError(f"every prompt needs its own candidates, at most {MAX_CANDIDATES} in all")
        if any(not row for row in prompts) or any(not row for group in candidates for row in group):
            raise RunnerError("an empty prompt or candidate has no tokens to score")
        longest = max((len(p) + max(map(len, g), default=0) for p, g in zip(prompts, candidates)), default=0)
        self._check_context(len(soft) + longest)
        for row in (*prompts, *(candidate for group in candidates for candidate in group)):
            if not all(0 <= token < self._runner.vocab_size for token in row):
                raise RunnerError(f"a token lies outside the model's vocabulary of {self._runner.vocab_size}")
        return self._scorer_of(soft).score(prompts, candidates, progress, cancelled)

    def _scorer_of(self, soft: Soft) -> SoftScorer:
        identity = np.ascontiguousarray(soft, dtype=np.float32).tobytes()
        if self._scorer is None or self._tuned != identity:
            self._scorer = SoftScorer(self._runner, self._torch, self._model, self._takes, self._tensor(soft))
            self._tuned = identity
        return self._scorer

    def _check_context(self, longest: int) -> None:
        if longest > self._runner.context:
            raise RunnerError(
                f"{longest} places with the soft prompt exceed the model's context of {self._runner.context}; shorten the prompt"
            )


class SoftScorer(CandidateScorer):
    """A CandidateScorer behind a soft prompt (L_s x d tensor of the model's dtype), whose keys and values are kept."""

    def __init__(self, runner: TransformersRunner, torch: Any, model: Any, takes: set[str], soft: Any) -> None:
        super().__init__(runner, torch, model, takes)
        self._soft, self._length = soft, int(soft.shape[0])
        self._cache: Any = None

    def _start(self) -> tuple[Any, int]:
        """Keys and values of the soft prompt, and of nothing else."""
        if self._cache is None:
            self._cache = self._forward(inputs_embeds=self._soft[None], use_cache=True, logits_to_keep=1).past_key_values
        _cut(self._cache, self._length)
        return self._cache, self._length

    def _read_prompt(self, prompt: list[int]) -> tuple[Any, int, Any]:
        cache, length = self._start()
        path = Trie.build([[*prompt, prompt[0]]])
        root = self._run(path, np.array([len(prompt) - 1]), length, cache)
        return cache, length + len(prompt), root

    def _plain(self, prompt: list[int], group: Sequence[Sequence[int]], cancelled: Cancelled | None) -> Scores:
        """Whole rows of embeddings, no cache: what the quick ways must agree with."""
        torch = self._torch
        table, found = self._model.get_input_embeddings(), []
        with torch.inference_mode():
            for first in range(0, len(group), ROWS_AT_ONCE):
                if cancelled is not None and cancelled():
                    raise CancelledError("scoring was cancelled")
                part = [[*prompt, *candidate] for candidate in group[first : first + ROWS_AT_ONCE]]
                width = max(map(len, part))
                ids = torch.tensor([row + [0] * (width - len(row)) for row in part], device=self._model.device)
                states = torch.cat([self._soft.expand(len(part), -1, -1), table(ids)], dim=1)
                logits = self._model(inputs_embeds=states).logits[:, self._length - 1 : -1].float()
                logs = torch.log_softmax(logits, dim=-1).gather(-1, ids[..., None])[..., 0].tolist()
                found += [tuple(line[len(prompt) : len(row)]) for line, row in zip(logs, part)]
        return found

    def _fits(self, prompt: list[int], group: Sequence[Sequence[int]]) -> bool:
        return super()._fits([0] * self._length + prompt, group)


def _cut(cache: Any, length: int) -> None:
    """Forget what a cache holds beyond its first `length` places."""
    beyond = int(cache.get_seq_length()) - length
    if beyond > 0:
        cache.crop(-beyond)


def _parts(examples: Sequence[Example]) -> list[Sequence[Example]]:
    if not examples:
        raise RunnerError("a loss needs at least one example")
    return [examples[i : i + ROWS_AT_ONCE] for i in range(0, len(examples), ROWS_AT_ONCE)]
