"""Unigram (arXiv 2306.17439): one fixed green list for every position, and its variant with several lists.

Reference: XuandongZhao/Unigram-Watermark, gptwm.py at 3667ec1: the list is a mask shuffled by numpy's default generator, seeded
with the first four bytes (little endian) of SHA-256 of the key as int64. With `num_keys` n, the lists of the keys key, key + 1,
... are in use, chosen by the previous token id modulo n: Assay's reading of the multi-key setting of arXiv 2405.19677.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.detection import Detection, DetectOptions
from watermark.detectors.green_count import GreenEvidence, GreenSettings, count_green, first_of_each
from watermark.errors import ConfigError
from watermark.schemes.config_fields import (
    MAX_KEY,
    read_delta,
    read_float,
    read_int,
    read_token,
    read_vocabulary,
    refuse_unknown,
)

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
MAX_KEYS = 64
_FIELDS = {"vocab_size", "fraction", "strength", "watermark_key", "num_keys", "bos_token_id", "z_threshold"}


@lru_cache(maxsize=64)
def green_mask_of(key: int, vocab_size: int, fraction: float) -> Bools:
    """The reference's mask: which of the `vocab_size` tokens are green."""
    seed = int.from_bytes(hashlib.sha256(key.to_bytes(8, "little", signed=True)).digest()[:4], "little")
    size = int(fraction * vocab_size)
    mask = np.arange(vocab_size) < size
    np.random.default_rng(seed).shuffle(mask)
    return mask


@dataclass
class UnigramScheme:
    """Fixed lists. The valid test counts every token once a list: its colour is one draw, however often it is written."""

    settings: GreenSettings
    vocab_size: int
    num_keys: int
    key: int = field(repr=False)
    bos_token_id: int | None = None

    @property
    def gamma(self) -> float:
        return self.settings.gamma

    @property
    def delta(self) -> float | None:
        return self.settings.delta

    def hazards(self) -> tuple[str, ...]:
        found = ["the list depends on 32 bits of a hash of the key: all lists can be tried"]
        if self.num_keys == 1:
            found.append("a single list for every position is learned from a few hundred thousand tokens of marked text")
        return tuple(found)

    def lists(self) -> npt.NDArray[np.bool_]:
        """Masks of all lists (num_keys x vocab_size)."""
        return np.stack([green_mask_of(self.key + i, self.vocab_size, self.settings.gamma) for i in range(self.num_keys)])

    def list_index(self, previous: Ints) -> Ints:
        """Which list holds after each of these tokens."""
        return previous % self.num_keys

    def evidence(self, tokens: Ints) -> GreenEvidence:
        """Colours of every token with a list: all of them with one key, all but the first with several."""
        dropped = int(len(tokens) > 0 and self.bos_token_id is not None and tokens[0] == self.bos_token_id)
        body = tokens[dropped:]
        skipped = 0 if self.num_keys == 1 else 1
        targets = body[skipped:]
        index = np.zeros(len(targets), dtype=np.int64) if self.num_keys == 1 else self.list_index(body[:-1])
        pairs = index * self.vocab_size + targets
        return GreenEvidence(
            positions=np.arange(len(targets), dtype=np.int64) + skipped + dropped,
            green=self._colours(index, targets),
            scored=np.ones(len(targets), dtype=bool),
            counted=first_of_each(pairs),
        )

    def _colours(self, index: Ints, targets: Ints) -> Bools:
        out = np.zeros(len(targets), dtype=bool)
        for i in range(self.num_keys):
            here = index == i
            if here.any():
                out[here] = green_mask_of(self.key + i, self.vocab_size, self.settings.gamma)[targets[here]]
        return out

    def green_mask(self, tokens: Ints) -> Bools:
        """Colour of every scored position, in text order."""
        return self.evidence(tokens).green

    def detect(self, tokens: Ints, options: DetectOptions) -> Detection:
        """See `watermark.families.Scheme`."""
        return count_green(self.evidence(tokens), len(tokens), self.settings, options)


class _Dialect:
    id = "unigram-watermark@3667ec1"
    defects = (
        "the reference's z counts a token as often as it is written, though its colour is drawn once: with repeats the z is"
        " far from standard normal, and stands as a reference figure only",
    )

    def open(self, config: Mapping[str, Any]) -> UnigramScheme:
        refuse_unknown(config, _FIELDS)
        vocab_size, fraction = read_vocabulary(config), read_float(config, "fraction", 0.0, 1.0, 0.5)
        if not 1 <= int(fraction * vocab_size) < vocab_size:
            raise ConfigError(f"fraction {fraction} of {vocab_size} tokens leaves no green or no red token")
        settings = GreenSettings(
            scheme="unigram",
            dialect=self.id,
            gamma=fraction,
            fraction=int(fraction * vocab_size) / vocab_size,
            delta=read_delta(config, "strength"),
            z_threshold=read_float(config, "z_threshold", -1e6, 1e6, 6.0),
        )
        num_keys = read_int(config, "num_keys", 1, MAX_KEYS, 1)
        key = read_int(config, "watermark_key", 0, MAX_KEY - 1 - MAX_KEYS)
        return UnigramScheme(settings, vocab_size, num_keys, key, read_token(config, "bos_token_id"))

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            "fraction": 0.5,
            "strength": 2.0,
            "num_keys": 1,
            "z_threshold": 6.0,
            **options,
            "watermark_key": secrets.randbits(62),
        }
        self.open(made)
        return made

    def secrets(self) -> tuple[str, ...]:
        return ("watermark_key",)


DIALECT = _Dialect()
