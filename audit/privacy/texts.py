"""Audits of texts that their owner may have read: private records as the science takes them, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence

from audit.errors import RequestError
from audit.privacy.records import Records
from audit.registry import Check, Verdict
from privacy.membership.records import Record, Role
from privacy.statistics.validity import Word

AUTHORITY = (
    "the records are those of whoever owns the model's registration, who answers for the right to have them read and for what is"
    " said of them: which were trained on, and which were not; no data subject was asked"
)


def as_records(records: Records, needed: Sequence[Role], optional: Sequence[Role]) -> list[Record]:
    """Texts with the role of their group; ids are the group and the place in it. Raises RequestError."""
    groups = records.take(*(role.value for role in needed), optional=[role.value for role in optional])
    found = []
    for name, texts in groups.items():
        for number, text in enumerate(texts, 1):
            if not isinstance(text, str):
                raise RequestError(f"record {number} of the group {name} must be a text")
            found.append(Record(f"{name}-{number}", text, Role(name)))
    return found


def judge_word(id_: str, claim: str, words: Sequence[Word], doubt: str = "") -> tuple[Verdict, Check]:
    """Verdict and check of the claim that nothing is memorised: refuted by one `memorised`, shown if all are `not detected` and
    there is no `doubt` that memory would have been seen."""
    counts = ", ".join(f"{words.count(word)} {word.value}" for word in Word if word in words) or "nothing was judged"
    detail = f"claimed that {claim}: {counts}"
    if Word.MEMORISED in words:
        return "refuted", Check(id_, False, detail)
    detail = f"{detail}; {doubt}" if doubt else detail
    if words and not doubt and all(word is Word.NOT_DETECTED for word in words):
        return "holds", Check(id_, True, detail)
    return "inconclusive", Check(id_, None, detail)
