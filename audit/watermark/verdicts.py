"""From the transcripts of several documents to decisions that hold for all of them, and to the verdict on a claim.

The documents are one family of tests: p-values are adjusted by Holm, so that with probability 1 - alpha or more no unmarked
document among them is called watermarked. Documents that could not be tested count as tests all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from audit.registry import Check, Verdict
from audit.watermark.transcripts import Transcript

CLAIMS = ("watermarked", "unmarked")
# Slack for a p-value of exactly alpha, whose logarithm went through another base.
_SLACK = 1e-9


def adjust(values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted log10 p-values, in the given order, rounded to nine digits. None stays None and counts as a test."""
    order = sorted((value, index) for index, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    worst = -math.inf
    for rank, (value, index) in enumerate(order):
        worst = max(worst, value + math.log10(len(values) - rank))
        adjusted[index] = float(f"{min(0.0, worst):.9g}")
    return adjusted


def decide(transcripts: Sequence[Transcript], alpha: float) -> tuple[list[str], list[float | None]]:
    """The decision on each document, and the adjusted log10 p-values it rests on.

    `watermarked`: adjusted p <= alpha on enough tokens. `not_detected`: p > alpha even unadjusted, on a text so long XX"""
    adjusted = adjust([transcript.log10_p for transcript in transcripts])
    level = math.log10(alpha) + _SLACK
    decisions = []
    for transcript, value in zip(transcripts, adjusted):
        if not transcript.scorable or value is None or transcript.log10_p is None:
            decisions.append("inconclusive")
        elif value <= level:
            decisions.append("watermarked")
        else:
            unmarked = transcript.log10_p > level >= transcript.least_log10_p and transcript.clear_length
            decisions.append("not_detected" if unmarked else "inconclusive")
    return decisions, adjusted


def judge(claim: str | None, decisions: Sequence[str]) -> tuple[Verdict, Check]:
    """The verdict on a claim about all documents. Without a claim it is `inconclusive`, whatever was found: nothing was asserted,
    and nobody shall read `holds` as "marked"."""
    total = len(decisions)
    counts = {word: decisions.count(word) for word in ("watermarked", "not_detected", "inconclusive")}
    found = f"{counts['watermarked']} watermarked, {counts['not_detected']} not detected, {counts['inconclusive']} inconclusive"
    if claim is None:
        return "inconclusive", Check("3 claim", None, f"nothing was claimed; of {total} documents {found}")
    wanted, against = ("watermarked", "not_detected") if claim == "watermarked" else ("not_detected", "watermarked")
    said = f"claimed {claim}; of {total} documents {found}"
    if counts[against]:
        return "refuted", Check("3 claim", False, said)
    if counts[wanted] == total:
        return "holds", Check("3 claim", True, said)
    return "inconclusive", Check("3 claim", None, said)
