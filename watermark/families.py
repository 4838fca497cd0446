"""The one table of families: the name a configuration carries, and the dialect that reads it.

A module is imported only when its family is used, so that detection on token ids stays quick to start. To add a dialect,
add a row here and write its module in `schemes/`; nothing else changes.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from watermark.detection import Detection, DetectOptions
from watermark.errors import ConfigError, TokenError

MAX_TOKENS = 4_000_000
MAX_VOCABULARY = 1 << 22

# family -> "module:attribute"; the attribute is a Dialect.
FAMILIES: dict[str, str] = {
    "kgw-lm-basic": "watermark.schemes.kgw_lm_basic:DIALECT",
    "kgw-lm-extended": "watermark.schemes.kgw_lm_extended:DIALECT",
    "kgw-transformers": "watermark.schemes.kgw_transformers:DIALECT",
    "unigram": "watermark.schemes.unigram:DIALECT",
    "kuditipudi-library": "watermark.schemes.kuditipudi_library:DIALECT",
    "kuditipudi-demo-python": "watermark.schemes.kuditipudi_demo:PYTHON",
    "kuditipudi-demo-js": "watermark.schemes.kuditipudi_demo:JAVASCRIPT",
    "vllm-gumbel": "watermark.schemes.vllm_gumbel:DIALECT",
    "synthid": "watermark.schemes.synthid:DIALECT",
}


class Scheme(Protocol):
    """A dialect with its configuration and key: what detects. Instances keep caches, so reuse one for many texts."""

    def detect(self, tokens: npt.NDArray[np.int64], options: DetectOptions) -> Detection:
        """Test one text. `tokens` are ids, already checked by `as_tokens`; raises WatermarkError."""
        ...

    def hazards(self) -> tuple[str, ...]:
        """What is wrong with this key or configuration, as sentences for people; empty when nothing is known."""
        ...


class Dialect(Protocol):
    """One reference implementation at one version."""

    @property
    def id(self) -> str:
        """Name and version, e.g. `lm-watermarking/extended@fb602de`."""
        ...

    @property
    def defects(self) -> tuple[str, ...]:
        """Which defects of the reference its figures reproduce, and why, as sentences."""
        ...

    def open(self, config: Mapping[str, Any]) -> Scheme:
        """The scheme of a configuration as `data/watermark` writes it. Raises ConfigError naming the member at fault."""
        ...

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """A full configuration with a fresh random key. `options` override defaults (vocab_size is always needed where the
        scheme depends on it). Raises ConfigError."""
        ...

    def secrets(self) -> tuple[str, ...]:
        """The configuration members that are secret."""
        ...


def find_dialect(family: str) -> Dialect:
    """The dialect of a family. Raises ConfigError that lists the known ones."""
    entry = FAMILIES.get(family) if isinstance(family, str) else None
    if entry is None:
        raise ConfigError(f"there is no watermark family {str(family)[:60]!r}; known families: {', '.join(sorted(FAMILIES))}")
    module, attribute = entry.split(":")
    return cast(Dialect, getattr(importlib.import_module(module), attribute))


def open_scheme(family: str, config: Mapping[str, Any]) -> Scheme:
    """The scheme of a family and configuration. Raises ConfigError."""
    if not isinstance(config, Mapping):
        raise ConfigError("config must be a JSON object")
    return find_dialect(family).open(config)


def as_tokens(ids: Sequence[int] | npt.NDArray[Any], vocab_size: int | None) -> npt.NDArray[np.int64]:
    """Token ids as an int64 array, within [0, vocab_size). Raises TokenError that names the first one at fault."""
    if len(ids) > MAX_TOKENS:
        raise TokenError(f"{len(ids)} tokens are more than {MAX_TOKENS}; split the text")
    if not isinstance(ids, np.ndarray):
        for position, token in enumerate(ids):
            if type(token) is not int:
                raise TokenError(f"token {position} is {str(token)[:40]!r}, not an integer id")
    try:
        tokens = np.asarray(ids, dtype=np.int64).reshape(-1)
    except (OverflowError, ValueError, TypeError):
        raise TokenError("token ids must be integers below 2^63") from None
    bad = np.flatnonzero((tokens < 0) | (tokens >= (vocab_size if vocab_size is not None else 1 << 32)))
    if bad.size:
        where = int(bad[0])
        limit = "2^32" if vocab_size is None else f"the vocabulary size {vocab_size} of the key"
        raise TokenError(
            f"token {where} is {int(tokens[where])}, outside 0 .. {limit}; was the text encoded with another tokenizer?"
        )
    return tokens


def detect(family: str, config: Mapping[str, Any], ids: Sequence[int], options: DetectOptions | None = None) -> Detection:
    """Test one text under one configuration: the short way. For many texts, keep the scheme of `open_scheme`.

    >>> detect("vllm-gumbel", {"scheme": "gumbel", "key": 42}, ids)  # doctest: +SKIP
    """
    scheme = open_scheme(family, config)
    size = config.get("vocab_size")
    return scheme.detect(as_tokens(ids, size if isinstance(size, int) else None), options or DetectOptions())
