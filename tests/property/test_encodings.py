"""Canonical encodings: decode and encode are inverse to each other, and nothing else decodes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from zk.protocol.codec import decode_k, encode_k
from zk.protocol.errors import VerificationError
from zk.protocol.field import P, k_inv, k_mul
from zk.protocol.record import DATA, Record
from zk.protocol.statement import AUDIT, CERT, SEGMENT, Auditor, Bound, Statement

NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=12)
BYTES = st.binary(min_size=32, max_size=32)
SIGNED = st.integers(-(2**63), 2**63 - 1)
RECORDS = st.builds(Record, NAMES, st.just(DATA), BYTES, BYTES, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), BYTES)
STATEMENTS = st.builds(
    Statement,
    st.sampled_from((CERT, SEGMENT, AUDIT)),
    st.sampled_from(("S10", "TOY4")),
    NAMES,
    st.binary(max_size=20),
    st.lists(st.tuples(NAMES, RECORDS), max_size=3, unique_by=lambda item: item[0]).map(tuple),
    st.lists(st.tuples(NAMES, st.lists(SIGNED, max_size=4).map(tuple)), max_size=2, unique_by=lambda item: item[0]).map(tuple),
    st.binary(max_size=20),
    st.lists(st.builds(Bound, NAMES, SIGNED, SIGNED, st.sampled_from((1, 2))), max_size=3).map(tuple),
    st.none() | st.builds(Auditor, NAMES, BYTES),
)
ELEMENTS = st.tuples(st.integers(0, P - 1), st.integers(0, P - 1))


@given(STATEMENTS)
@settings(max_examples=60, deadline=None)
def test_statement_round_trip(statement: Statement) -> None:
    data = statement.encode()
    assert Statement.decode(data) == statement


@given(STATEMENTS, st.data())
@settings(max_examples=120, deadline=None)
def test_every_accepted_statement_is_canonical(statement: Statement, data: st.DataObject) -> None:
    """Bytes that decode are the encoding of what they decode to: one statement has one digest."""
    raw = bytearray(statement.encode())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = Statement.decode(bytes(raw))
    except VerificationError:
        return
    assert found.encode() == bytes(raw)


@given(st.lists(ELEMENTS, max_size=5))
@settings(max_examples=60, deadline=None)
def test_elements_round_trip(values: list[tuple[int, int]]) -> None:
    assert decode_k(encode_k(values), "x") == values


@given(ELEMENTS.filter(any))
@settings(max_examples=60, deadline=None)
def test_inverse(value: tuple[int, int]) -> None:
    assert k_mul(value, k_inv(value)) == (1, 0)
