"""Parameters that watermark audits share: documents, and the draws that a level needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from audit.errors import RequestError

MAX_DOCUMENTS = 256
MAX_ID_CHARS = 200
MAX_TOKEN = 1 << 32
MAX_RUNS = 100_000
MIN_ALPHA, MAX_ALPHA = 1e-9, 0.05


def read_documents(value: Any, where: str = "params.documents") -> tuple[Mapping[str, Any], ...]:
    """A list of `{"id", "text"}` or `{"id", "input_ids"}`. Raises RequestError that names the document."""
    if not isinstance(value, list) or not 0 < len(value) <= MAX_DOCUMENTS:
        raise RequestError(f"{where} must be a list of 1 to {MAX_DOCUMENTS} documents")
    seen = set()
    for index, document in enumerate(value):
        at = f"{where}[{index}]"
        if not isinstance(document, Mapping) or set(document) not in ({"id", "text"}, {"id", "input_ids"}):
            raise RequestError(f"{at} must have exactly id and text, or id and input_ids")
        name = document["id"]
        if not isinstance(name, str) or not 0 < len(name) <= MAX_ID_CHARS or not name.isprintable():
            raise RequestError(f"{at}.id must be 1 to {MAX_ID_CHARS} printable characters")
        if name in seen:
            raise RequestError(f"{at}.id is that of another document")
        seen.add(name)
        if "text" in document and (not isinstance(document["text"], str) or not document["text"].strip()):
            raise RequestError(f"{at}.text must be a text that is not empty")
        if "input_ids" in document:
            ids = document["input_ids"]
            if not isinstance(ids, list) or not ids or any(type(token) is not int or not 0 <= token < MAX_TOKEN for token in ids):
                raise RequestError(f"{at}.input_ids must be token ids from 0 to {MAX_TOKEN - 1}, at least one")
    return tuple(value)


def demand_runs(runs: int, alpha: float, tests: int = 1) -> None:
    """That a Monte-Carlo test can fall below alpha at all, also where it is one of several. Raises RequestError."""
    if (runs + 1) * alpha < tests * (1 - 1e-9):
        raise RequestError(f"params.runs must be at least {math.ceil(tests / alpha) - 1}: fewer draws cannot give p <= {alpha:g}")
