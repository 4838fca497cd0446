"""Green lists while a model writes (arXiv 2301.10226, algorithm 2; 2306.04634, algorithm 3): a bias on green tokens.

Equal to the references' processors on the same scores. Lists are kept, as many as `ListTable` holds. Two deviations: where a
context is still too short the scores stay as they are (transformers does so too, lm-watermarking fails), and a hard mark leaves
a row alone in which no green token is possible.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from watermark.detectors.green_power import DEFAULT_DELTA
from watermark.generation.marks import Ints, draw_from, row_generator, softmax_on_cpu, uniform_numbers
from watermark.kernels.candidates import AnchoredDraw, ColourTable, Proposals, largest, propose
from watermark.kernels.embedding import Floats, ListTable
from watermark.kernels.green_list import Bools, Seeds
from watermark.primitives.lm_hash import hash_int
from watermark.primitives.prf import ANCHORED, wrap64
from watermark.schemes.green_list import GreenListConfig, GreenListScheme
from watermark.schemes.unigram import UnigramScheme

# At delta 2 one of so many is accepted in 97 % of all cases, even where the model is sure of a red token.
PROPOSALS = 24
_AHEAD = 4096
# Where a list follows from one token, the seeds of all are worked out once so many steps had to work out some.
FILL_AFTER = 32


def green_list_writer(scheme: GreenListScheme) -> GreenListWriter | SelfSaltWriter:
    """The writer of any dialect of lm-watermarking or transformers."""
    return SelfSaltWriter(scheme.config) if scheme.config.self_salt else GreenListWriter(scheme.config)


def rule_out_red(scores: torch.Tensor, green: npt.NDArray[np.bool_]) -> torch.Tensor:
    """The hard mark: -infinity for all tokens but the green ones (n x V), in rows where a green token is possible."""
    allowed = torch.zeros(scores.shape, dtype=torch.bool)
    allowed[:, : green.shape[1]] = torch.from_numpy(green)
    allowed = allowed.to(scores.device)
    possible = (allowed & torch.isfinite(scores)).any(dim=1, keepdim=True)
    return torch.where(allowed | ~possible, scores, -torch.inf)


def as_array(scores: torch.Tensor) -> npt.NDArray[np.float32]:
    """Scores as a float32 array in memory order, sharing memory where possible."""
    return np.asarray(scores.detach().float().cpu().contiguous().numpy())


def leave_short(full: Bools, scores: torch.Tensor, marked: torch.Tensor) -> torch.Tensor:
    """The marked scores, but for rows whose context is too short."""
    return marked if full.all() else torch.where(torch.from_numpy(full).to(scores.device)[:, None], marked, scores)


class Uniforms:
    """The same, several at a time."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._ahead = generator.random(_AHEAD)
        self._used = 0

    def take(self, count: int) -> npt.NDArray[np.float64]:
        """The next `count` numbers."""
        end = self._used + count
        if end > self._ahead.size:
            fresh = self._generator.random(max(count, _AHEAD))
            self._ahead, self._used, end = np.concatenate([self._ahead[self._used :], fresh]), 0, count
        taken = self._ahead[self._used : end]
        self._used = end
        return taken


