"""Stealing green lists by integer programming, on HiGHS.

Source: arXiv 2405.19677 (ACSAC 2024), plll4zzx/mip_watermark_stealing at 1f43c9f. One colour variable an item. Every text that
the detector calls marked has at least as many green items as its rule asks for, every other one at most so many; among all
lists that fit, the attack takes the cheapest, an item's cost being its rate in natural texts over its rate in marked ones.
Settings, by what the attacker knows:

vanilla-as1  the detector's verdicts, its rule and gamma: bounds are the counts at which the rule decides
oracle-as1   the detector's green counts too: each text is bounded by its own count
pro-as1      as vanilla, in two stages: first the bounds themselves are pushed apart (maximise the mean green count of marked
             texts minus the mean excess over gamma of natural ones), then the cheapest lists near that optimum
as2          no detector at all: both stages on mean counts, with flags that drop a share of the texts if `flags` is set

Deviations from the source: items count once a text (as they do in Assay's detector); bounds are elastic at a price of
ELASTIC a unit, so that mislabelled texts never make the programme infeasible; colours are relaxed to [0, 1] and rounded at
1/2 unless `integral` (the source solves binaries to an absolute gap of 2,000 tokens, which its relaxation meets); where flags
are all up, sentence bounds are eliminated by hand, which leaves the optimum unchanged.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence

import numpy as np

from watermark.attacks.protocol import Tokens
from watermark.attacks.stealing.colour_programme import ColourProgramme
from watermark.attacks.stealing.items import ItemTexts, ListClasses, StolenLists
from watermark.attacks.stealing.program_settings import Answers, ProgramSettings
from watermark.errors import AttackError

MAX_TEXTS = 200_000
_CALLED = 0.5


def steal_by_program(
    marked: Sequence[Tokens],
    natural: Sequence[Tokens],
    vocab_size: int,
    settings: ProgramSettings | None = None,
    classes: ListClasses | None = None,
    answers: Answers | None = None,
) -> StolenLists:
    """The lists the programme finds. Without `answers` (the detector's) every text is taken for what its source says.

    `details` hold the solver's status, relative gap, seconds and violated bounds. Raises AttackError, also where HiGHS (SciPy)
    is missing or found nothing within the time limit.
    """
    classes = classes or ListClasses()
    return solve_items(ItemTexts.of(marked, natural, vocab_size, classes), classes.count, settings, answers)


def solve_items(
    texts: ItemTexts, num_lists: int, settings: ProgramSettings | None = None, answers: Answers | None = None
) -> StolenLists:
    """`steal_by_program` on texts that are items already."""
    settings = (settings or ProgramSettings()).checked()
    if max(len(texts.marked), len(texts.natural)) > MAX_TEXTS:
        raise AttackError(f"an integer programme takes at most {MAX_TEXTS} texts of each kind")
    if importlib.util.find_spec("scipy") is None:
        raise AttackError("integer programming needs SciPy; install the group `prove`")
    start = time.perf_counter()
    problem = ColourProgramme(texts, num_lists, settings, answers)
    solve = {"vanilla-as1": problem.vanilla, "oracle-as1": problem.oracle, "pro-as1": problem.pro, "as2": problem.blind}
    colours = solve[settings.setting]()
    mask = np.zeros(texts.num_items, dtype=bool)
    mask[problem.columns[colours >= _CALLED]] = True
    details = {**problem.log, "variables": len(problem.columns), "seconds": time.perf_counter() - start}
    details["fractional"] = int(((colours > 1e-6) & (colours < 1 - 1e-6)).sum())
    return StolenLists(f"mip-{settings.setting}", mask.reshape(num_lists, -1), None, details)
