"""lm-watermarking, extended processor: eleven PRFs, selfhash, WinMax. Reference: extended_watermark_processor.py at fb602de."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from watermark.detectors.green_count import GreenSettings
from watermark.detectors.window_scan import parse_sizes
from watermark.errors import ConfigError
from watermark.primitives.known_seeds import known_seeds
from watermark.primitives.prf import PRFS, prf_seeds
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

DEFAULT_KEY = 15485863
SCHEMES: dict[str, tuple[str, int, bool]] = {
    "simple_1": ("additive_prf", 1, False),
    "lefthash": ("additive_prf", 1, False),
    "minhash": ("minhash_prf", 4, False),
    "skipgram": ("skipgram_prf", 5, False),
    "selfhash": ("anchored_minhash_prf", 4, True),
    "algorithm-3": ("anchored_minhash_prf", 4, True),
}
_FIELDS = {
    "vocab_size", "gamma", "delta", "seeding_scheme", "prf_type", "context_width", "self_salt", "hash_key",
    "select_green_tokens", "ignore_repeated_ngrams", "bos_token_id", "z_threshold", "window_size", "window_stride",
}  # fmt: skip


def read_scheme(name: Any) -> tuple[str, int, bool, int | None]:
    """PRF, context width, self-salt and key of a seeding scheme: a name, or ff-<prf>-<width>-<True|False>[-<key>].

    Raises ConfigError.
    """
    if isinstance(name, str) and name in SCHEMES:
        return (*SCHEMES[name], None)
    parts = name.split("-") if isinstance(name, str) else []
    if len(parts) in (4, 5) and parts[0] == "ff" and parts[1] in PRFS and is_number(parts[2]) and parts[3] in ("True", "False"):
        key = parts[4] if len(parts) == 5 else str(DEFAULT_KEY)
        if 1 <= int(parts[2]) <= MAX_CONTEXT_WIDTH and is_number(key, 19):
            return parts[1], int(parts[2]), parts[3] == "True", int(key)
    raise ConfigError(
        f"seeding_scheme must be one of {', '.join(SCHEMES)} or ff-PRF-WIDTH-True|False-KEY with PRF one of {', '.join(PRFS)}"
    )


def _window_sizes(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    if type(value) not in (str, int):
        raise ConfigError(f'config member window_size must be "max" or sizes such as "20,40", not {shown(value)}')
    return parse_sizes(value if isinstance(value, str) else shown(value)[1:-1])


class _Dialect:
    id = "lm-watermarking/extended@fb602de"
    defects = (
        "z and its normal p-value as the reference prints them: with selfhash and minhash repeated seeds widen the null, so they"
        " stand as reference figures only",
        "WinMax never looks at the whole text, and its z has single precision",
    )

    def open(self, config: Mapping[str, Any]) -> GreenListScheme:
        refuse_unknown(config, _FIELDS)
        prf, width, self_salt, key = read_scheme("selfhash" if config.get("seeding_scheme") is None else config["seeding_scheme"])
        for name, value in (("prf_type", prf), ("context_width", width), ("self_salt", self_salt)):
            given = config.get(name)
            if given is not None and (type(given) is not type(value) or given != value):
                raise ConfigError(f"config member {name} contradicts seeding_scheme, which says {value}")
        hash_key = read_int(config, "hash_key", 1, MAX_KEY - 1, key if key is not None else DEFAULT_KEY)
        if key is not None and hash_key != key:
            raise ConfigError("config member hash_key contradicts the key in seeding_scheme")
        if prf == "minskipgram_prf" and width < 2:
            raise ConfigError("minskipgram needs a context of at least 2 tokens")
        vocab_size, gamma = read_vocabulary(config), read_float(config, "gamma", 0.0, 1.0, 0.25)
        if not 1 <= int(vocab_size * gamma) < vocab_size:
            raise ConfigError(f"gamma {gamma} of {vocab_size} tokens leaves no green or no red token")
        window = config.get("window_size")
        settings = GreenSettings(
            scheme="green-list",
            dialect=self.id,
            gamma=gamma,
            fraction=int(vocab_size * gamma) / vocab_size,
            delta=read_delta(config),
            z_threshold=read_float(config, "z_threshold", -1e6, 1e6, 4.0),
            window_sizes=_window_sizes(window),
            window_stride=read_int(config, "window_stride", 1, 1_000_000, 1),
            windowed=window is not None,
        )
        return GreenListScheme(
            GreenListConfig(
                settings=settings,
                vocab_size=vocab_size,
                context_width=width,
                self_salt=self_salt,
                key=hash_key,
                seeds=partial(prf_seeds, prf),
                known=partial(known_seeds, prf),
                select_first=read_bool(config, "select_green_tokens", True),
                ignore_repeats=read_bool(config, "ignore_repeated_ngrams", True),
                bos_token_id=read_token(config, "bos_token_id"),
                few_seeds=not self_salt and (prf in ("minhash_prf", "skipgram_prf") or width == 1),
            ),
            list_hazards(hash_key, prf, vocab_size, gamma),
        )

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        given = dict(options)
        name = given.pop("seeding_scheme", "selfhash")
        prf, width, self_salt, key = read_scheme(name)
        if key is not None and name.count("-") == 4:
            raise ConfigError("a new key is drawn at random; give the seeding scheme without one")
        made = {
            "gamma": 0.25,
            "delta": 2.0,
            "ignore_repeated_ngrams": True,
            "select_green_tokens": True,
            "z_threshold": 4.0,
            **given,
            "seeding_scheme": f"ff-{prf}-{width}-{self_salt}-{new_hash_key()}",
            "prf_type": prf,
            "context_width": width,
            "self_salt": self_salt,
        }
        self.open(made)
        return made

    def secrets(self) -> tuple[str, ...]:
        return ("hash_key", "seeding_scheme")


DIALECT = _Dialect()
