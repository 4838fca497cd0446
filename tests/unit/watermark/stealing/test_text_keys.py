"""One key a text, and which is unknown: texts are sorted by key, and each key's list is stolen."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from watermark.attacks.stealing.signed_counts import steal_by_counts
from watermark.attacks.stealing.text_keys import cluster_texts, steal_per_key
from watermark.attacks.stealing.zipf import FixedLists, ZipfModel
from watermark.errors import AttackError

VOCABULARY = 1000


def three_keys(texts: int = 400):
    rng = np.random.default_rng(4)
    masks = np.stack([rng.permutation(VOCABULARY) < VOCABULARY // 4 for _ in range(3)])
    model = ZipfModel(vocab_size=VOCABULARY)
    groups = [model.marked(texts // 4 + 20 * k, 100, rng, FixedLists(masks[[k]]), 2.0) for k in range(3)]
    keys = np.repeat(np.arange(3), [len(group) for group in groups])
    order = rng.permutation(len(keys))
    marked = [text for group in groups for text in group]
    return masks, keys[order], [marked[i] for i in order], model.natural(texts, 100, rng)


def test_texts_are_sorted_by_key_and_lists_found():
    masks, keys, marked, natural = three_keys()
    found = steal_per_key(marked, natural, VOCABULARY, 3, lambda some, plain: steal_by_counts(some, plain, VOCABULARY))
    best = max(permutations(range(3)), key=lambda names: float((np.array(names)[found.assignment] == keys).mean()))
    assert (np.array(best)[found.assignment] == keys).mean() > 0.97
    for index, stolen in enumerate(found.lists):
        assert masks[best[index]][stolen.masks[0]].mean() > 0.85
    assert found.best_for(marked[0]) is found.lists[list(best).index(int(keys[0]))]


def test_one_key_is_one_group():
    assert cluster_texts([np.array([1]), np.array([2])], 10, 1).tolist() == [0, 0]


def test_refusals():
    text = [np.array([1, 2])]
    with pytest.raises(AttackError, match="cannot fall into 3"):
        cluster_texts(text, 10, 3)
    with pytest.raises(AttackError, match="1 to 64 keys"):
        steal_per_key(text, text, 10, 0, lambda some, plain: steal_by_counts(some, plain, 10))
    with pytest.raises(AttackError, match="do not fall into 2 groups"):
        steal_per_key(text * 4, text, 10, 2, lambda some, plain: steal_by_counts(some, plain, 10))
