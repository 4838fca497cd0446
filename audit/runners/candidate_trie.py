"""Candidates after a prompt as a tree: what they share at their beginnings is one node. Arrays of numpy, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
ROOT = -1
_END = -1
"""After the last token of a row: below every token, so that a row stands right before those that it begins."""


@dataclass(frozen=True)
class Trie:
    """Nodes in an order in which parents come first; `depths` is 1 for a first token. The last token of a row needs no node.

    What is scored stands in one list, row after row as the rows were given: `scored_after` is the node after which a token stands
    (ROOT: after the root), `scored_tokens` the token, `lengths` how many of them each row has.
    """

    tokens: Ints
    depths: Ints
    scored_after: Ints
    scored_tokens: Ints
    lengths: Ints
    _paths: Ints
    """nodes x depth: the nodes from the root to each node, ROOT below it."""

    @property
    def size(self) -> int:
        return len(self.tokens)

    @classmethod
    def build(cls, rows: Sequence[Sequence[int]], first_scored: Sequence[int] | None = None) -> Trie:
        """The tree of these rows, none empty. `first_scored`: from which index on the tokens of each are scored (None: all)."""
        table = _Table.read(rows, first_scored)
        return table.build(0, len(rows), order_as_given=True)

    def ancestors(self) -> tuple[Ints, Ints]:
        """Pairs (node, node on the way to it), each with itself too."""
        nodes, depths = np.nonzero(self._paths != ROOT)
        return nodes, self._paths[nodes, depths]


def split(rows: Sequence[Sequence[int]], max_nodes: int) -> Iterator[tuple[Ints, Trie]]:
    """Trees of at most `max_nodes` nodes (one row alone may have more), with the indices of their rows: sorted, so that rows
    which share a beginning come together."""
    if not rows:
        return
    table = _Table.read(rows, None)
    # How many nodes the rows up to each one have, if no tree ended between them.
    total = np.concatenate([[0], np.cumsum(table.new().sum(axis=1))])
    first = 0
    while first < len(rows):
        alone = int(table.lengths[first]) - 1
        # Nodes of rows first..last-1 in a tree of their own: `alone` for the first, what is new for the others.
        last = int(np.searchsorted(total, max_nodes - alone + total[first + 1], side="right")) - 1
        last = max(first + 1, min(last, len(rows)))
        yield table.order[first:last], table.build(first, last)
        first = last


@dataclass(frozen=True)
class _Table:
    """Rows in order, filled up with _END: those with a common beginning stand together, shorter ones first."""

    cells: Ints
    lengths: Ints
    first_scored: Ints
    order: Ints

    @classmethod
    def read(cls, rows: Sequence[Sequence[int]], first_scored: Sequence[int] | None) -> _Table:
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        cells = np.full((len(rows), int(lengths.max(initial=1))), _END, np.int64)
        cells[np.arange(cells.shape[1]) < lengths[:, None]] = np.fromiter(
            (t for row in rows for t in row), np.int64, int(lengths.sum())
        )
        order = np.lexsort(cells.T[::-1])
        starts = np.zeros(len(rows), np.int64) if first_scored is None else np.asarray(first_scored, np.int64)
        return cls(cells[order], lengths[order], starts[order], order)

    def new(self, first: int = 0, last: int | None = None) -> NDArray[np.bool_]:
        """rows x depth: whether the node of this token is not yet there from the rows before it (from `first` on)."""
        cells, lengths = self.cells[first:last], self.lengths[first:last]
        depths = np.arange(cells.shape[1])
        shared = np.logical_and.accumulate(cells[1:] == cells[:-1], axis=1)
        there = np.zeros(cells.shape, np.bool_)
        # The row before has a node for each of its tokens but the last.
        there[1:] = shared & (depths < lengths[:-1, None] - 1)
        return ~there & (depths < lengths[:, None] - 1)

    def build(self, first: int, last: int, order_as_given: bool = False) -> Trie:
        """The tree of the rows first..last-1 of this table."""
        cells, new = self.cells[first:last], self.new(first, last)
        rows, depths = np.nonzero(new)
        own = np.full(cells.shape, ROOT)
        own[rows, depths] = np.arange(len(rows))
        # The node of a token is the newest at its depth, for rows with a common beginning stand together.
        nodes = np.maximum.accumulate(own, axis=0)
        paths = np.where(np.arange(cells.shape[1]) <= depths[:, None], nodes[rows], ROOT)
        before = np.concatenate([np.full((len(cells), 1), ROOT), nodes[:, :-1]], axis=1)
        if order_as_given:
            back = np.argsort(self.order[first:last])
            cells, before = cells[back], before[back]
            starts, ends = self.first_scored[first:last][back], self.lengths[first:last][back]
        else:
            starts, ends = self.first_scored[first:last], self.lengths[first:last]
        columns = np.arange(cells.shape[1])
        scored = (columns >= starts[:, None]) & (columns < ends[:, None])
        return Trie(self.cells[first:last][rows, depths], depths + 1, before[scored], cells[scored], ends - starts, paths)


def mask_of(trie: Trie, before: int) -> Any:
    """nodes x (before + nodes): what each node sees, the `before` tokens in front and the nodes on its way."""
    seen = np.zeros((trie.size, before + trie.size), np.bool_)
    seen[:, :before] = True
    nodes, above = trie.ancestors()
    seen[nodes, before + above] = True
    return seen
