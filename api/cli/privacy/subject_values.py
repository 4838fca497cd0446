"""A subject's values from options, a file or the terminal. No message quotes one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from api.cli.exits import CommandError, Exit
from api.cli.privacy.private_files import MAX_BYTES, read_bounded
from privacy.errors import ConsentError, ValueFormatError

ASK = "-"
NAME = "name"
_ID_TYPE = re.compile(r"id:[a-z]{2}\.[a-z0-9_]{1,30}", re.IGNORECASE)
DEFAULT_REGION = "US"
Values = tuple[tuple[str, str], ...]


def gather(named: Iterable[tuple[str, str | None]], pairs: Iterable[str], file: Path | None) -> tuple[Values, bool]:
    """(type, value) pairs, and whether one stood on the command line. A value `-` is asked on the terminal without echo.

    `named` are options of their own, `pairs` type=value. Raises CommandError, ConsentError.
    """
    given = [(type_, value) for type_, value in named if value is not None]
    for number, pair in enumerate(pairs, 1):
        type_, equals, value = pair.partition("=")
        if not equals or not type_:
            raise CommandError(f"--value {number} must be type=value, or type=- to be asked for it", Exit.USAGE)
        given.append((type_.strip(), value))
    visible = any(value != ASK for _, value in given)
    found = [(type_, _ask(type_) if value == ASK else value) for type_, value in given]
    return (*found, *(read_values(file) if file is not None else ())), visible


def _ask(type_: str) -> str:
    import warnings
    from getpass import GetPassWarning

    import typer

    if not is_type(type_):
        raise CommandError(f"a value of an unknown type cannot be asked for; there are {', '.join(known_types())}", Exit.USAGE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", GetPassWarning)
            return str(typer.prompt(type_, hide_input=True, err=True))
    except typer.Abort:
        raise CommandError(f"no {type_} was given", Exit.INTERRUPTED) from None
    except GetPassWarning:
        raise CommandError("there is no terminal to ask on without echo; give values with --from FILE", Exit.USAGE) from None


def read_values(path: Path) -> Values:
    """Values from a file (`-`: standard input): JSON, {type: value} or [{"type", "value"}], or lines type=value."""
    what = "the file of values"
    if str(path) == ASK:
        data = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConsentError(f"{what} is larger than {MAX_BYTES} bytes")
    else:
        data = read_bounded(path, what)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConsentError(f"{what} is no text in UTF-8") from None
    if text.lstrip()[:1] in ("{", "["):
        return parse_pairs(parse_json(data, what), what)
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        type_, equals, value = line.partition("=")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not equals:
            raise ConsentError(f"line {number} of {what} is no type=value")
        found.append((type_.strip(), value.strip()))
    return tuple(found)


def parse_json(data: bytes, what: str) -> Any:
    """A JSON document without repeated members. Raises ConsentError that quotes nothing of it."""
    problem = ConsentError(f"{what} is no JSON document in UTF-8 without repeated members")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except (ValueError, RecursionError):
        pass
    raise problem  # outside the handler: the parser's error holds the document


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


def parse_pairs(content: Any, what: str) -> Values:
    """{type: value}, or a list of {"type", "value"}. Raises ConsentError."""
    rows = [{"type": k, "value": v} for k, v in content.items()] if isinstance(content, dict) else content
    if not isinstance(rows, list) or not all(isinstance(row, dict) and set(row) == {"type", "value"} for row in rows):
        raise ConsentError(f"{what} must hold values as an object type: value, or as a list of objects with type and value")
    if not all(isinstance(one, str) for row in rows for one in row.values()):
        raise ConsentError(f"{what} has a type or a value that is no text")
    return tuple((row["type"], row["value"]) for row in rows)


def check_values(values: Values, region: str | None = DEFAULT_REGION) -> None:
    """One value a type, a name among them, each of the form of its type. Raises ValueFormatError and ConsentError by type."""
    from privacy.consent import MAX_ITEMS, MAX_VALUE

    for number, (type_, _) in enumerate(values, 1):
        if not is_type(type_):  # not quoted: it may be the value, put in the wrong place
            raise ValueFormatError(f"value {number} has an unknown type; there are {', '.join(known_types())}")
    types = [type_ for type_, _ in values]
    twice = next((type_ for type_ in types if types.count(type_) > 1), None)
    if twice is not None:
        raise ConsentError(f"there are two values of type {twice[:40]!r}; a subject has one a type, make another subject file")
    if NAME not in types:
        raise ConsentError("a subject needs a name: it is what a model is asked with")
    if not 2 <= len(types) <= MAX_ITEMS:
        raise ConsentError(f"a subject needs a value besides the name, and at most {MAX_ITEMS - 1} of them")
    for type_, value in values:
        if not 0 < len(value.strip()) <= MAX_VALUE:
            raise ValueFormatError(f"the value of type {type_[:40]} has 1 to {MAX_VALUE} characters")
        _check_form(type_, value, region)


def known_types() -> tuple[str, ...]:
    """The types that can be probed, in words."""
    from privacy.invented.values import TYPES

    return (*TYPES, "id:COUNTRY.NAME")


def is_type(text: str) -> bool:
    """Whether this names a type."""
    return text in known_types()[:-1] or _ID_TYPE.fullmatch(text) is not None


def _check_form(type_: str, value: str, region: str | None) -> None:
    """That probes can read the format of the value, and matchers find it again."""
    from privacy.invented.values import read_format
    from privacy.matching.matchers import TYPES, open_matcher

    try:
        read_format(type_, value, region)
        if type_ in TYPES or type_.startswith("id:"):
            open_matcher(type_, value, region)
        return
    except ValueFormatError as error:
        problem = str(error)
    raise ValueFormatError(f"{type_[:40]}: {problem}")


def phones_without_country(values: Values) -> bool:
    """Whether a phone parses with a region only; services take no region."""
    from privacy.matching.matchers import open_matcher

    try:
        for type_, value in values:
            if type_ == "phone":
                open_matcher(type_, value)
    except ValueFormatError:
        return True
    return False
