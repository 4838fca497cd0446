"""From what a user types to a runner: `tiny`, a model directory, or the address of an OpenAI-compatible endpoint."""

from __future__ import annotations

from pathlib import Path

from audit.runners.exchanges import ExchangeLog
from audit.runners.protocol import Progress, Runner, RunnerError

MAX_SPEC_CHARS = 2048
BUILT_IN = ("tiny", "tiny-small")
MAX_SEED_DIGITS = 9


def open_runner(
    spec: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    api_key: str | None = None,
    allow_private: bool = False,
    progress: Progress | None = None,
    exchanges: ExchangeLog | None = None,
) -> Runner:
    """A runner for `tiny`, `tiny:SEED`, `tiny-small`, a Hugging Face directory, or `http(s)://HOST/v1#MODEL`.

    `allow_private` lets an address lie in a private network or on this machine. `exchanges` keeps what an endpoint is asked and
    answers; wherever prompts hold personal values it must be `ExchangeLog.none()`. Raises RunnerError that names what is missing
    (a folder, a library group, an endpoint).
    """
    if spec.startswith(("http://", "https://")):
        _check_length(spec)
        from audit.runners.openai_runner import OpenAIRunner

        address, _, model = spec.partition("#")
        return OpenAIRunner(address, model or None, api_key=api_key, allow_private=allow_private, exchanges=exchanges)
    folder = local_folder(spec, progress)
    from audit.runners.transformers_runner import TransformersRunner

    return TransformersRunner(folder, device, dtype)


def local_folder(spec: str, progress: Progress | None = None) -> Path:
    """The directory of a model that is not an endpoint; `tiny` and its like are trained when the cache does not hold them.

    Raises RunnerError.
    """
    _check_length(spec)
    name, colon, seed = spec.partition(":")
    if name not in BUILT_IN:
        return Path(spec).expanduser()
    if colon and not (seed.isascii() and seed.isdigit() and len(seed) <= MAX_SEED_DIGITS):
        raise RunnerError(f"{name} is followed by a whole number of at most {MAX_SEED_DIGITS} digits, as in {name}:1")
    from audit.runners.tiny import tiny_folder

    return tiny_folder(int(seed or 0), progress, name)


def _check_length(spec: str) -> None:
    if not 0 < len(spec) <= MAX_SPEC_CHARS or "\0" in spec:
        raise RunnerError(f"a model is named by 1 to {MAX_SPEC_CHARS} characters: tiny, a directory, or an http(s) address")