class GreenListWriter:
    """The list follows from the tokens before. delta Infinity is the hard mark."""

    reads_prompt, final = True, False

    def __init__(self, config: GreenListConfig) -> None:
        self.config = config
        self.width, self.vocab_size = config.context_width, config.vocab_size
        self.delta = DEFAULT_DELTA if config.delta is None else config.delta
        self.lists = ListTable(config.vocab_size, _steps(config), not config.select_first)
        self._by_token = np.full(config.vocab_size if self.width == 1 else 0, -1, dtype=np.int64)
        self._misses = 0

    def start(self, seed: int) -> Iterator[float]:
        return uniform_numbers(row_generator(seed, 1))

    def step(self, rows: Sequence[Any], contexts: Ints, written: Ints, scores: torch.Tensor) -> torch.Tensor:
        full = contexts[:, 0] >= 0
        seeds = self._seeds(np.abs(contexts))
        if self.delta == float("inf"):
            return leave_short(full, scores, rule_out_red(scores, self.lists.colours(seeds)))
        marked = torch.from_numpy(self.lists.add_bias(as_array(scores), seeds, self.delta)).to(scores)
        return leave_short(full, scores, marked)

    def draw(self, rows: Sequence[Iterator[float]], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        return draw_from(self.step(rows, contexts, written, scores), np.array([next(row) for row in rows]))

    def _seeds(self, contexts: Ints) -> Seeds:
        """Generator seeds of contexts; those of single tokens are kept."""
        if self.width > 1 or contexts.max(initial=0) >= self.vocab_size:
            return self.config.seeds(contexts, self.config.key)
        kept = self._by_token[contexts[:, 0]]
        missing = kept < 0
        if missing.any():
            self._misses += 1
            if self._misses == FILL_AFTER:
                everything = np.arange(self.vocab_size, dtype=np.int64)[:, None]
                self._by_token[:] = self.config.seeds(everything, self.config.key)
            kept[missing] = self.config.seeds(contexts[missing], self.config.key)
            self._by_token[contexts[:, 0]] = kept
        return kept.astype(np.uint32)


def _steps(config: GreenListConfig) -> int:
    return config.list_size if config.select_first else config.vocab_size - config.list_size


class SelfSaltWriter:
    """The candidate is part of its own context: the likeliest are tried, and boosted where they lie in the list they seed.

    `draw` gives the same distribution by rejection: tokens are proposed as the model would draw them, and one that is no green
    candidate is kept with probability exp(-delta). So a few colours a token are looked up (3 at delta 2, gamma 1/4), not 41.
    """

    reads_prompt, final = True, False

    def __init__(self, config: GreenListConfig) -> None:
        self.config = config
        self.width, self.vocab_size = config.context_width, config.vocab_size
        self.delta = DEFAULT_DELTA if config.delta is None else config.delta
        self._count = min(config.candidates, config.vocab_size)
        self._colours = ColourTable(config.vocab_size, _steps(config))
        self._key = np.int64(wrap64(config.key))
        anchored = getattr(config.seeds, "args", ()) == (ANCHORED,)
        self._hashes = hash_int(np.arange(config.vocab_size, dtype=np.int64)) if anchored else None

    def start(self, seed: int) -> Uniforms:
        return Uniforms(row_generator(seed, 1))

    def step(self, rows: Sequence[Any], contexts: Ints, written: Ints, scores: torch.Tensor) -> torch.Tensor:
        full = contexts[:, 0] >= 0
        candidates = largest(as_array(scores[:, : self.vocab_size]), self._count)
        colours = self._colours.contains(self._seeds(contexts, candidates).reshape(-1), candidates.reshape(-1))
        if not self.config.select_first:
            colours = ~colours
        green = colours.reshape(candidates.shape) & full[:, None]
        if self.delta != float("inf"):
            bias = torch.from_numpy(green * np.float32(self.delta)).to(scores)
            return scores.scatter_add(1, torch.from_numpy(candidates).to(scores.device), bias)
        lists = np.zeros((len(green), self.vocab_size), dtype=bool)
        np.put_along_axis(lists, candidates, green, axis=1)
        return rule_out_red(scores, lists)

    def draw(self, rows: Sequence[Uniforms], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        if self.delta == float("inf") or (contexts[:, 0] < 0).any():
            return draw_from(self.step(rows, contexts, written, scores), np.concatenate([row.take(1) for row in rows]))
        probabilities = softmax_on_cpu(scores)
        tokens = self._round(rows, contexts, probabilities)
        while (tokens < 0).any():
            left = np.flatnonzero(tokens < 0)
            tokens[left] = self._round([rows[i] for i in left.tolist()], contexts[left], probabilities[left])
        return tokens

    def _round(self, rows: Sequence[Uniforms], contexts: Ints, probabilities: Floats) -> Ints:
        """The accepted token of each row, -1 where none of PROPOSALS was."""
        uniform = np.stack([row.take(2 * PROPOSALS) for row in rows]).reshape(len(rows), 2, PROPOSALS)
        if self._hashes is not None:
            before = np.abs(contexts[:, 1:])
            known = before.max(initial=0) < self.vocab_size
            anchors = self._key * (self._hashes[before] if known else hash_int(before))  # wraps
            anchored = AnchoredDraw(probabilities, self._count, anchors, self._key, self._hashes, uniform)
            return self._colours.draw_anchored(anchored, self.config.select_first, math.exp(-self.delta))
        proposed = propose(probabilities, 1 - uniform[:, 0])
        drawn = Proposals(probabilities, self._count, proposed, self._seeds(contexts, proposed), uniform[:, 1])
        return self._colours.first_accepted(drawn, self.config.select_first, math.exp(-self.delta))

    def _seeds(self, contexts: Ints, tokens: Ints) -> Seeds:
        """Seeds (n, k) of tokens (n, k) after contexts (n, width), of which the last width - 1 tokens count."""
        width = self.config.context_width
        grams = np.empty((*tokens.shape, width), dtype=np.int64)
        grams[:, :, :-1], grams[:, :, -1] = np.abs(contexts[:, None, 1:]), tokens
        return self.config.seeds(grams.reshape(-1, width), self.config.key).reshape(tokens.shape)


class UnigramWriter:
    """Fixed lists, one of them at every position."""

    reads_prompt, final = True, False

    def __init__(self, scheme: UnigramScheme) -> None:
        self.scheme, self.vocab_size = scheme, scheme.vocab_size
        self.width = 0 if scheme.num_keys == 1 else 1
        self.delta = DEFAULT_DELTA if scheme.delta is None else scheme.delta
        self._green = scheme.lists()
        finite = self.delta if self.delta != float("inf") else 0.0
        self._bias = torch.from_numpy(self._green.astype(np.float32) * np.float32(finite))

    def start(self, seed: int) -> Iterator[float]:
        return uniform_numbers(row_generator(seed, 1))

    def step(self, rows: Sequence[Any], contexts: Ints, written: Ints, scores: torch.Tensor) -> torch.Tensor:
        index = np.zeros(len(scores), dtype=np.int64)
        if self.width:
            index = self.scheme.list_index(np.abs(contexts[:, 0]))
        if self.delta == float("inf"):
            marked = rule_out_red(scores, self._green[index])
        else:
            bias = self._bias if not self.width else self._bias.index_select(0, torch.from_numpy(index))
            if self.vocab_size < scores.shape[1]:
                bias = torch.nn.functional.pad(bias, (0, scores.shape[1] - self.vocab_size))
            marked = scores + bias.to(scores)
        return leave_short(contexts[:, 0] >= 0, scores, marked) if self.width else marked

    def draw(self, rows: Sequence[Iterator[float]], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        return draw_from(self.step(rows, contexts, written, scores), np.array([next(row) for row in rows]))
