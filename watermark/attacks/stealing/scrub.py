"""Scrubbing: tokens called green are replaced by others that are not, so that a marked text is no longer detected.

As in arXiv 2405.19677 (wm_wiper): left to right, each called token gives way to its first alternative that is not called. What an
alternative is, a synonym or what a model would write there, is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from watermark.attacks.protocol import Tokens, check_rate
from watermark.attacks.stealing.ngram_learning import CALLED
from watermark.attacks.stealing.protocol import Alternatives, Stolen


@dataclass(frozen=True)
class Scrubbed:
    """The new text and how many of its tokens were replaced."""

    tokens: Tokens
    edits: int


def scrub(text: Tokens, stolen: Stolen, alternatives: Alternatives, max_rate: float = 1.0) -> Scrubbed:
    """Replace at most `max_rate` of the tokens, those with the largest boosts. A called token without an alternative that is
    not called stays. Boosts are taken after the text as rewritten so far. Raises AttackError."""
    budget = int(check_rate(max_rate) * len(text))
    boosts = np.array([stolen.boost_of(text[:at], text[at : at + 1])[0] for at in range(len(text))])
    called = np.flatnonzero(boosts >= CALLED)
    chosen = np.sort(called[np.argsort(-boosts[called], kind="stable")][:budget])
    new, edits = text.copy(), 0
    for at, options in zip(chosen.tolist(), alternatives(text, chosen.tolist())):
        both = np.append(new[at], options)
        values = stolen.boost_of(new[:at], both)
        free = np.flatnonzero(values[1:] < CALLED)
        if values[0] >= CALLED and len(free):
            new[at] = options[free[0]]
            edits += 1
    return Scrubbed(new, edits)


def scrub_blindly(text: Tokens, edits: int, alternatives: Alternatives, rng: np.random.Generator) -> Tokens:
    """The control: as many tokens, drawn at random, give way to their first alternative. What scrubbing gains over this is owed
    to what was stolen."""
    chosen = np.sort(rng.permutation(len(text))[:edits])
    new = text.copy()
    for at, options in zip(chosen.tolist(), alternatives(text, chosen.tolist())):
        if len(options):
            new[at] = options[0]
    return new
