"""Writing and judging texts with a language model that is only a function from contexts to logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.protocol import NextLogits
from watermark.errors import AttackError, CancelledError

Floats = npt.NDArray[np.float64]
MAX_LENGTH = 100_000
DEFAULT_BATCH = 32
# Perplexity looks at so many positions of a text at most, evenly spread: each costs the model a whole context.
MAX_POSITIONS = 64
# Alternatives come from the model's first so many.
DEFAULT_TOP = 20


def ask_model(next_logits: NextLogits, contexts: Sequence[Tokens]) -> Floats:
    """Logits as a checked (n, vocab_size) array. Raises AttackError where the model answers something else."""
    logits = np.asarray(next_logits(contexts), dtype=np.float64)
    if logits.ndim != 2 or len(logits) != len(contexts) or logits.shape[1] < 2:
        raise AttackError(f"the model was asked for {len(contexts)} contexts and answered an array of shape {logits.shape}")
    if np.isnan(logits).any() or (logits.max(axis=1) == -np.inf).any():
        raise AttackError("the model answered logits that are no numbers, or rules out every token")
    return logits


def write_texts(
    next_logits: NextLogits,
    prompts: Sequence[Tokens],
    length: int,
    rng: np.random.Generator,
    add: Callable[[Sequence[Tokens]], npt.NDArray[np.float32]] | None = None,
    batch: int = DEFAULT_BATCH,
    cancelled: Callable[[], bool] | None = None,
) -> list[Tokens]:
    """Sample `length` tokens after each prompt, at temperature 1 from the logits plus what `add` gives for the contexts.

    The prompts are not part of the answer. Raises AttackError, CancelledError.
    """
    if not 1 <= length <= MAX_LENGTH:
        raise AttackError(f"a text has 1 to {MAX_LENGTH} tokens, not {length}")
    texts: list[Tokens] = []
    for start in range(0, len(prompts), batch):
        contexts = [np.asarray(prompt, dtype=np.int64) for prompt in prompts[start : start + batch]]
        begins = [len(context) for context in contexts]
        for _ in range(length):
            if cancelled is not None and cancelled():
                raise CancelledError("writing texts was stopped")
            logits = ask_model(next_logits, contexts)
            if add is not None:
                logits += add(contexts)
            drawn = _draw(logits, rng)
            contexts = [np.append(context, token) for context, token in zip(contexts, drawn.tolist())]
        texts += [context[begin:] for context, begin in zip(contexts, begins)]
    return texts


def _draw(logits: Floats, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    edges = np.cumsum(weights, axis=1)
    levels = rng.random(len(logits)) * edges[:, -1]
    drawn = [int(np.searchsorted(row, level, side="right")) for row, level in zip(edges, levels)]
    return np.minimum(np.array(drawn, dtype=np.int64), logits.shape[1] - 1)


def perplexity(next_logits: NextLogits, text: Tokens, prompt: Tokens | None = None) -> float:
    """exp of the mean negative log-probability of a text's tokens after their own prefixes (and the prompt, where given), over at
    most MAX_POSITIONS positions. Infinite where the model rules a token out. Raises AttackError for an empty text."""
    if not len(text):
        raise AttackError("an empty text has no perplexity")
    before = np.zeros(0, dtype=np.int64) if prompt is None else np.asarray(prompt, dtype=np.int64)
    first = 0 if len(before) else 1
    if len(text) <= first:
        raise AttackError("the perplexity of one token needs a prompt")
    count = min(MAX_POSITIONS, len(text) - first)
    positions = np.unique(np.linspace(first, len(text) - 1, count).astype(int)).tolist()
    whole = np.concatenate([before, text])
    logits = ask_model(next_logits, [whole[: len(before) + at] for at in positions])
    top = logits.max(axis=1)
    logs = logits[np.arange(len(positions)), text[positions]] - top - np.log(np.exp(logits - top[:, None]).sum(axis=1))
    mean = -float(logs.mean())
    return math.exp(mean) if mean < 700 else math.inf


def model_alternatives(next_logits: NextLogits, top: int = DEFAULT_TOP) -> Callable[[Tokens, Sequence[int]], list[Tokens]]:
    """Alternatives for positions of a text: the model's `top` tokens after the text's own prefix, without the token there."""

    def alternatives(text: Tokens, positions: Sequence[int]) -> list[Tokens]:
        found: list[Tokens] = []
        for start in range(0, len(positions), DEFAULT_BATCH):
            part = positions[start : start + DEFAULT_BATCH]
            logits = ask_model(next_logits, [text[:at] for at in part])
            keep = min(top + 1, logits.shape[1])
            best = np.argpartition(-logits, keep - 1, axis=1)[:, :keep]
            for row, candidates, at in zip(logits, best, part):
                ordered = candidates[np.argsort(-row[candidates], kind="stable")]
                found.append(ordered[ordered != text[at]][:top].astype(np.int64))
        return found

    return alternatives
