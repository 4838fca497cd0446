"""How well a model answers a question of the forget or retain set: every metric between 0 and 1 but `log-probability`, larger =
more memory. Pure functions of what a model gave.

TOFU (arXiv 2401.06121, section 2.2.2) and ELUDe (arXiv 2406.12329, section 4) measure probability, ROUGE-L recall and truth
ratio; the rank among same-format answers and extraction strength (MUSE, arXiv 2407.06460) are added.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from privacy.errors import ScoreError
from privacy.statistics.scores import as_scores

PROBABILITY, LOG_PROBABILITY, TRUTH_RATIO, RANK = "probability", "log-probability", "truth-ratio", "rank"
ROUGE, ROUGE_GAIN, STRENGTH = "rouge-l", "rouge-l-gain", "extraction-strength"
METRICS = (PROBABILITY, LOG_PROBABILITY, TRUTH_RATIO, RANK, ROUGE, ROUGE_GAIN, STRENGTH)
BOUNDED = tuple(name for name in METRICS if name != LOG_PROBABILITY)
OF_LIKELIHOODS = (PROBABILITY, LOG_PROBABILITY, TRUTH_RATIO, RANK)
OF_ALTERNATIVES = (TRUTH_RATIO, RANK, ROUGE_GAIN)
OF_ANSWERS = (ROUGE, ROUGE_GAIN)
OF_TOKENS = (*OF_LIKELIHOODS, STRENGTH)
MAX_WORDS = 2000
_FLOOR = -1000.0
_WORD = re.compile(r"\w+")


def mean_log_probability(token_log_probs: Sequence[float]) -> float:
    """ln p(answer | question) divided by its number of tokens; an impossible token counts as -1000. Raises ScoreError."""
    if not token_log_probs or any(math.isnan(x) or x > 1e-3 for x in token_log_probs):
        raise ScoreError("an answer has at least one token, and log-probabilities that are numbers up to 0")
    return math.fsum(min(0.0, max(_FLOOR, x)) for x in token_log_probs) / len(token_log_probs)


def truth_ratio(answer: float, alternatives: Sequence[float]) -> float:
    """p / (p + mean of the alternatives' p), per-token likelihoods: 1/2 where the answer is as likely as a wrong one.

    TOFU's ratio R = mean(alternatives) / p is unbounded; this is 1 / (1 + R), monotone in it.
    """
    others = as_scores(alternatives, "alternatives")
    wrong = float(np.logaddexp.reduce(others)) - math.log(others.size)
    return 1 / (1 + math.exp(min(700.0, wrong - answer)))


def rank_share(answer: float, alternatives: Sequence[float]) -> float:
    """The share of alternatives below the answer: 1 where it ranks first. Ties count as above it."""
    others = as_scores(alternatives, "alternatives")
    return float((others < answer).mean())


def rouge_l_recall(answer: str, written: str) -> float:
    """The longest common subsequence of words, divided by the answer's number of words; case is ignored."""
    wanted, found = (_WORD.findall(text.casefold())[:MAX_WORDS] for text in (answer, written))
    if not wanted:
        raise ScoreError("an answer has at least one word")
    row = [0] * (len(wanted) + 1)
    for word in found:
        above = row.copy()
        for i, other in enumerate(wanted):
            row[i + 1] = above[i] + 1 if word == other else max(above[i + 1], row[i])
    return row[-1] / len(wanted)


def rouge_l_gain(answer: str, alternatives: Sequence[str], written: str) -> float:
    """(1 + recall of the answer - mean recall of the alternatives) / 2: 1/2 where what was written is as near to wrong answers.

    Values of one format share words (555 of an invented phone number), and a model that writes the format recalls these.
    """
    wrong = as_scores([rouge_l_recall(one, written) for one in alternatives], "recalls of alternatives")
    return (1 + rouge_l_recall(answer, written) - float(wrong.mean())) / 2


def greedy_matches(best: Sequence[int], answer: Sequence[int]) -> list[bool]:
    """Whether greedy decoding after the first i tokens of the answer produces the rest, for every i.

    `best[i]` is the likeliest token after the question and i tokens of the answer.
    """
    if len(best) != len(answer) or not answer:
        raise ScoreError("extraction strength needs the likeliest token at every place of the answer")
    out, goes_on = [], True
    for mine, true in zip(reversed(best), reversed(answer)):
        goes_on = goes_on and mine == true
        out.append(goes_on)
    return out[::-1]
