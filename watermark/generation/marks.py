"""Marks by family: what embeds a watermark while a model writes. Needs torch.

A mark gives logits processors as `transformers.generate(logits_processor=[...])` takes them: called with (input_ids of shape
batch x length, scores of shape batch x vocabulary) and returning scores. Processors belong at the end, after temperature and
filters, since the distortion-free ones choose the token themselves: they return scores that are -infinity but for that token.
Rows keep their place from call to call; beam search is not supported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from watermark.errors import ConfigError, NotFiniteError
from watermark.families import open_scheme
from watermark.kernels.embedding import first_reaching
from watermark.schemes.green_list import GreenListScheme
from watermark.schemes.shift_keyed import ShiftScheme
from watermark.schemes.synthid import SynthIDScheme
from watermark.schemes.unigram import UnigramScheme
from watermark.schemes.vllm_gumbel import GumbelScheme

Ints = npt.NDArray[np.int64]
NO_TOKEN = -1


class Writer(Protocol):
    """A scheme with its key, one step at a time. What a row remembers is in its state, so rows may come and go between steps.

    `width`: how many tokens it looks back, over the prompt too where `reads_prompt`. `vocab_size`: the narrowest scores it
    takes, None for any. `final`: the scores it takes must be those of the final distribution, after temperature and filters.
    """

    @property
    def width(self) -> int: ...

    @property
    def reads_prompt(self) -> bool: ...

    @property
    def vocab_size(self) -> int | None: ...

    @property
    def final(self) -> bool: ...

    def start(self, seed: int) -> Any:
        """The state of a new row."""
        ...

    def step(self, rows: Sequence[Any], contexts: Ints, written: Ints, scores: torch.Tensor) -> torch.Tensor:
        """New scores (n x vocabulary). `contexts` (n, width) are the last tokens, NO_TOKEN for those before the beginning;
        `written` (n) counts the tokens of the answer so far. The given scores are left as they are."""
        ...

    def draw(self, rows: Sequence[Any], contexts: Ints, written: Ints, scores: torch.Tensor) -> Ints:
        """One token a row, from the distribution that `step` gives, by the randomness of the row. Scores must be those of the
        final distribution."""
        ...


class Mark:
    """A writer behind `logits_processor`. `seeds`, one a row, feed what randomness the mark itself needs."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def logits_processor(self, prompt_length: int, seeds: Sequence[int]) -> Processor:
        """The processor of one batch. `prompt_length` is the number of prompt columns, padding on the left included."""
        return Processor(self.writer, prompt_length, seeds)


class Processor:
    """A logits processor of one batch. Raises ConfigError when the scores do not fit the key or the batch."""

    supports_continuous_batching = False

    def __init__(self, writer: Writer, prompt_length: int, seeds: Sequence[int]) -> None:
        self.writer, self.prompt_length = writer, prompt_length
        self._rows = [writer.start(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return self.writer.step(self._rows, *self._look(input_ids, scores), scores)

    def draw(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """The next token of every row (n), drawn from what the call would return: instead of a call, where tokens are sampled.

        Raises NotFiniteError.
        """
        return torch.from_numpy(self.writer.draw(self._rows, *self._look(input_ids, scores), scores)).to(scores.device)

    def _look(self, input_ids: torch.Tensor, scores: torch.Tensor) -> tuple[Ints, Ints]:
        """Contexts and numbers of tokens written."""
        count, length = input_ids.shape
        if count != len(self._rows):
            raise ConfigError(f"the mark was made for {len(self._rows)} rows and got {count}; give one seed a row")
        check_width(self.writer, scores.shape[1])
        width = self.writer.width
        first = max(0 if self.writer.reads_prompt else self.prompt_length, length - width)
        contexts = np.full((count, width), NO_TOKEN, dtype=np.int64)
        if first < length:
            contexts[:, width - (length - first) :] = input_ids.numpy(force=True)[:, first:]
        return contexts, np.full(count, length - self.prompt_length)


def check_width(writer: Writer, width: int) -> None:
    """Raises ConfigError when scores of this width are too narrow for the key."""
    if writer.vocab_size is not None and width < writer.vocab_size:
        raise ConfigError(
            f"the key is for {writer.vocab_size} tokens and the model has {width} logits; make a key for this model"
        )


def open_mark(family: str, config: Mapping[str, Any]) -> Mark:
    """The mark of a family and configuration (as detection takes them). Raises ConfigError."""
    scheme: Any = open_scheme(family, config)
    if isinstance(scheme, GreenListScheme):
        from watermark.generation.green_lists import green_list_writer

        return Mark(green_list_writer(scheme))
    if isinstance(scheme, UnigramScheme):
        from watermark.generation.green_lists import UnigramWriter

        return Mark(UnigramWriter(scheme))
    if isinstance(scheme, ShiftScheme):
        from watermark.generation.shift_keyed import shift_writer

        return Mark(shift_writer(scheme))
    if isinstance(scheme, GumbelScheme):
        from watermark.generation.gumbel import GumbelWriter

        return Mark(GumbelWriter(scheme.config))
    if isinstance(scheme, SynthIDScheme):
        from watermark.generation.tournament import TournamentWriter

        return Mark(TournamentWriter(scheme))
    raise ConfigError(f"the family {family} can be read but not written")


def only(scores: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Scores shaped like these that leave one token a row: 0 for it and -infinity for the others."""
    return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0.0)


def softmax_on_cpu(scores: torch.Tensor) -> npt.NDArray[np.float32]:
    """The probabilities of scores, as an array of their own. Raises NotFiniteError where there are none."""
    found: npt.NDArray[np.float32] = torch.softmax(scores, dim=1, dtype=torch.float32).numpy(force=True)
    if np.isnan(found[:, 0]).any():
        raise NotFiniteError("the scores are not finite numbers, or leave no token possible")
    return found


def draw_from(scores: torch.Tensor, uniform: npt.NDArray[np.float64]) -> Ints:
    """One token a row by inverse transform; `uniform` (n) in [0, 1). Tokens without a probability are not drawn."""
    probabilities = softmax_on_cpu(scores)
    return first_reaching(probabilities, np.arange(probabilities.shape[1]), 1 - uniform)


def row_generator(seed: int, purpose: int) -> np.random.Generator:
    """A generator of one row; purposes keep uses of one seed apart."""
    return np.random.default_rng([seed & ((1 << 64) - 1), purpose])


def uniform_numbers(generator: np.random.Generator) -> Iterator[float]:
    """Uniform numbers of one row, without end, drawn for many steps at once."""
    while True:
        yield from generator.random(256).tolist()
