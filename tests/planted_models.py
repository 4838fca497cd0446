"""Models with planted memories for tests: trained once a machine (the cache is locked; parallel workers share it), loaded once a
process. Skips where torch is missing."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from audit.runners.planted import PlantedPlan

if TYPE_CHECKING:
    from audit.runners.transformers_runner import TransformersRunner

SMALL = PlantedPlan(seed=20260803, people=((1, 6), (4, 6), (16, 6), (64, 6)), heldout=60, recipe="planted-small")
"""For tests: about 8 seconds of one core. People by `draw_planted(SMALL)`."""


@functools.cache
def folder(plan: PlantedPlan = SMALL) -> Path:
    """Its directory, an ordinary Hugging Face one."""
    pytest.importorskip("transformers")
    from audit.runners.planted import planted_folder

    return planted_folder(plan)


@functools.cache
def runner(plan: PlantedPlan = SMALL) -> TransformersRunner:
    """A runner on the CPU with one thread, shared by the tests of a process: do not close it."""
    torch = pytest.importorskip("torch")
    from audit.runners.transformers_runner import TransformersRunner

    torch.set_num_threads(1)
    return TransformersRunner(folder(plan), device="cpu")
