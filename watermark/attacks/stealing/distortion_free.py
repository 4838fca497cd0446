"""Recovering the key of distortion-free watermarks (EXP and ITS, arXiv 2307.15593) from prompts, after the idea of arXiv
2502.18608.

The key is a cycle of n rows; step i of a text uses row (s + i) mod n. A prompt that makes the model choose evenly between
two tokens ("write heads or tails, again and again") turns every step into a question about one row: EXP answers with the token
whose entry xi[row, token] is larger, ITS with the first of the two in its secret order if xi[row] < 1/2, else the other. Enough
questions sort the entries of a row (EXP), or find the order once and every xi by bisection (ITS).

What this needs: a model that keeps to the distribution it is prompted for. How to prompt is the caller's (`Responder`); where
real answers stray from it, so does what is recovered. What it gives: the order of the entries of the tokens asked about, which is
what forging needs, and xi to the resolution of that order (EXP) or of the bisection (ITS), never the generator's seed. With a
fixed offset, the rows that a response reaches are found, however long the key. A random offset protects little: one response
of 2 n steps to one question shows the whole cycle, and from then on the first n answers of every response give s away. Not
practical: random offsets with keys longer than half a response, context-hashed schemes (each context is a row of its own), and
tokens that no prompt brings up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from watermark.attacks.stealing.zipf import Ints
from watermark.errors import AttackError

Floats = npt.NDArray[np.float64]
MAX_TOKENS = 256
MAX_ROWS = 100_000
MAX_RESPONSES = 100_000


@dataclass(frozen=True)
class Question:
    """The next-token distribution of one step: `first` with probability `p`, otherwise `second`."""

    first: int
    second: int
    p: float = 0.5


# One response of the marked model, whose steps have the given distributions in turn: the tokens it wrote.
Responder = Callable[[Sequence[Question]], Sequence[int]]


@dataclass(frozen=True)
class RecoveredExp:
    """`xi[row, i]` estimates the key's entry of tokens[i]: its rank among the M tokens asked about, over M + 1. Row 0 is
    the row of the first step where the offset is fixed, some row of the cycle where it is random."""

    tokens: Ints
    xi: Floats = field(repr=False)
    random_offset: bool
    responses: int

    def forge(self, length: int, start: int = 0) -> Ints:
        """A text the key's holder takes for marked: at every step the token with the largest entry."""
        rows = (start + np.arange(length)) % len(self.xi)
        return np.asarray(self.tokens[np.argmax(self.xi[rows], axis=1)])


@dataclass(frozen=True)
class RecoveredIts:
    """`order` holds the tokens asked about in the order of the secret permutation, `xi` (rows) the key. Both may be mirrored
    together (order reversed, xi as 1 - xi): the two describe the same sampler."""

    order: Ints
    xi: Floats = field(repr=False)
    random_offset: bool
    responses: int

    def forge(self, length: int, start: int = 0) -> Ints:
        """A text of evenly drawn tokens of `order`, drawn as the key would."""
        rows = (start + np.arange(length)) % len(self.xi)
        return np.asarray(self.order[np.minimum((self.xi[rows] * len(self.order)).astype(np.int64), len(self.order) - 1)])


