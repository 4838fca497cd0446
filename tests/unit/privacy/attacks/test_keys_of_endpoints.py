"""A reference at another address must not be sent the API key of the model's endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.cli.privacy import named_model
from api.cli.privacy.local_run import local_run


@pytest.mark.parametrize(
    ("other", "goes"), [("https://b.example/v1#y", False), ("https://a.example/v1#z", True), ("tiny", False)]
)
def test_the_key_goes_to_its_own_address(other: str, goes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Path | None] = {}

    @contextmanager
    def opened(spec: str, device: str, progress: Any, key: Path | None = None) -> Iterator[object]:
        given[spec] = key
        yield object()

    monkeypatch.setattr(named_model, "opened", opened)
    monkeypatch.setattr(named_model, "digest_of_named", lambda spec: spec)
    model, key = "https://a.example/v1#x", Path("key")
    bar: Any = None
    with local_run({}, {"model": model, "reference": other}, ["text"], None, "cpu", key, bar):
        assert given == {model: key, other: key if goes else None}
