"""Configurations of SynthID-Text, with the names of transformers' `SynthIDTextWatermarkingConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from watermark.errors import ConfigError
from watermark.families import MAX_VOCABULARY

MAX_NGRAM = 64
MAX_DEPTH = 256
MAX_TABLE = 1 << 24  # the reference's own limit
MAX_HISTORY = 1 << 24
DEFAULTS: dict[str, Any] = {
    "context_history_size": 1024,
    "sampling_table_size": 1 << 16,
    "sampling_table_seed": 0,
    "skip_first_ngram_calls": False,
    "debug_mode": False,
}


@dataclass(frozen=True)
class SynthIDConfig:
    """`keys` has one secret 64-bit integer a depth. `eos_token_id` ends the scored text; None scores all of it."""

    ngram_len: int
    keys: tuple[int, ...] = field(repr=False)
    context_history_size: int
    sampling_table_size: int
    sampling_table_seed: int
    skip_first_ngram_calls: bool
    debug_mode: bool
    eos_token_id: int | None = None
    vocab_size: int | None = None


def read_config(config: Mapping[str, Any]) -> SynthIDConfig:
    """Check a configuration. Raises ConfigError naming the member at fault."""
    known = {"ngram_len", "keys", *DEFAULTS, "eos_token_id", "vocab_size", "scheme"}
    for name in config:
        if name not in known:
            raise ConfigError(f"config member {str(name)[:40]!r} is unknown; known: {', '.join(sorted(known))}")
    if config.get("scheme", "synthid") != "synthid":
        raise ConfigError(f"scheme must be 'synthid', not {str(config['scheme'])[:40]!r}")
    keys = config.get("keys")
    if not isinstance(keys, (list, tuple)) or not 1 <= len(keys) <= MAX_DEPTH:
        raise ConfigError(f"keys must be a list of 1 to {MAX_DEPTH} integers, one a depth")
    for depth, key in enumerate(keys):
        if type(key) is not int or not -(1 << 63) <= key < 1 << 63:
            raise ConfigError(f"keys[{depth}] must be an integer from -2^63 to 2^63 - 1")
    values = {**DEFAULTS, **config}
    for name in ("skip_first_ngram_calls", "debug_mode"):
        if type(values[name]) is not bool:
            raise ConfigError(f"{name} must be true or false")
    optional = {
        name: None if config.get(name) is None else _integer(name, config[name], least, MAX_VOCABULARY)
        for name, least in (("eos_token_id", 0), ("vocab_size", 1))
    }
    return SynthIDConfig(
        ngram_len=_integer("ngram_len", config.get("ngram_len"), 2, MAX_NGRAM),
        keys=tuple(keys),
        context_history_size=_integer("context_history_size", values["context_history_size"], 1, MAX_HISTORY),
        sampling_table_size=_integer("sampling_table_size", values["sampling_table_size"], 1, MAX_TABLE),
        sampling_table_seed=_integer("sampling_table_seed", values["sampling_table_seed"], 0, (1 << 63) - 1),
        skip_first_ngram_calls=values["skip_first_ngram_calls"],
        debug_mode=values["debug_mode"],
        eos_token_id=optional["eos_token_id"],
        vocab_size=optional["vocab_size"],
    )


def _integer(name: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ConfigError(f"{name} must be an integer from {least} to {most}, not {str(value)[:40]!r}")
    return value
