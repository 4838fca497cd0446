"""How much of a text lies word for word in another: longest common run of words, and shared n-grams, for many texts at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from privacy.errors import PlanError
from privacy.matching.folding import bare, fold
from privacy.statistics.scores import Floats

MAX_WORDS = 2_000_000
_WORD = re.compile(r"\w+|[^\w\s]")
_Words = Sequence[str]


def split_words(text: str) -> tuple[str, ...]:
    """Words and marks without case, accents and spacing: no tokenizer decides what counts as the same. Raises PlanError."""
    words = tuple(_WORD.findall(bare(fold(text).text)))
    if len(words) > MAX_WORDS:
        raise PlanError(f"a text of {len(words)} words is longer than {MAX_WORDS}")
    return words


class WrittenText:
    """Texts that may repeat others, indexed once: a suffix automaton (Blumer et al. 1985) and their n-grams."""

    def __init__(self, texts: Iterable[str], n: int) -> None:
        """Raises PlanError for n below 1, or more than MAX_WORDS words in all."""
        if n < 1:
            raise PlanError("n-grams have at least one word")
        self._n = n
        self._next: list[dict[str, int]] = [{}]
        self._link, self._length = [-1], [0]
        self._grams: set[tuple[str, ...]] = set()
        for text in texts:
            words = split_words(text)
            if len(self._next) + 2 * len(words) > 2 * MAX_WORDS:
                raise PlanError(f"more than {MAX_WORDS} words were written; take fewer or shorter samples")
            self._grams |= {words[i : i + n] for i in range(len(words) - n + 1)}
            last = 0
            for word in words:
                last = self._extend(last, word)

    def _extend(self, last: int, word: str) -> int:
        """One more word after state `last`; a text begins at state 0, so that no run goes from one text into the next."""
        if word in self._next[last]:
            target = self._next[last][word]
            return target if self._length[target] == self._length[last] + 1 else self._split(last, word, target)
        new = self._state(self._length[last] + 1, {}, 0)
        state = last
        while state != -1 and word not in self._next[state]:
            self._next[state][word] = new
            state = self._link[state]
        if state != -1:
            target = self._next[state][word]
            self._link[new] = target if self._length[target] == self._length[state] + 1 else self._split(state, word, target)
        return new

    def _split(self, state: int, word: str, target: int) -> int:
        clone = self._state(self._length[state] + 1, dict(self._next[target]), self._link[target])
        self._link[target] = clone
        while state != -1 and self._next[state].get(word) == target:
            self._next[state][word] = clone
            state = self._link[state]
        return clone

    def _state(self, length: int, following: dict[str, int], link: int) -> int:
        self._next.append(following)
        self._length.append(length)
        self._link.append(link)
        return len(self._next) - 1

    def longest_run(self, words: _Words) -> int:
        """The most words in a row that stand in one of the texts too."""
        state = run = best = 0
        for word in words:
            while state and word not in self._next[state]:
                state = self._link[state]
                run = self._length[state]
            if word in self._next[state]:
                state, run = self._next[state][word], run + 1
            best = max(best, run)
        return best

    def shared(self, words: _Words) -> float:
        """Share of the n-grams that stand in one of the texts; of a shorter text, 1 or 0 as a whole."""
        grams = [tuple(words[i : i + self._n]) for i in range(len(words) - self._n + 1)]
        if not grams:
            return float(bool(words) and self.longest_run(words) == len(words))
        return sum(gram in self._grams for gram in grams) / len(grams)

    def scores(self, texts: Sequence[str]) -> Floats:
        """2 x texts: longest runs, and shares of n-grams."""
        rows = [split_words(text) for text in texts]
        return np.array([[self.longest_run(row) for row in rows], [self.shared(row) for row in rows]], dtype=np.float64)
