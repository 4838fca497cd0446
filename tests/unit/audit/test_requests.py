"""Requests: canonical, bounded, closed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import RequestError
from audit.requests import MAX_REQUEST_BYTES, Subject, new_request, parse_request

GOOD: dict[str, Any] = {
    "format": "assay-request/1",
    "auditor": "alice",
    "nonce": "ab" * 32,
    "provider": "acme",
    "subject": {"name": "run", "digest": {"sha256": "cd" * 32}},
    "kind": "accuracy",
    "params": {"rows": 3},
}
# Computed by hand: members sorted, no spaces.
CANONICAL = (
    b'{"auditor":"alice","format":"assay-request/1","kind":"accuracy","nonce":"' + b"ab" * 32 + b'","params":{"rows":3},'
    b'"provider":"acme","subject":{"digest":{"sha256":"' + b"cd" * 32 + b'"},"name":"run"}}'
)


def test_the_digest_is_of_the_canonical_bytes() -> None:
    request = parse_request(GOOD)
    assert request.to_bytes() == CANONICAL
    assert request.sha256 == hashlib.sha256(CANONICAL).hexdigest()


def test_spelling_does_not_matter_to_the_digest() -> None:
    spread = json.dumps(dict(reversed(GOOD.items())), indent=4).encode()
    assert parse_request(spread) == parse_request(GOOD)


def test_every_nonce_is_fresh() -> None:
    made = {new_request("a", "b", Subject("run", "00" * 32), "k", {}).nonce for _ in range(50)}
    assert len(made) == 50 and all(len(nonce) == 64 for nonce in made)


@pytest.mark.parametrize(
    ("member", "value", "named"),
    [
        ("format", "assay-request/2", "format"),
        ("auditor", "", "auditor"),
        ("auditor", "Alice", "auditor"),
        ("auditor", "a" * 64, "auditor"),
        ("auditor", "alice\n", "auditor"),
        ("auditor", ["alice"], "auditor"),
        ("nonce", "AB" * 32, "nonce"),
        ("nonce", "ab" * 31, "nonce"),
        ("nonce", "ab" * 32 + "\n", "nonce"),
        ("provider", "../acme", "provider"),
        ("kind", None, "kind"),
        ("params", [], "params"),
        ("params", {"x": float("nan")}, "canonical"),
        ("params", {"x": 2**53}, "canonical"),
        ("params", {"x": "a" * MAX_REQUEST_BYTES}, "bytes"),
        ("subject", "run", "subject"),
        ("subject", {"name": "run", "digest": {"sha1": "00"}}, "subject"),
        ("subject", {"name": "run", "digest": {"sha256": "00"}}, "sha256"),
        ("subject", {"name": "run", "digest": {"sha256": "cd" * 32}, "more": 1}, "subject"),
    ],
)
def test_errors_name_the_member(member: str, value: object, named: str) -> None:
    with pytest.raises(RequestError, match=named):
        parse_request({**GOOD, member: value})


@pytest.mark.parametrize("member", sorted(GOOD))
def test_members_are_neither_missing_nor_extra(member: str) -> None:
    with pytest.raises(RequestError, match=member):
        parse_request({name: value for name, value in GOOD.items() if name != member})
    with pytest.raises(RequestError, match="unknown"):
        parse_request({**GOOD, "more": 1})


@given(st.binary(max_size=300))
def test_any_bytes_raise_the_rooms_own_error(data: bytes) -> None:
    with pytest.raises(RequestError):
        parse_request(data)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(JSON_VALUES)
def test_any_parameters_parse_or_raise(value: object) -> None:
    try:
        request = parse_request({**GOOD, "params": {"x": value}})
    except RequestError:
        return
    assert parse_request(request.to_bytes()) == request
