"""The tests of change keep their level where nothing changes."""

from __future__ import annotations

import pytest

from tests.unit.watermark.test_distortion import null_levels


@pytest.mark.guarantee
def test_level_of_the_tests_of_change() -> None:
    """2,000 null runs each; at most 5 %, with three standard errors of slack."""
    runs = 2000
    assert all(count <= 0.05 * runs + 3 * (0.05 * 0.95 * runs) ** 0.5 for count in null_levels(77, runs))
