"""jthickstun/watermark, the demos: EXP-edit with keys straight from a Mersenne twister. Reference: demo/ at 80d4ec8.

The Python demo casts its key to single precision, which rounds some entries to exactly 1: any text with such a token then has
cost -Infinity. Its configuration stands for that defect explicitly: the reference figures reproduce it, the test never does.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from watermark.errors import ConfigError
from watermark.schemes.config_fields import MAX_KEY, read_bool, read_int, refuse_unknown
from watermark.schemes.kuditipudi_library import read_shape
from watermark.schemes.shift_keyed import ShiftConfig, ShiftScheme
from watermark.schemes.shift_keys import demo_exp_key

JAVASCRIPT_VOCABULARY = 32000
_FIELDS = {"scheme", "gamma", "vocab_size", "n", "k", "key", "float32_key"}


class _Dialect:
    def __init__(self, language: str, defects: tuple[str, ...]) -> None:
        self.is_python = language == "python"
        self.id = f"jthickstun-watermark/demo-{language}@80d4ec8"
        self.defects = defects

    def open(self, config: Mapping[str, Any]) -> ShiftScheme:
        refuse_unknown(config, _FIELDS)
        name, n, vocab_size, k, gap = read_shape({"scheme": "EXP-edit", "vocab_size": JAVASCRIPT_VOCABULARY, **config})
        if name != "EXP-edit":
            raise ConfigError("the demos know EXP-edit only; for other schemes use kuditipudi-library")
        key = read_int(config, "key", 0, MAX_KEY - 1)
        single = read_bool(config, "float32_key", self.is_python)
        if single and not self.is_python:
            raise ConfigError("the JavaScript demo keeps doubles; float32_key belongs to the Python demo")
        shape = ShiftConfig(self.id, "exp-edit", n, vocab_size, k, gap, median=not self.is_python, double=True)
        exact = demo_exp_key(key, n, vocab_size, self.is_python, False)
        return ShiftScheme(shape, exact, demo_exp_key(key, n, vocab_size, self.is_python, True) if single else None)

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        while True:
            made = {"scheme": "EXP-edit", "n": 256, "gamma": 0.0, **options, "key": secrets.randbits(32)}
            opened = self.open(made)
            if opened.reference_key is None or not opened.reference_key.poison():
                return made

    def secrets(self) -> tuple[str, ...]:
        return ("key",)


PYTHON = _Dialect(
    "python",
    (
        "the cast of the key to single precision (float32_key), for the reference statistic only",
        "keys from 2^32 on are not reduced to 32 bits and give another stream than the JavaScript demo's",
    ),
)
JAVASCRIPT = _Dialect("javascript", ("the statistic is the median over blocks, not the least",))
