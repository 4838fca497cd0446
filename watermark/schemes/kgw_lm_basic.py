"""lm-watermarking, the minimal processor of the first paper. Reference: watermark_processor.py at fb602de."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from watermark.detectors.green_count import GreenSettings
from watermark.errors import ConfigError
from watermark.primitives.known_seeds import known_seeds
from watermark.primitives.prf import prf_seeds
from watermark.schemes.config_fields import (
    MAX_KEY,
    new_hash_key,
    read_bool,
    read_delta,
    read_float,
    read_int,
    read_token,
    read_vocabulary,
    refuse_unknown,
)
from watermark.schemes.green_hazards import list_hazards
from watermark.schemes.green_list import GreenListConfig, GreenListScheme

DEFAULT_KEY = 15485863
_FIELDS = {
    "vocab_size", "gamma", "delta", "seeding_scheme", "hash_key", "select_green_tokens", "ignore_repeated_bigrams",
    "bos_token_id", "z_threshold",
}  # fmt: skip


class _Dialect:
    id = "lm-watermarking/basic@fb602de"
    defects = ("z and its normal p-value as the reference prints them; the exact test is Assay's",)

    def open(self, config: Mapping[str, Any]) -> GreenListScheme:
        refuse_unknown(config, _FIELDS)
        if config.get("seeding_scheme") not in (None, "simple_1"):
            raise ConfigError("the minimal processor knows the seeding scheme simple_1 only; for others use kgw-lm-extended")
        vocab_size, gamma = read_vocabulary(config), read_float(config, "gamma", 0.0, 1.0, 0.5)
        if not 1 <= int(vocab_size * gamma) < vocab_size:
            raise ConfigError(f"gamma {gamma} of {vocab_size} tokens leaves no green or no red token")
        key = read_int(config, "hash_key", 1, MAX_KEY - 1, DEFAULT_KEY)
        settings = GreenSettings(
            scheme="green-list",
            dialect=self.id,
            gamma=gamma,
            fraction=int(vocab_size * gamma) / vocab_size,
            delta=read_delta(config),
            z_threshold=read_float(config, "z_threshold", -1e6, 1e6, 4.0),
        )
        return GreenListScheme(
            GreenListConfig(
                settings=settings,
                vocab_size=vocab_size,
                context_width=1,
                self_salt=False,
                key=key,
                seeds=partial(prf_seeds, "additive_prf"),
                known=partial(known_seeds, "additive_prf"),
                select_first=read_bool(config, "select_green_tokens", True),
                ignore_repeats=read_bool(config, "ignore_repeated_bigrams", False),
                bos_token_id=read_token(config, "bos_token_id"),
                few_seeds=True,
            ),
            list_hazards(key, "additive_prf", vocab_size, gamma),
        )

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        made = {
            "gamma": 0.5,
            "delta": 2.0,
            "seeding_scheme": "simple_1",
            "select_green_tokens": True,
            "ignore_repeated_bigrams": True,
            "z_threshold": 4.0,
            **options,
            "hash_key": new_hash_key(),
        }
        self.open(made)
        return made

    def secrets(self) -> tuple[str, ...]:
        return ("hash_key",)


DIALECT = _Dialect()
