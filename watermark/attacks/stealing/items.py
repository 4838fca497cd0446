"""What an attacker on fixed green lists counts: items, a token together with the list that holds where it stands.

With one list an item is a token. With several lists chosen by the previous token (Unigram with `num_keys`), or by text
(the three keys of arXiv 2405.19677), item k V + t is token t under list k; one programme or count then finds all lists at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.zipf import Bools, Ints
from watermark.errors import AttackError

MAX_ITEMS = 1 << 24


@dataclass(frozen=True)
class ListClasses:
    """How many lists there are and which one holds at a position: the previous token modulo `count`.

    The number of lists and this rule are taken to be known to the attacker, the lists are not.
    """

    count: int = 1

    def __post_init__(self) -> None:
        if type(self.count) is not int or not 1 <= self.count <= 4096:
            raise AttackError("the number of green lists is an integer from 1 to 4096")

    @property
    def context_width(self) -> int:
        return 0 if self.count == 1 else 1

    def of(self, contexts: Ints) -> Ints:
        """The list of each context (n, width); width may be 0 where there is one list."""
        if self.count == 1:
            return np.zeros(len(contexts), dtype=np.int64)
        return np.asarray(contexts[:, -1] % self.count)

    def items(self, text: Tokens, vocab_size: int) -> Ints:
        """The items of a text, one for every position with a list (all but the first where there are several)."""
        if self.count == 1:
            return text
        return np.asarray((text[:-1] % self.count) * vocab_size + text[1:])


@dataclass(frozen=True)
class ItemTexts:
    """Two collections of texts as items, each item once a text: the detector too counts a colour once, however often it is seen.

    `marked` and `natural` hold one array of distinct items a text; `num_items` is lists times vocabulary.
    """

    marked: tuple[Ints, ...] = field(repr=False)
    natural: tuple[Ints, ...] = field(repr=False)
    num_items: int

    @classmethod
    def of(cls, marked: Sequence[Tokens], natural: Sequence[Tokens], vocab_size: int, classes: ListClasses) -> ItemTexts:
        """Raises AttackError for empty collections, token ids outside the vocabulary, or too many items."""
        return cls.by(marked, natural, vocab_size, classes.count, lambda text, _: classes.items(text, vocab_size))

    @classmethod
    def by(
        cls,
        marked: Sequence[Tokens],
        natural: Sequence[Tokens],
        vocab_size: int,
        num_lists: int,
        items: Callable[[Tokens, int], Ints],
    ) -> ItemTexts:
        """`items(text, index)` gives the items of a text, indexed through `marked` and then through `natural`."""
        if not len(marked) or not len(natural):
            raise AttackError("stealing wants marked and natural texts; one of the two collections is empty")
        if vocab_size < 2 or num_lists * vocab_size > MAX_ITEMS:
            raise AttackError(f"{num_lists} lists over {vocab_size} tokens are outside 2 .. {MAX_ITEMS} items")
        for text in (*marked, *natural):
            if len(text) and (int(text.min()) < 0 or int(text.max()) >= vocab_size):
                raise AttackError(f"a text holds token ids outside the vocabulary of {vocab_size}")
        distinct = [np.unique(items(text, index)) for index, text in enumerate((*marked, *natural))]
        return cls(tuple(distinct[: len(marked)]), tuple(distinct[len(marked) :]), num_lists * vocab_size)

    def counts(self) -> tuple[Ints, Ints]:
        """In how many marked and in how many natural texts each item stands."""
        marked, natural = (np.bincount(np.concatenate(texts), minlength=self.num_items) for texts in (self.marked, self.natural))
        return marked, natural

    def lengths(self) -> tuple[Ints, Ints]:
        """Distinct items of every text."""
        marked, natural = (np.array([len(text) for text in texts], dtype=np.int64) for texts in (self.marked, self.natural))
        return marked, natural

    def matrices(self, columns: Ints) -> tuple[Any, Any]:
        """Incidence of texts (rows) and the given items (columns, ascending) as SciPy CSR matrices of ones."""
        return _incidence(self.marked, columns, self.num_items), _incidence(self.natural, columns, self.num_items)


def _incidence(texts: Sequence[Ints], columns: Ints, num_items: int) -> Any:
    from scipy import sparse

    where = np.full(num_items, -1, dtype=np.int64)
    where[columns] = np.arange(len(columns))
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    found = where[np.concatenate(texts)]
    kept = found >= 0
    shape = (len(texts), len(columns))
    return sparse.csr_matrix((np.ones(int(kept.sum())), (rows[kept], found[kept])), shape=shape)


@dataclass(frozen=True)
class StolenLists:
    """Green lists as an attack believes them to be: `masks` (lists, vocab_size), True where a token is called green.

    `estimated_precision` is the attack's own estimate, where it has one; `details` say how it went (times, gaps), in JSON values.
    """

    name: str
    masks: Bools = field(repr=False)
    estimated_precision: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> ListClasses:
        return ListClasses(len(self.masks))

    @property
    def context_width(self) -> int:
        return self.classes.context_width

    def boosts(self, contexts: Sequence[Tokens]) -> npt.NDArray[np.float32]:
        """1 for called, 0 for other tokens, (n, vocab_size), after each context."""
        if len(self.masks) == 1:
            return np.repeat(self.masks.astype(np.float32), len(contexts), axis=0)
        last = np.array([context[-1] if len(context) else 0 for context in contexts], dtype=np.int64)
        return self.masks[last % len(self.masks)].astype(np.float32)

    def boost_of(self, context: Tokens, tokens: Ints) -> npt.NDArray[np.float32]:
        """The boost of some tokens after one context."""
        which = int(context[-1]) % len(self.masks) if len(context) else 0
        return self.masks[which, tokens].astype(np.float32)

    def calls(self, contexts: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """Every called item once, as (row of `contexts`, token), each with a context drawn among those of its list."""
        rows, tokens = [], []
        lists = self.classes.of(contexts)
        for which, mask in enumerate(self.masks):
            called, able = np.flatnonzero(mask), np.flatnonzero(lists == which)
            if len(able):
                tokens.append(called)
                rows.append(able[rng.integers(0, len(able), size=len(called))])
        empty = np.zeros(0, dtype=np.int64)
        return np.concatenate([empty, *rows]), np.concatenate([empty, *tokens])
