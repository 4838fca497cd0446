"""Where shared test data lie: `$ASSAY_DATA`, or `../shared/data` beside the project. Nothing of it is needed to run Assay."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def data_folder() -> Path:
    return Path(os.environ.get("ASSAY_DATA", ROOT.parent / "shared" / "data"))


def json_files(room: str, kind: str, field: str = "kind") -> list[Any]:
    """pytest parameters: every JSON file of `room` whose `field` is `kind`; one loudly skipped case where none lies."""
    found = []
    for path in sorted((data_folder() / room).glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get(field) == kind:
            found.append(pytest.param(content, id=path.name))
    if found:
        return found
    reason = f"no {room} data whose {field} is {kind} under {data_folder()}; set ASSAY_DATA to run this test"
    warnings.warn(reason, stacklevel=2)
    return [pytest.param({}, id="missing", marks=pytest.mark.skip(reason=reason))]
