"""jthickstun/watermark, the library of arXiv 2307.15593: keys from torch's CPU generator. Reference: 80d4ec8."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, cast

from watermark.errors import ConfigError
from watermark.schemes.config_fields import MAX_KEY, read_float, read_int, read_vocabulary, refuse_unknown, shown
from watermark.schemes.shift_keyed import ShiftConfig, ShiftScheme, Variant
from watermark.schemes.shift_keys import ExpKey, ItsKey, library_exp_key, library_its_key

MAX_ROWS = 65_536
MAX_ENTRIES = 1 << 31
MAX_BLOCK = 100_000
VARIANTS = {"EXP": "exp", "EXP-edit": "exp-edit", "ITS": "its", "ITS-edit": "its-edit"}
_GAPS = {"EXP-edit": 0.0, "ITS-edit": 0.4}
_FIELDS = {"scheme", "gamma", "vocab_size", "n", "k", "key_seed"}


def read_shape(config: Mapping[str, Any]) -> tuple[str, int, int, int | None, float]:
    """Scheme name, n, vocab_size, k and gap cost. Raises ConfigError."""
    name = config.get("scheme", "EXP-edit")
    if not isinstance(name, str) or name not in VARIANTS:
        raise ConfigError(f"scheme must be one of {', '.join(VARIANTS)}, not {shown(name)}")
    n, vocab_size = read_int(config, "n", 1, MAX_ROWS, 256), read_vocabulary(config)
    if n * vocab_size > MAX_ENTRIES:
        raise ConfigError(f"a key of {n} rows of {vocab_size} numbers is larger than {MAX_ENTRIES} entries")
    k = None if config.get("k") is None else read_int(config, "k", 1, MAX_BLOCK)
    gap = 0.0
    if name in _GAPS:
        gap = read_float(config, "gamma", -1e-9, 1e6, _GAPS[name])
    elif config.get("gamma") is not None:
        raise ConfigError(f"gamma is the gap cost of the edit variants; {name} has none")
    return name, n, vocab_size, k, gap


class _Dialect:
    id = "jthickstun-watermark/library@80d4ec8"
    defects = (
        "the reference's permutation p-value is count / runs, which can be 0, its fast test compares with other texts: neither"
        " is a valid p-value, and neither is reproduced",
    )

    def open(self, config: Mapping[str, Any]) -> ShiftScheme:
        refuse_unknown(config, _FIELDS)
        name, n, vocab_size, k, gap = read_shape(config)
        seed = read_int(config, "key_seed", 0, MAX_KEY - 1)
        shape = ShiftConfig(self.id, cast(Variant, VARIANTS[name]), n, vocab_size, k, gap)
        key: ExpKey | ItsKey = (library_exp_key if name.startswith("EXP") else library_its_key)(seed, n, vocab_size)
        return ShiftScheme(shape, key)

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        made = {"scheme": "EXP-edit", "n": 256, **options, "key_seed": secrets.randbits(32)}
        self.open(made)
        return made

    def secrets(self) -> tuple[str, ...]:
        return ("key_seed",)


DIALECT = _Dialect()
