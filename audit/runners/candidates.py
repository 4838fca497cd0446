"""Log-probabilities of many candidates after one prompt: what they share runs once, and no key or value is copied.

The candidates of a prompt are a tree (`candidate_trie`); its nodes are one row of the model's input, each seeing the prompt's
keys and values and its own ancestors only (tree attention, as in SpecInfer, arXiv 2305.09781, section 4.1). Logits are computed
at nodes alone. Short prompts are packed: several whole trees in one row. Before it is relied on, the way is compared with plain
scores on this model; where both differ (no position ids, other attention), and where a sliding window is shorter than the text,
plain scores are taken.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from audit.errors import CancelledError
from audit.runners.candidate_trie import ROOT, Ints, Trie, mask_of, split
from audit.runners.protocol import Cancelled, Progress, RunnerError

if TYPE_CHECKING:
    from audit.runners.transformers_runner import TransformersRunner

Scores = list[tuple[float, ...]]
MAX_NODES = 256
"""On a processor. Attention takes time by their square, everything else is as quick a token from about 128 on."""
GPU_NODES = 2 * MAX_NODES
ROWS_AT_ONCE = 32
MAX_CANDIDATES = 1_000_000
_TOLERANCE = {"float32": 1e-3, "float64": 1e-6}
_OTHER_TOLERANCE = 0.25


class CandidateScorer:
    """The candidates' half of an in-process runner. `fast` tells whether trees are used; it is found out at the first call."""

    def __init__(self, runner: TransformersRunner, torch: Any, model: Any, takes: set[str]) -> None:
        self._runner, self._torch, self._model, self._takes = runner, torch, model, takes
        self._fast: bool | None = None

    def score(
        self,
        prompts: Sequence[Sequence[int]],
        candidates: Sequence[Sequence[Sequence[int]]],
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[Scores]:
        """For every prompt, the log-probabilities of the tokens of each of its candidates. Raises RunnerError, CancelledError."""
        found: list[Scores] = [[() for _ in group] for group in candidates]
        jobs = [(i, list(prompt)) for i, prompt in enumerate(prompts)]
        whole = [i for i, prompt in jobs if not self._fits(prompt, candidates[i])]
        done = 0
        for i in whole:
            found[i] = self._plain(list(prompts[i]), candidates[i], cancelled)
            done += 1
        for pack in self._packs([job for job in jobs if job[0] not in set(whole)], candidates):
            if cancelled is not None and cancelled():
                raise CancelledError("scoring was cancelled")
            if len(pack) > 1:
                for i, scores in zip([i for i, _ in pack], self._packed([(p, candidates[i]) for i, p in pack])):
                    found[i] = scores
            else:
                i, prompt = pack[0]
                found[i] = self._shared_prefix(prompt, candidates[i], cancelled)
            done += len(pack)
            if progress is not None:
                progress(done / len(prompts), f"scored the candidates of {done} of {len(prompts)} prompts")
        return found

    @property
    def fast(self) -> bool:
        """Whether this model gives the same scores by trees as plainly, checked on random tokens."""
        if self._fast is None:
            self._fast = "position_ids" in self._takes and self._agrees()
        return self._fast

    # ------------------------------------------------------------------ the three ways

    def _plain(self, prompt: list[int], group: Sequence[Sequence[int]], cancelled: Cancelled | None) -> Scores:
        rows = self._runner.score([[*prompt, *candidate] for candidate in group], cancelled=cancelled)
        return [row[len(row) - len(candidate) :] for row, candidate in zip(rows, group)]

    def _shared_prefix(self, prompt: list[int], group: Sequence[Sequence[int]], cancelled: Cancelled | None) -> Scores:
        """The prompt once with a cache, then trees of limited size that all read it."""
        found: Scores = [() for _ in group]
        with self._torch.inference_mode():
            cache, before, root = self._read_prompt(prompt)
            for indices, trie in split(group, self._most_nodes):
                if cancelled is not None and cancelled():
                    raise CancelledError("scoring was cancelled")
                for index, scores in zip(indices.tolist(), self._score_tree(trie, cache, before, root)):
                    found[index] = scores
        return found

    def _packed(self, jobs: Sequence[tuple[list[int], Sequence[Sequence[int]]]]) -> list[Scores]:
        """Several prompts with all their candidates in one row; prompts that begin alike share that too."""
        rows = [[*prompt, *candidate] for prompt, group in jobs for candidate in group]
        starts = [len(prompt) for prompt, group in jobs for _ in group]
        if not rows:
            return [[] for _ in jobs]
        with self._torch.inference_mode():
            cache, before = self._start()
            scores = iter(self._score_tree(Trie.build(rows, starts), cache, before, None))
        return [[next(scores) for _ in group] for _, group in jobs]

    # ------------------------------------------------------------------ one pass

    def _start(self) -> tuple[Any, int]:
        """What stands before every prompt: a cache (None for nothing) and its length."""
        return None, 0

    def _read_prompt(self, prompt: list[int]) -> tuple[Any, int, Any]:
        """A cache with the prompt in it, its length, and the logits (1 x vocabulary) after it."""
        ids = self._torch.tensor([prompt], device=self._model.device)
        answer = self._forward(input_ids=ids, use_cache=True, logits_to_keep=1)
        return answer.past_key_values, len(prompt), answer.logits[0, -1:]

    def _score_tree(self, trie: Trie, cache: Any, before: int, root: Any) -> list[tuple[float, ...]]:
        """The scored tokens of every row of the tree, after the `before` tokens that the cache holds; nothing is added to these.
        `root`: the logits (1 x vocabulary) after these, where a row is scored from its first token on."""
        found = np.empty(len(trie.scored_after))
        at_root = trie.scored_after == ROOT
        if at_root.any():
            found[at_root] = self._pick(root, np.zeros(int(at_root.sum()), np.int64), trie.scored_tokens[at_root])
        if not at_root.all():
            needed, rows = np.unique(trie.scored_after[~at_root], return_inverse=True)
            found[~at_root] = self._pick(self._run(trie, needed, before, cache), rows, trie.scored_tokens[~at_root])
            if cache is not None:
                cache.crop(-trie.size)
        values, ends = found.tolist(), np.cumsum(trie.lengths).tolist()
        return [tuple(values[start:end]) for start, end in zip([0, *ends], ends)]

    def _run(self, trie: Trie, needed: Ints, before: int, cache: Any) -> Any:
        """Logits (needed x vocabulary) of the token after each of these nodes, `before` cached tokens in front."""
        torch, device, dtype = self._torch, self._model.device, self._model.dtype
        seen = torch.from_numpy(mask_of(trie, before)).to(device)
        mask = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, torch.finfo(dtype).min)[None, None]
        inputs: dict[str, Any] = {
            "input_ids": torch.from_numpy(trie.tokens)[None].to(device),
            "attention_mask": mask,
            "position_ids": torch.from_numpy(before - 1 + trie.depths)[None].to(device),
            "use_cache": cache is not None,
        }
        if cache is not None:
            inputs["past_key_values"] = cache
        if len(needed) < trie.size:
            inputs["logits_to_keep"] = torch.from_numpy(needed).to(device)
        logits = self._forward(**inputs).logits[0]
        return logits if logits.shape[0] == len(needed) else logits[torch.from_numpy(needed).to(device)]

    def _pick(self, logits: Any, rows: Ints, tokens: Ints) -> Any:
        """Log-probability of each token by its row of logits, as an array. A few rows at a time: they stay in the processor's
        cache."""
        torch = self._torch
        totals = torch.cat([part.float().logsumexp(dim=-1) for part in logits.split(ROWS_AT_ONCE)])
        if not bool(torch.isfinite(totals).all()):
            raise RunnerError("the model's scores are not finite numbers; try another dtype (float32)")
        places, chosen = torch.from_numpy(rows).to(logits.device), torch.from_numpy(tokens).to(logits.device)
        return (logits[places, chosen].float() - totals[places]).cpu().numpy()

    def _forward(self, **inputs: Any) -> Any:
        return self._model(**{name: value for name, value in inputs.items() if name in self._takes})

    # ------------------------------------------------------------------ which way

    @property
    def _most_nodes(self) -> int:
        return MAX_NODES if self._model.device.type == "cpu" else GPU_NODES

    def _fits(self, prompt: list[int], group: Sequence[Sequence[int]]) -> bool:
        window = getattr(self._model.config, "sliding_window", None)
        longest = len(prompt) + max((len(candidate) for candidate in group), default=0)
        return self.fast and (not window or longest <= window)

    def _packs(
        self, jobs: Sequence[tuple[int, list[int]]], candidates: Sequence[Sequence[Sequence[int]]]
    ) -> Iterator[list[tuple[int, list[int]]]]:
        """Prompts that run together: as many as fill a tree's limit; a larger one alone."""
        pack: list[tuple[int, list[int]]] = []
        size = 0
        for i, prompt in jobs:
            tokens = len(prompt) + sum(max(0, len(candidate) - 1) for candidate in candidates[i])
            if pack and size + tokens > self._most_nodes:
                yield pack
                pack, size = [], 0
            pack.append((i, prompt))
            size += tokens
        if pack:
            yield pack

    def _agrees(self) -> bool:
        rng = random.Random(0)
        size = self._runner.vocab_size
        prompts = [[rng.randrange(size) for _ in range(6)] for _ in range(2)]
        group = [[rng.randrange(size) for _ in range(4)] for _ in range(3)]
        group += [[*group[0][:2], rng.randrange(size)], [group[0][0]]]
        tolerance = _TOLERANCE.get(str(self._model.dtype).removeprefix("torch."), _OTHER_TOLERANCE)
        try:
            found = [self._shared_prefix(prompts[0], group, None), *self._packed([(prompt, group) for prompt in prompts])]
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, RunnerError):
            return False
        plain = [self._plain(prompt, group, None) for prompt in (prompts[0], *prompts)]
        pairs = [(a, b) for x, y in zip(found, plain) for u, v in zip(x, y) for a, b in zip(u, v)]
        return all(abs(a - b) <= tolerance for a, b in pairs)
