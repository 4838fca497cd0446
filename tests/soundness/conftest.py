"""Fixtures of the soundness suite."""

from __future__ import annotations

import pytest

from tests.soundness.harness import Lab


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(monkeypatch)
