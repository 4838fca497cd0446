"""Candidates after a prompt as a tree: what they share at their beginnings is one node. Plain Python, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

ROOT = -1


@dataclass
class Trie:
    """Nodes in an order in which parents come first. `parents` holds ROOT for the first tokens; depth 1 is a first token.

    `targets`: for every row that was added, the node after which each of its scored tokens stands (ROOT: after the root).
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    targets: list[list[tuple[int, int]]] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict, repr=False)

    def add(self, row: Sequence[int], first_scored: int = 0) -> None:
        """Add a row of tokens; those from index `first_scored` on are scored. The last one needs no node of its own."""
        node, scored = ROOT, []
        for index, token in enumerate(row):
            if index >= first_scored:
                scored.append((node, token))
            if index + 1 < len(row):
                node = self._child(node, token)
        self.targets.append(scored)

    def count_new(self, row: Sequence[int]) -> int:
        """How many nodes adding this row would add."""
        node: int | None = ROOT
        for index, token in enumerate(row[:-1]):
            node = self._children.get((node if node is not None else ROOT, token))
            if node is None:
                return len(row) - 1 - index
        return 0

    def ancestors(self) -> Iterator[list[int]]:
        """For every node, itself and the nodes above it."""
        above: list[list[int]] = []
        for node, parent in enumerate(self.parents):
            above.append([*(above[parent] if parent != ROOT else []), node])
            yield above[-1]

    def _child(self, node: int, token: int) -> int:
        found = self._children.get((node, token))
        if found is None:
            found = len(self.tokens)
            self._children[node, token] = found
            self.tokens.append(token)
            self.parents.append(node)
            self.depths.append(1 if node == ROOT else self.depths[node] + 1)
        return found


def split(rows: Sequence[Sequence[int]], max_nodes: int) -> Iterator[tuple[list[int], Trie]]:
    """Tries of at most `max_nodes` nodes (one row alone may have more), with the indices of their rows: sorted, so that rows
    which share a beginning come together."""
    indices: list[int] = []
    trie = Trie()
    for index in sorted(range(len(rows)), key=lambda i: tuple(rows[i])):
        if indices and len(trie.tokens) + trie.count_new(rows[index]) > max_nodes:
            yield indices, trie
            trie, indices = Trie(), []
        trie.add(rows[index])
        indices.append(index)
    if indices:
        yield indices, trie
