"""Records, facts and people of the user's own, from JSONL files: one JSON object a line. No message quotes anything of a line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from api.cli.privacy.private_files import read_bounded
from api.cli.privacy.subject_values import check_values, parse_json
from privacy.errors import PrivacyError, ScoreError

if TYPE_CHECKING:
    from privacy.membership.records import Record
    from privacy.people import Person
    from privacy.unlearning.facts import Fact

MAX_FILE, MAX_LINE, MAX_LINES = 256 << 20, 4 << 20, 200_000
MAX_LIST = 10_000
T = TypeVar("T")


def read_records(path: Path) -> list[Record]:
    """Lines `{"id", "text", "role"}`; roles: member, non-member, candidate, decoy, population. Raises ScoreError, PlanError."""
    from privacy.membership.records import Record, Role, check_records

    def parse(line: Mapping[str, Any]) -> Record:
        _members(line, {"id": str, "text": str, "role": str})
        if line["role"] not in set(Role):
            raise ScoreError(f"the role is one of {', '.join(Role)}")
        return Record(line["id"], line["text"], Role(line["role"]))

    found = _read(path, "the file of records", parse)
    check_records(found)
    return found


def read_facts(path: Path) -> list[Fact]:
    """Lines `{"entity", "context", "answer"}` and, at will, `alternatives`, `rewordings` (lists of texts), `separator`."""
    from privacy.unlearning.facts import Fact

    def parse(line: Mapping[str, Any]) -> Fact:
        lists = {"alternatives": list, "rewordings": list}
        _members(line, {"entity": str, "context": str, "answer": str}, {**lists, "separator": str})
        texts = {name: tuple(line.get(name, ())) for name in lists}
        if any(len(own) > MAX_LIST or not all(isinstance(one, str) for one in own) for own in texts.values()):
            raise ScoreError(f"alternatives and rewordings are lists of at most {MAX_LIST} texts")
        return Fact(line["entity"], line["context"], line["answer"], **texts, separator=line.get("separator", " "))

    return _read(path, "the file of facts", parse)


def read_people(path: Path, canaries: bool) -> list[Person]:
    """Lines `{"id", "values": {type: value}}`, a name among the values. `canaries`: the auditor drew them all before training.

    Raises ScoreError, ValueFormatError.
    """
    from privacy.people import Origin, Person

    origin = Origin.CANARY if canaries else Origin.CONSENTED

    def parse(line: Mapping[str, Any]) -> Person:
        _members(line, {"id": str, "values": dict})
        if not 0 < len(line["id"]) <= 64 or not all(isinstance(value, str) for value in line["values"].values()):
            raise ScoreError("an id has 1 to 64 characters, and every value is a text")
        check_values(tuple(line["values"].items()))
        return Person(line["id"], line["values"], origin)

    found = _read(path, "the file of people", parse)
    if len({person.id for person in found}) != len(found):
        raise ScoreError("two people have the same id")
    return found


def _read(path: Path, what: str, parse: Callable[[Mapping[str, Any]], T]) -> list[T]:
    found: list[T] = []
    for number, line in _lines(read_bounded(path, what, limit=MAX_FILE), what):
        try:
            content = parse_json(line, "this line")
            if not isinstance(content, dict):
                raise ScoreError("a JSON object is needed")
            found.append(parse(content))
            continue
        except PrivacyError as error:
            problem = f"line {number} of {what}: {error}"
        raise ScoreError(problem)
    if not found:
        raise ScoreError(f"{what} is empty: one JSON object a line is needed")
    return found


def _lines(data: bytes, what: str) -> Iterator[tuple[int, bytes]]:
    lines = data.splitlines()
    if len(lines) > MAX_LINES:
        raise ScoreError(f"{what} has more than {MAX_LINES} lines")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            raise ScoreError(f"line {number} of {what} is longer than {MAX_LINE} bytes")
        if line.strip():
            yield number, line


def _members(line: Mapping[str, Any], needed: Mapping[str, type], at_will: Mapping[str, type] | None = None) -> None:
    known = {**needed, **(at_will or {})}
    if not set(needed) <= set(line) <= set(known):
        more = f", at will {', '.join(at_will)}" if at_will else ""
        raise ScoreError(f"the members are {', '.join(needed)}{more}, and no others")
    for name, value in line.items():
        if not isinstance(value, known[name]):
            raise ScoreError(f"{name} is no {'text' if known[name] is str else known[name].__name__}")