class _Oracle:
    """Answers by row of the cycle, whether the offset is fixed or random."""

    def __init__(self, respond: Responder, pair: tuple[int, int], max_length: int) -> None:
        if not 4 <= max_length <= 2 * MAX_ROWS:
            raise AttackError(f"responses have 4 to {2 * MAX_ROWS} steps")
        self._respond, self._probe, self._max_length = respond, Question(*pair), max_length
        self.responses = 0
        whole = [self.ask([self._probe] * max_length) for _ in range(8)]
        self.random_offset = any(not np.array_equal(whole[0], other) for other in whole[1:])
        period = _period(whole[0])
        if period is None and self.random_offset:
            raise AttackError(f"no cycle shows within {max_length} steps: the key has more than {max_length // 2} rows")
        self.rows = period or max_length
        cycle = whole[0][: self.rows]
        self._bits = np.concatenate([cycle, cycle])
        if self.random_offset and any(self._locate(other[: self.rows]) is None for other in whole[1:]):
            raise AttackError("equal questions get unrelated answers: rows do not form one short cycle, or the model strays")

    def ask(self, questions: Sequence[Question]) -> npt.NDArray[np.bool_]:
        """One response: True where the first token of the question was written. Raises AttackError for anything else."""
        self.responses += 1
        if self.responses > MAX_RESPONSES:
            raise AttackError(f"recovery took more than {MAX_RESPONSES} responses")
        answers = list(self._respond(questions))
        if len(answers) != len(questions):
            raise AttackError(f"a response of {len(questions)} steps has {len(answers)} tokens")
        for question, answer in zip(questions, answers):
            if answer not in (question.first, question.second):
                raise AttackError("a response holds a token that was not asked for; the prompt does not hold the model")
        return np.array([answer == question.first for question, answer in zip(questions, answers)])

    def ask_rows(self, questions: Sequence[Question]) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Ask questions of as many successive rows, and say which rows they were. With a random offset the rows come as they
        fall: the response starts with a full cycle of the probe, which tells where it began."""
        if not self.random_offset:
            return np.arange(len(questions)) % self.rows, self.ask(questions)
        answers = self.ask([self._probe] * self.rows + list(questions))
        start = self._locate(answers[: self.rows])
        if start is None:
            raise AttackError("a response does not fit the cycle seen before; the model strays from its prompt")
        return (start + np.arange(len(questions))) % self.rows, answers[self.rows :]

    def _locate(self, bits: npt.NDArray[np.bool_]) -> int | None:
        for start in range(self.rows):
            if np.array_equal(self._bits[start : start + self.rows], bits):
                return start
        return None


def _period(bits: npt.NDArray[np.bool_]) -> int | None:
    """The shortest period of a sequence that holds at least two of them, None where there is none. Raises AttackError where
    the sequence is constant."""
    if bits.all() or not bits.any():
        raise AttackError("every row gives the probe pair the same answer; probe with another pair")
    for period in range(2, len(bits) // 2 + 1):
        if np.array_equal(bits[period:], bits[:-period]):
            return period
    return None


def recover_exp(
    respond: Responder, tokens: Sequence[int], max_length: int, responses: int | None = None, seed: int = 0
) -> RecoveredExp:
    """Rank the entries of `tokens` in every row. `max_length`: how long a response may be, at least twice the rows of the key
    where the offset is random. Without an offset M (M - 1) / 2 responses ask every pair; with one, `responses` (default: 4
    times as many) ask pairs drawn at random. Raises AttackError."""
    asked = _checked(tokens)
    oracle = _Oracle(respond, (int(asked[0]), int(asked[1])), max_length)
    pairs = list(combinations(range(len(asked)), 2))
    wins, games = np.zeros((2, oracle.rows, len(asked)))
    rng = np.random.default_rng(seed)
    count = len(pairs) if not oracle.random_offset else (responses or 4 * len(pairs))
    for turn in range(count):
        chosen = [turn] * oracle.rows if not oracle.random_offset else rng.integers(0, len(pairs), size=oracle.rows).tolist()
        rows, first_won = oracle.ask_rows([Question(int(asked[pairs[c][0]]), int(asked[pairs[c][1]])) for c in chosen])
        for row, won, c in zip(rows.tolist(), first_won.tolist(), chosen):
            a, b = pairs[c]
            wins[row, a if won else b] += 1
            games[row, [a, b]] += 1
    share = (wins + 0.5) / (games + 1)
    ranks = share.argsort(axis=1).argsort(axis=1) + 1
    return RecoveredExp(asked, ranks / (len(asked) + 1), oracle.random_offset, oracle.responses)


def recover_its(respond: Responder, tokens: Sequence[int], max_length: int, bits: int = 12, seed: int = 0) -> RecoveredIts:
    """Sort `tokens` by the secret permutation and find xi of every row to 2^-bits (with a random offset: to about 2^-bits on
    average, from 2^bits thresholds drawn at random). Raises AttackError."""
    asked = _checked(tokens)
    if type(bits) is not int or not 1 <= bits <= 16:
        raise AttackError("xi is found to 1 to 16 bits")
    oracle = _Oracle(respond, (int(asked[0]), int(asked[1])), max_length)
    rows, low = _by_row(oracle, asked[0], asked[1])
    # one row that put asked[0] first settles every other pair: its xi is taken to be below 1/2
    judge = int(rows[np.flatnonzero(low)[0]])

    def before(a: int, b: int) -> bool:
        found, first = _by_row(oracle, a, b)
        return bool(first[found == judge][0])

    order: list[int] = []
    for token in asked.tolist():
        left, right = 0, len(order)
        while left < right:
            middle = (left + right) // 2
            left, right = (middle + 1, right) if before(order[middle], token) else (left, middle)
        order.insert(left, token)
    lower, upper = np.zeros(oracle.rows), np.ones(oracle.rows)
    rng = np.random.default_rng(seed)
    for _ in range(1 << bits if oracle.random_offset else bits):
        levels = rng.random(oracle.rows) if oracle.random_offset else (lower + upper) / 2
        rows, below = oracle.ask_rows([Question(order[0], order[-1], float(level)) for level in levels])
        upper[rows[below]] = np.minimum(upper[rows[below]], levels[below])
        lower[rows[~below]] = np.maximum(lower[rows[~below]], levels[~below])
    return RecoveredIts(np.array(order), (lower + upper) / 2, oracle.random_offset, oracle.responses)


def _by_row(oracle: _Oracle, first: int, second: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    return oracle.ask_rows([Question(int(first), int(second))] * oracle.rows)


def _checked(tokens: Sequence[int]) -> Ints:
    asked = np.array(list(dict.fromkeys(tokens)), dtype=np.int64)
    if not 2 <= len(asked) <= MAX_TOKENS or len(asked) != len(tokens):
        raise AttackError(f"recovery asks about 2 to {MAX_TOKENS} different tokens")
    return asked
