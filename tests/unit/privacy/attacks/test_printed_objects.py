"""What a debugger, a test runner or a crash reporter prints of what a run holds in memory."""

from __future__ import annotations

import numpy as np

from audit.runners.protocol import Generation, Prompt
from privacy.invented.values import read_format
from privacy.matching.matchers import open_matcher
from privacy.membership.records import Record, Role
from privacy.people import Person
from privacy.probes.membership import _Scored
from privacy.probes.targets import Candidates, Target
from privacy.probes.text_only import Answer
from privacy.redaction import find_residue
from privacy.unlearning.facts import Fact

NAME, PHONE = "Una Harrow", "+1 212-555-0171"
VALUES = [NAME, PHONE, "12125550171"]


def test_printing_shows_no_value() -> None:
    person = Person("x", {"name": NAME, "phone": PHONE})
    held = [
        person,
        Target(person, "phone", "0" * 64, ()),
        Candidates(0, (PHONE,)),
        Fact(NAME, f"Call {NAME}", PHONE, (PHONE,)),
        Record("x", f"{NAME} {PHONE}", Role.MEMBER),
        _Scored(f"{NAME} {PHONE}", np.zeros(1), (), None),
        Answer(PHONE, "12125550171", 1),
        Prompt(text=f"{NAME} can be called at"),
        Generation(PHONE, (1, 2), "stop", None, ({PHONE: -1.0},)),
        *(open_matcher(type_, value) for type_, value in person.values.items()),
        *(read_format(type_, value) for type_, value in person.values.items()),
    ]
    for one in held:
        assert find_residue(f"{one!r} {one}".encode(), VALUES) == [], type(one).__name__
