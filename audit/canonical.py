"""JSON in and out: canonical bytes (RFC 8785) for everything that is hashed or signed, and a strict bounded reader."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from audit.errors import AuditError, RequestError

MAX_JSON_BYTES = 4 * 1024 * 1024
MAX_JSON_DEPTH = 32


def canonical_bytes(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value: equal values give equal bytes.

    Raises RequestError for what JSON cannot carry exactly: NaN, infinities, and integers of 2^53 and above (write
    those as strings).
    """
    import rfc8785  # not at the top: offline verification hashes given bytes and never needs it

    if measure_depth(value) > MAX_JSON_DEPTH:
        raise RequestError(f"cannot be written as canonical JSON: nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise RequestError(f"cannot be written as canonical JSON: {error}") from error
    except UnicodeEncodeError as error:
        raise RequestError("cannot be written as canonical JSON: a name holds half of a surrogate pair") from error


def dump_document(document: Any) -> bytes:
    """The bytes of a parsed document for a reader of another room, which decides what it takes."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def parse_json(
    data: bytes, what: str, *, max_bytes: int = MAX_JSON_BYTES, error: Callable[[str], AuditError] = RequestError
) -> Any:
    """Parse untrusted JSON: bounded in bytes and depth, no duplicate keys, no NaN. Raises `error`, naming `what`."""
    if len(data) > max_bytes:
        raise error(f"{what} has {len(data)} bytes; at most {max_bytes} are accepted")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (UnicodeDecodeError, ValueError, RecursionError) as problem:
        raise error(f"{what} is not valid JSON: {problem}") from problem
    if measure_depth(value) > MAX_JSON_DEPTH:
        raise error(f"{what} is nested deeper than {MAX_JSON_DEPTH} levels")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object names a member twice")
    return result


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def measure_depth(value: Any) -> int:
    """Nesting depth of a parsed JSON value, without recursion."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, depth = stack.pop()
        deepest = max(deepest, depth)
        if depth > MAX_JSON_DEPTH:
            return depth
        children = item.values() if isinstance(item, Mapping) else item if isinstance(item, list | tuple) else ()
        stack.extend((child, depth + 1) for child in children)
    return deepest
