"""The tiny model for tests: trained once a machine (the cache keeps it), loaded once a process. Skips where torch is missing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from audit.runners.transformers_runner import TransformersRunner


@functools.cache
def folder(seed: int = 0, recipe: str = "tiny") -> Path:
    """Its directory, an ordinary Hugging Face one."""
    pytest.importorskip("transformers")
    from audit.runners.tiny import tiny_folder

    return tiny_folder(seed, recipe=recipe)


@functools.cache
def runner(seed: int = 0, recipe: str = "tiny") -> TransformersRunner:
    """A runner on the CPU with one thread, shared by the tests of a process: do not close it."""
    torch = pytest.importorskip("torch")
    from audit.runners.transformers_runner import TransformersRunner

    torch.set_num_threads(1)
    return TransformersRunner(folder(seed, recipe), device="cpu")
