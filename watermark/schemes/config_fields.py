"""Reading the members of a configuration: every one is checked, unknown ones are refused, errors name the member."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from typing import Any

from watermark.errors import ConfigError
from watermark.families import MAX_VOCABULARY

MAX_CONTEXT_WIDTH = 16
MAX_KEY = 1 << 63


def refuse_unknown(config: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises ConfigError naming the first member that is not known."""
    for name in config:
        if name not in known:
            raise ConfigError(f"config member {shown(name)} is unknown; known: {', '.join(sorted(known))}")


def shown(value: Any) -> str:
    """A value as an error names it: short, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 200:
        return "a very large integer"
    try:
        return repr(str(value)[:40])
    except Exception:  # a __str__ of the caller's, or an integer inside a container that Python refuses to print
        return f"a {type(value).__name__}"


def is_number(text: str, digits: int = 9) -> bool:
    """Whether a text is a decimal number of 1 to `digits` ASCII digits (`str.isdigit` also takes superscripts)."""
    return 0 < len(text) <= digits and text.isascii() and text.isdigit()


def read_int(config: Mapping[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    """An integer within [low, high]. Raises ConfigError."""
    value = config.get(name)
    value = default if value is None else value
    if type(value) is not int or not low <= value <= high:
        found = "missing" if value is None else "out of range" if "key" in name or "seed" in name else shown(value)
        raise ConfigError(f"config member {name} must be an integer from {low} to {high}; it is {found}")
    return value


def read_float(config: Mapping[str, Any], name: str, low: float, high: float, default: float | None = None) -> float:
    """A number strictly between low and high. Raises ConfigError."""
    value = config.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value < high:
        raise ConfigError(f"config member {name} must be a number between {low} and {high}, not {shown(value)}")
    return float(value)


def read_bool(config: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or false. Raises ConfigError."""
    value = config.get(name, default)
    value = default if value is None else value
    if not isinstance(value, bool):
        raise ConfigError(f"config member {name} must be true or false, not {shown(value)}")
    return value


def read_vocabulary(config: Mapping[str, Any]) -> int:
    """`vocab_size`, which the green lists and keys depend on. Raises ConfigError."""
    return read_int(config, "vocab_size", 2, MAX_VOCABULARY)


def read_token(config: Mapping[str, Any], name: str) -> int | None:
    """A token id, or None where there is none."""
    return None if config.get(name) is None else read_int(config, name, 0, MAX_VOCABULARY)


def read_delta(config: Mapping[str, Any], name: str = "delta") -> float | None:
    """A logit bias above 0; "Infinity" for a hard mark; None where a detector does not know it. Raises ConfigError."""
    value = config.get(name)
    if value is None:
        return None
    if value == float("inf") if isinstance(value, float) else isinstance(value, str) and value in ("Infinity", "inf"):
        return float("inf")
    return read_float(config, name, 0.0, 1000.0)


def new_hash_key() -> int:
    """A fresh odd key of 62 bits: it is multiplied with token ids modulo 2^64, and an even factor would lose low bits."""
    return secrets.randbits(62) | 1
