"""Several sampled answers become one paragraph whose confidences are their frequencies (arXiv 2404.00474, section 4.1).

The paper asks Claude 2.0 to merge sampled paragraphs; here short answers are merged by rule, so that the stated confidence is
the frequency exactly, and so that no second model is needed. Standard library only.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from conformal.linguistic.training.questions import MAX_ANSWER_CHARACTERS, normal_form

NO_ANSWER = "I do not know the answer."
# A full stop after a word of three letters or more ("St. Gallen" goes on), or the words that state a confidence.
_END = re.compile(r"(?<=\w\w\w)\. |,? with (?=\d)|, with\b")
LEAD_IN = "The answer is "
_FIRST = LEAD_IN + "{answer}, with {percent}% confidence."
_OTHER = "It could be {answer}, with {percent}% confidence."


def first_answer(completion: str) -> str:
    """The short answer that opens a completion: its first line, less the lead-in, up to a stated confidence or the first full
    stop that ends a word. May be empty."""
    line = completion.strip().split("\n", 1)[0][: 4 * MAX_ANSWER_CHARACTERS].removeprefix(LEAD_IN)
    cut = _END.split(line, maxsplit=1)[0].strip().rstrip(".!;,").strip()
    return cut if len(cut) <= MAX_ANSWER_CHARACTERS else ""


def frequencies(answers: Sequence[str]) -> list[tuple[str, float]]:
    """Distinct answers with their share of all samples, most frequent first, ties by first appearance; spelled as first seen.

    Empty answers keep their share of the total and are not listed: mass the samples left unnamed.
    """
    spelling: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for answer in answers:
        form = normal_form(answer)
        if form:
            spelling.setdefault(form, answer.strip())
            counts[form] += 1
    return [(spelling[form], count / len(answers)) for form, count in counts.most_common()]


def paragraph(stated: Sequence[tuple[str, float]]) -> str:
    """One sentence an answer. Probabilities are stated in whole per cent; one that rounds to 0 is not stated."""
    sentences: list[str] = []
    for answer, probability in stated:
        percent = round(100 * probability)
        if percent > 0:
            sentences.append((_OTHER if sentences else _FIRST).format(answer=answer, percent=percent))
    return " ".join(sentences) or NO_ANSWER


def merge(answers: Sequence[str], most: int = 3) -> str:
    """The paragraph of a set of samples; at most `most` answers are named, the rest of the mass stays unnamed."""
    return paragraph(frequencies(answers)[:most])
