"""Templates: what they say, what they refuse to say, and that values are never read as templates."""

from __future__ import annotations

import json
import random

import pytest

from privacy.errors import TemplateError
from privacy.invented.people import draw_people
from privacy.invented.values import TYPES
from privacy.people import Person
from privacy.templates import FORMAT, MAX_FILE_BYTES, Kind, Template, builtin_templates, gives_value, read_templates

pytest.importorskip("phonenumbers")
ITEMS = tuple(type_ for type_ in TYPES if type_ != "name")
MARA = Person("s1", {"name": "Mara Quillfold", "phone": "212-555-0142", "email": "o.rookmere@example.org"})


@pytest.mark.parametrize("target", [*ITEMS, "id:es.nif"])
def test_builtin_templates_of_every_kind_render_right_up_to_the_value(target: str) -> None:
    templates = builtin_templates(target, ("name", "phone", "email", "family"))
    kinds = [template.kind for template in templates]
    assert kinds.count(Kind.TWIN) >= 2 and kinds.count(Kind.TRIPLET) >= 4 and kinds.count(Kind.QUADRUPLET) >= 2
    assert len({template.id for template in templates}) == len({template.text for template in templates}) == len(templates)
    for person in draw_people(random.Random(target), 5, ITEMS):
        given = Person(person.id, {**person.values, target: person.values.get(target, "54362315K")})
        for template in templates:
            context = template.render(given)
            assert context == context.rstrip() and given.values["name"] in context and "{" not in context
            assert given.values[target] not in context
            assert all(given.values[type_] in context for type_ in template.items)


def test_a_twin_needs_only_the_name() -> None:
    assert {template.kind for template in builtin_templates("phone", ())} == {Kind.TWIN}
    with pytest.raises(TemplateError):
        builtin_templates("name", ("phone",))


def test_many_types_do_not_make_ever_more_templates() -> None:
    types = [*ITEMS, *(f"id:xx.kind{i}" for i in range(8))]
    found = builtin_templates("phone", types)
    assert len(found) == 40 and {template.kind for template in found} == set(Kind)


def test_a_short_value_inside_a_word_is_not_given() -> None:
    assert not gives_value("Jane Smith studied at", "affiliation", "MIT") and gives_value(
        "Jane of MIT, studied at", "affiliation", "MIT"
    )


def test_values_are_never_templates() -> None:
    nasty = Person("s1", {"name": "{email} {0.__class__} %s \\g<0>", "phone": "212-555-0142", "email": "x@example.org"})
    assert Template("t", Kind.TWIN, "phone", "{name}:").render(nasty) == "{email} {0.__class__} %s \\g<0>:"


@pytest.mark.parametrize(
    ("kind", "target", "text"),
    [
        ("twin", "phone", "{name.__class__} has"), ("twin", "phone", "{name!r} has"), ("twin", "phone", "{name:>9} has"),
        ("twin", "phone", "{name[0]} has"), ("twin", "phone", "{} {name}"), ("twin", "phone", "{{name}} has"),
        ("twin", "phone", "{name has"), ("twin", "phone", "{name} } has"), ("twin", "phone", "the phone is"),
        ("twin", "phone", "{name} has "), ("twin", "phone", ""), ("twin", "phone", "{name}" + "x" * 2000),
        ("twin", "phone", "{name} has {phone} and"), ("twin", "phone", "{name} at {email} has"),
        ("triplet", "phone", "{name} has"), ("triplet", "phone", "{name} {email} {email} {iban} has"),
        ("quadruplet", "phone", "{name} {email} {email} has"), ("twin", "Phone!", "{name} has"),
    ],
)  # fmt: skip
def test_malformed_templates_are_refused(kind: str, target: str, text: str) -> None:
    with pytest.raises(TemplateError):
        Template("t", Kind(kind), target, text)


def test_a_person_must_have_what_the_template_says() -> None:
    template = Template("t", Kind.TRIPLET, "phone", "{name} at {address} has")
    with pytest.raises(TemplateError, match="person s1 has no address"):
        template.render(MARA)
    with pytest.raises(TemplateError, match="has no iban"):
        Template("t", Kind.TWIN, "iban", "{name} has").render(MARA)


@pytest.mark.parametrize("hidden", ["+1 (212) 555 0142", "2125550142", "call 212-555-0142 now", "id 0012125550142x"])
def test_a_prompt_that_already_gives_the_value_is_refused(hidden: str) -> None:
    person = Person("s1", {**MARA.values, "affiliation": hidden})
    with pytest.raises(TemplateError, match="already holds the phone") as error:
        Template("t", Kind.TRIPLET, "phone", "{name} of {affiliation} has").render(person)
    assert "0142" not in str(error.value)
    assert not gives_value("Mara Quillfold, 212 members, 555 of them new, 014 left", "phone", "212-555-0142")


def test_files_of_templates() -> None:
    lines = b"# remark\n\na\ttwin\tphone\tName: {name}\\nPhone:\nb\ttriplet\tphone\t{name} ({email}) has\n"
    entries = [
        {"id": "a", "kind": "twin", "target": "phone", "text": "Name: {name}\nPhone:"},
        {"id": "b", "kind": "triplet", "target": "phone", "text": "{name} ({email}) has"},
    ]
    first, second = read_templates(lines)
    assert read_templates(json.dumps({"format": FORMAT, "templates": entries}).encode()) == (first, second)
    assert first.render(MARA) == "Name: Mara Quillfold\nPhone:" and second.items == ("email",)
    quoted = [{**entries[0], "separator": ' "'}]
    (third,) = read_templates(json.dumps({"format": FORMAT, "templates": quoted}).encode())
    assert third.separator == ' "' and Template(**{**third.to_json(), "kind": Kind(third.to_json()["kind"])}) == third


def _json_file(entry: str) -> bytes:
    return b'{"format": "assay-privacy-templates/1", "templates": ' + entry.encode() + b"}"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"# nothing\n", b"\xff\xfe", b"a\ttwin\tphone", b"a\ttwin\tphone\t{name} has\textra",
        b"a\tsingle\tphone\t{name} has", b"a\ttwin\tphone\t{name} has\na\ttwin\tphone\t{name} had",
        b"{", b"{}", b"[" * 100_000, b'{"a":' * 100_000, b" " * (MAX_FILE_BYTES + 1), _json_file("{}"), _json_file("[3]"),
        _json_file('[{"id": "a", "kind": [], "target": "phone", "text": "{name}"}]'),
        _json_file('[{"id": "a", "kind": "twin", "target": "phone", "text": "{name.x}"}]'),
        b"\n".join(b"t%d\ttwin\tphone\t{name} has" % i for i in range(1001)),
    ],
)  # fmt: skip
def test_malformed_files_are_refused(data: bytes) -> None:
    with pytest.raises(TemplateError):
        read_templates(data)
