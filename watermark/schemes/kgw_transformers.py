"""transformers' WatermarkDetector, the versions before and after its p-value fix. Reference: 5.23.0, 5.22.2 to 4.57.6 (PyPI).

Beside lm-watermarking: the hash table is shuffled with the hashing key, lefthash looks at the last token only whatever the
context width, and selfhash takes the minimum of K H(c) H(candidate) as int64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.detection import Detection, DetectOptions
from watermark.detectors.green_count import GreenSettings
from watermark.errors import ConfigError, NotDecidableError
from watermark.primitives.known_seeds import known_seeds, lost_bits
from watermark.primitives.lm_hash import hash_int
from watermark.primitives.prf import Seeds, low32, prf_seeds
from watermark.schemes.config_fields import (
    MAX_CONTEXT_WIDTH,
    MAX_KEY,
    is_number,
    new_hash_key,
    read_bool,
    read_delta,
    read_float,
    read_int,
    read_token,
    read_vocabulary,
    refuse_unknown,
    shown,
)
from watermark.schemes.green_hazards import list_hazards
from watermark.schemes.green_list import GreenListConfig, GreenListScheme

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
DEFAULT_KEY = 15485863
FIXED_P_VALUE = (5, 23, 0)
REPEATS_WORK = (5, 20, 0)
_FIELDS = {
    "vocab_size", "greenlist_ratio", "bias", "hashing_key", "seeding_scheme", "context_width", "ignore_repeated_ngrams",
    "bos_token_id", "z_threshold", "transformers_version", "device",
}  # fmt: skip


def _selfhash(contexts: Ints, key: int) -> Seeds:
    hashed = hash_int(contexts, key)
    with np.errstate(over="ignore"):
        return low32((np.int64(key) * hashed * hashed[:, -1:]).min(axis=1))


def _lefthash(contexts: Ints, key: int) -> Seeds:
    return prf_seeds("additive_prf", contexts[:, -1:], key)


def _known_selfhash(contexts: Ints, key: int, seeds: Seeds) -> Bools:
    return lost_bits(seeds, key)  # the table is secret too: nothing else is known


def _known_lefthash(contexts: Ints, key: int, seeds: Seeds) -> Bools:
    return known_seeds("additive_prf", contexts[:, -1:], key, seeds)


def approximate_tail(z: float) -> float:
    """The "p-value" of versions up to 5.22.2, 18 times too small at z = 6 and 0 from z = 8 on."""
    sign = (z > 0) - (z < 0)
    return 1 - (1 + sign * (1 - math.exp(-2 * z**2 / math.pi))) / 2


@dataclass
class TransformersScheme(GreenListScheme):
    """The green-list test with the reference figures of one version."""

    version: tuple[int, ...] = FIXED_P_VALUE

    def detect(self, tokens: Ints, options: DetectOptions) -> Detection:
        found = super().detect(tokens, options)
        if self.version >= FIXED_P_VALUE or found.z_score is None:
            return found
        return replace(found, reference_p_value=approximate_tail(found.z_score))


class _Dialect:
    id = "transformers@5.23.0"
    defects = (
        "up to 5.22.2 the reference p-value is an approximation of the normal tail that is too small from z = 3.5 on",
        "up to 5.10.4 ignore_repeated_ngrams had no effect",
        "the hash table is shuffled on the device of the generator: lists drawn on a GPU cannot be read on a CPU",
    )

    def open(self, config: Mapping[str, Any]) -> TransformersScheme:
        refuse_unknown(config, _FIELDS)
        device = config.get("device")
        if device is not None and not isinstance(device, str):
            raise ConfigError(f'config member device must be "cpu" or the name of a GPU, not {shown(device)}')
        if device not in (None, "cpu"):
            raise NotDecidableError(
                "these green lists were drawn on a GPU, whose generator differs: not decidable with this dialect"
            )
        name = "lefthash" if config.get("seeding_scheme") is None else config["seeding_scheme"]
        if name not in ("lefthash", "selfhash"):
            raise ConfigError(f"seeding_scheme must be lefthash or selfhash, not {shown(name)}")
        vocab_size, ratio = read_vocabulary(config), read_float(config, "greenlist_ratio", 0.0, 1.0, 0.25)
        if not 1 <= int(vocab_size * ratio) < vocab_size:
            raise ConfigError(f"greenlist_ratio {ratio} of {vocab_size} tokens leaves no green or no red token")
        key = read_int(config, "hashing_key", 1, MAX_KEY - 1, DEFAULT_KEY)
        version = _read_version(config.get("transformers_version"))
        settings = GreenSettings(
            scheme="green-list",
            dialect=self.id if config.get("transformers_version") is None else "transformers@" + ".".join(map(str, version)),
            gamma=ratio,
            fraction=int(vocab_size * ratio) / vocab_size,
            delta=read_delta(config, "bias"),
            z_threshold=read_float(config, "z_threshold", -1e6, 1e6, 3.0),
        )
        return TransformersScheme(
            GreenListConfig(
                settings=settings,
                vocab_size=vocab_size,
                context_width=read_int(config, "context_width", 1, MAX_CONTEXT_WIDTH, 1),
                self_salt=name == "selfhash",
                key=key,
                seeds=_selfhash if name == "selfhash" else _lefthash,
                known=_known_selfhash if name == "selfhash" else _known_lefthash,
                ignore_repeats=read_bool(config, "ignore_repeated_ngrams", False) and version >= REPEATS_WORK,
                bos_token_id=read_token(config, "bos_token_id"),
                candidates=40,
                few_seeds=name == "lefthash",
            ),
            list_hazards(key, name, vocab_size, ratio),
            version=version,
        )

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            "greenlist_ratio": 0.25,
            "bias": 2.0,
            "seeding_scheme": "lefthash",
            "context_width": 1,
            "ignore_repeated_ngrams": True,
            "z_threshold": 3.0,
            **options,
            "hashing_key": new_hash_key(),
        }
        self.open(made)
        return made

    def secrets(self) -> tuple[str, ...]:
        return ("hashing_key",)


def _read_version(value: Any) -> tuple[int, ...]:
    if value is None:
        return FIXED_P_VALUE
    parts = value.split(".") if isinstance(value, str) else []
    if len(parts) != 3 or not all(is_number(part, 3) for part in parts):
        raise ConfigError(f'transformers_version must be like "5.22.2", not {shown(value)}')
    return tuple(int(part) for part in parts)


DIALECT = _Dialect()
