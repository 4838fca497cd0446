"""The conditions of a certificate in sentences, made from its numbers: they cannot be dropped or softened without being found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conformal.documents import float_text
from conformal.promise import GroupThreshold, Promise


def write_conditions(
    promise: Promise, thresholds: Sequence[GroupThreshold], components: Mapping[str, str | None], fitted_on: str | None
) -> list[str]:
    """What is promised, on which conditions, and what is not."""
    sentences = [_promised(promise), _scope(components), _ties(promise), *_abstentions(promise, thresholds)]
    if promise.closed:
        sentences.append("A claim is kept only together with every premise it rests on.")
    if fitted_on is None:
        sentences.append("The issuer states that no part of the score was fitted on the calibration outputs.")
    else:
        sentences.append("The score was fitted on other outputs, whose ledger digest is given; none of them calibrates.")
    sentences += [
        "The labels of the calibration outputs are taken as true; how far relabelling one output moves the threshold is given.",
        "Rates on the calibration outputs and leave-one-out figures are arithmetic, not evidence.",
        "Nothing is promised about text merged from the kept claims, about omissions, about groups that are not listed, or about"
        " a level chosen after results were seen.",
    ]
    return sentences


def _promised(promise: Promise) -> str:
    where = "on a fresh output of every listed group, taken by itself," if promise.by_group else "on a fresh output"
    held = f"the statement {promise.loss.name} holds of the claims kept {where} with probability at least 1 - {promise.alpha}"
    if promise.delta is None:
        return f"If outputs are exchangeable, {held}, over the draw of the calibration outputs and of the output."
    return f"With probability at least 1 - {promise.delta} over the draw of independent calibration outputs, {held}."


def _scope(components: Mapping[str, str | None]) -> str:
    missing = sorted(name for name, value in components.items() if value is None)
    text = "It holds for the model, prompt, splitter, scorer and labeller whose digests are given, and for no others"
    return f"{text}; not given, so that a change of it cannot be seen: {', '.join(missing)}." if missing else f"{text}."


def _ties(promise: Promise) -> str:
    if promise.comparator == ">":
        return "Only claims with a score above the threshold are kept; ties can only raise the true coverage."
    return "Claims with a score at the threshold are kept; the scores must be free of ties, as those of the calibration are."


def _abstentions(promise: Promise, thresholds: Sequence[GroupThreshold]) -> list[str]:
    sentences = []
    for found in thresholds:
        who = "every output" if found.group is None else f"every output of the group {found.group!r}"
        if found.abstains:
            sentences.append(
                f"It abstains on {who}: {found.n} calibration outputs are too few (level {promise.alpha}, at least"
                f" {promise.minimum_n} demanded, least level {found.minimum_alpha})."
            )
        elif float_text(found.value) == "-Infinity":
            sentences.append(f"It keeps every claim of {who}: the level is met without filtering.")
    return sentences
