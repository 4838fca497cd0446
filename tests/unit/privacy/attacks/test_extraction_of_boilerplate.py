"""Records that any good model foretells, beside controls that none does: extracted, not remembered."""

from __future__ import annotations

import random

from privacy.membership.records import Record, Role
from privacy.probes.extraction import run_extraction
from privacy.probes.extraction_plan import ExtractionPlan
from privacy.redaction import Redactor
from privacy.statistics.validity import Word
from tests.unit.privacy.fake_model import FakeModel

LICENCE = "permission is hereby granted, free of charge, to any person obtaining a copy of this text and so on"


def records(alike: bool) -> list[Record]:
    rng = random.Random(1)
    letters = ["".join(rng.choice("abcdefghijklmnop ") for _ in range(90)) for _ in range(90)]
    licences = [f"{letters[60 + number][:10]} {LICENCE}" for number in range(30)]
    own = letters[60:] if alike else licences
    return [Record(f"m{i}", text, Role.MEMBER) for i, text in enumerate(own)] + [
        Record(f"c{i}", text, Role.NON_MEMBER) for i, text in enumerate(letters[:60])
    ]


def test_boilerplate_is_no_memory_of_private_records() -> None:
    """A model that foretells licences, a reference that does not: no control is extracted, every record is."""
    plan = ExtractionPlan(prefix_tokens=30, suffix_tokens=12, strength=False)
    for alike, word in ((False, Word.NO_VERDICT), (True, Word.MEMORISED)):
        given = records(alike)
        model = FakeModel(1)
        for one in given[:30]:
            model.plant_text(one.text, 0.98)
        found = run_extraction(plan, given, model, FakeModel(2, name="reference"), commit=Redactor(b"k" * 32).commit)
        assert found.rates[0].extracted >= 15 and found.rates[0].controls_extracted == 0
        assert found.p_value < 0.001 and found.verdict.word is word, (alike, found.control)
