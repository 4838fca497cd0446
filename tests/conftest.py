"""Every run of a test draws the same random numbers: another key a day would be a test that fails one day in a hundred.

What draws freely in the product and decides a statistical result draws with `secrets.randbits` (watermark keys, seeds of texts
and of Monte-Carlo tests). Under test each fixture and each test has a stream of its own, seeded with its name and
`ASSAY_TEST_SEED`: what it draws depends neither on the tests beside it nor on their order. Nonces, salts, blindings and
signing keys stay fresh (`secrets.token_bytes`, `os.urandom`): no result may follow from them. Hypothesis tries the same
examples in every run too, and none of its examples has a time limit.
"""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

SEED = os.environ.get("ASSAY_TEST_SEED", "")

settings.register_profile("repeatable", derandomize=not SEED, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")


@contextmanager
def _seeded(name: str) -> Generator[None]:
    before, secrets.randbits = secrets.randbits, random.Random(f"{SEED}/{name}").getrandbits
    try:
        yield
    finally:
        secrets.randbits = before


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Generator[None, Any, Any]:
    with _seeded(f"{request.node.nodeid} {fixturedef.argname}"):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    with _seeded(item.nodeid):
        return (yield)
