"""What every runner asks of a Sampling, and the seed of a row. Needs no torch."""

from __future__ import annotations

import hashlib
import math

from audit.runners.protocol import CapabilityError, RunnerError, Sampling

MAX_PROMPTS = 1_000_000
MAX_TEXT_CHARS = 16_000_000
MAX_NEW_TOKENS = 1 << 20
MAX_TEMPERATURE = 100.0
MAX_STOPS, MAX_STOP_CHARS = 16, 1_000
MAX_TOP_LOGPROBS = 1_000


def row_seed(seed: int, row: int) -> int:
    """The seed of the row-th prompt: 63 bits of SHA-256 over seed and row, so rows and seeds never share a stream."""
    return int.from_bytes(hashlib.sha256(f"assay-row:{seed}:{row}".encode()).digest()[:8], "big") >> 1


def check_sampling(sampling: Sampling) -> None:
    """Raises RunnerError naming the parameter that is out of range."""
    ranges = (
        ("max_new_tokens", sampling.max_new_tokens, 1, MAX_NEW_TOKENS),
        ("min_new_tokens", sampling.min_new_tokens, 0, sampling.max_new_tokens),
        ("temperature", sampling.temperature, 0, MAX_TEMPERATURE),
        ("top_p", sampling.top_p, 0, 1),
        ("top_k", sampling.top_k, 0, 1 << 31),
        ("top_logprobs", sampling.top_logprobs, 0, math.inf),
    )
    for name, value, least, most in ranges:
        if not least <= value <= most:
            raise RunnerError(f"sampling: {name} must lie between {least} and {most}, not be {value}")
    if sampling.top_p == 0:
        raise RunnerError("sampling: top_p must be more than 0")
    if sampling.top_logprobs > MAX_TOP_LOGPROBS:
        raise CapabilityError(f"sampling: at most {MAX_TOP_LOGPROBS} top log-probabilities a token")
    if len(sampling.stop) > MAX_STOPS or any(not 0 < len(stop) <= MAX_STOP_CHARS for stop in sampling.stop):
        raise RunnerError(f"sampling: at most {MAX_STOPS} stop texts of 1 to {MAX_STOP_CHARS} characters")
