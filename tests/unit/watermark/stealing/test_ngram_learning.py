"""N-gram learning against a dictionary written as the source's, and what it calls green."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from tests.unit.watermark.stealing.worlds import VOCABULARY, world
from watermark.attacks.stealing.ngram_learning import CALLED, ContextCounts, NgramSettings, learn_ngrams
from watermark.attacks.stealing.truth import draw_contexts, score_calls
from watermark.errors import AttackError


def brute_counts(texts, width):
    found: dict[tuple[int, ...], Counter[int]] = {}
    for text in texts:
        for at in range(width, len(text)):
            for size in range(width + 1):
                for chosen in combinations(text[at - width : at].tolist(), size):
                    found.setdefault(tuple(sorted(chosen)), Counter())[int(text[at])] += 1
    return found


@pytest.mark.parametrize("width", [0, 1, 3])
def test_counts_equal_a_dictionary(width: int):
    rng = np.random.default_rng(width)
    texts = [rng.integers(0, 6, size=40) for _ in range(5)]
    counts = ContextCounts(texts, width)
    expected = brute_counts(texts, width)
    for subset, after in expected.items():
        tokens, times = counts.get(subset)
        assert dict(zip(tokens.tolist(), times.tolist())) == after
    assert len(counts.get((99,) * width)[0]) == (6 if width == 0 else 0)


def brute_ratios(marked: Counter[int], natural: Counter[int], least: int, clip: float) -> dict[int, float]:
    """The source's get_boosts, token by token."""
    total, base = sum(marked.values()) + 1e-6, sum(natural.values()) + 1e-6
    ratios = {t: (c / total) / (natural[t] / base) for t, c in marked.items() if c >= least and natural[t]}
    top = max(1, max(ratios.values(), default=0)) + 1e-3
    ratios |= {t: top for t, c in marked.items() if c >= least and not natural[t]}
    kept = {t: min(r, clip) / clip for t, r in ratios.items() if r >= 1}
    most = max((marked[t] for t in kept), default=1)
    kept = {t: r + 1e-4 * marked[t] / most for t, r in kept.items()}
    return {t: r / max(kept.values()) for t, r in kept.items()}


def test_boosts_equal_the_sources_formula():
    rng = np.random.default_rng(9)
    marked, natural = ([rng.integers(0, 8, size=60) for _ in range(6)] for _ in range(2))
    learned = learn_ngrams(marked, natural, 8, 1)
    counts = [brute_counts(texts, 1) for texts in (marked, natural)]
    settings = NgramSettings()
    empty = brute_ratios(counts[0][()], counts[1][()], 1, 2.0)
    for token in range(8):
        alone = brute_ratios(counts[0][(token,)], counts[1].get((token,), Counter()), 2, 2.0)
        expected = [
            ((settings.whole + settings.partial) * alone.get(t, 0) + settings.empty * empty.get(t, 0)) / 3.5 for t in range(8)
        ]
        context = np.array([5, token])
        assert learned.boosts([context])[0] == pytest.approx(expected, abs=1e-4)
        assert learned.boost_of(context, np.arange(8)) == pytest.approx(expected, abs=1e-4)


def test_short_contexts_get_no_boost():
    made = world("selfhash", texts=60, length=60)
    learned = learn_ngrams(made.marked, made.natural, VOCABULARY, 3)
    assert learned.boosts([np.array([1, 2])]).sum() == 0
    assert learned.boost_of(np.array([], dtype=np.int64), np.array([1, 2])).sum() == 0


@pytest.mark.parametrize("kind,width,least", [("lefthash", 1, 0.6), ("unigram", 0, 0.85)])
def test_calls_are_mostly_green(kind: str, width: int, least: float):
    made = world(kind)
    learned = learn_ngrams(made.marked, made.natural, VOCABULARY, width)
    contexts = draw_contexts(made.natural, made.rule.context_width, 60, np.random.default_rng(1))
    tokens, correct = score_calls(learned, made.rule, contexts, np.random.default_rng(2))
    assert len(tokens) > 100
    assert correct.mean() > least
    rows, again = learned.calls(contexts[:1], np.random.default_rng(2))
    assert (learned.boost_of(contexts[0], again) >= CALLED).all() and set(rows.tolist()) == {0}


def test_refusals():
    with pytest.raises(AttackError, match="0 to 5"):
        ContextCounts([np.arange(10)], 6)
    with pytest.raises(AttackError, match="more than 3 tokens"):
        ContextCounts([np.arange(3)], 3)
