"""Two runs draw the same: see tests/conftest.py."""

from __future__ import annotations

import os
import secrets

import pytest


@pytest.fixture
def own() -> int:
    return secrets.randbits(64)


@pytest.fixture(scope="module")
def shared() -> int:
    return secrets.randbits(64)


@pytest.mark.skipif(bool(os.environ.get("ASSAY_TEST_SEED")), reason="ASSAY_TEST_SEED names another stream")
def test_a_test_draws_the_same_in_every_run() -> None:
    assert secrets.randbits(32) == 3507671765


def test_fixtures_and_tests_draw_numbers_of_their_own(own: int, shared: int) -> None:
    assert len({own, shared, secrets.randbits(64), secrets.randbits(64)}) == 4
