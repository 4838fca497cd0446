"""Parameters of the proof-backed audits: strict readers of what an auditor wrote. Values are integers at the run's
scales."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from audit.errors import RequestError

MAX_ROWS = 1 << 16
MAX_VALUES = 1 << 20
MAX_GROUPS = 256
LIMIT = 1 << 40


@dataclass(frozen=True)
class AccuracyParams:
    """features flat, row after row; labels and groups one a row; `n_groups` >= 1."""

    features: tuple[int, ...]
    labels: tuple[int, ...]
    groups: tuple[int, ...]
    n_groups: int


@dataclass(frozen=True)
class PredicateParams:
    feature: int
    threshold: int


@dataclass(frozen=True)
class NearestParams:
    query: tuple[int, ...]


def read_nothing(params: Mapping[str, Any]) -> None:
    """Kinds without parameters."""
    _only(params, ())


def read_accuracy(params: Mapping[str, Any]) -> AccuracyParams:
    """`{"features": [[int]], "labels": [int], "groups": [int]?}`. Raises RequestError naming row and column."""
    _only(params, ("features", "labels", "groups"))
    rows = params.get("features")
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not 1 <= len(rows) <= MAX_ROWS:
        raise RequestError(f"params.features must be 1 to {MAX_ROWS} rows of integers")
    flat: list[int] = []
    for i, row in enumerate(rows):
        values = _integers(row, f"params.features[{i}]")
        if i and len(values) * i != len(flat):
            raise RequestError(f"params.features[{i}] has {len(values)} values, row 0 has {len(flat) // i}")
        flat += values
        if len(flat) > MAX_VALUES:
            raise RequestError(f"params.features has more than {MAX_VALUES} values; send fewer rows")
    labels = _integers(params.get("labels"), "params.labels")
    groups = _integers(params["groups"], "params.groups") if "groups" in params else [0] * len(rows)
    for name, values in (("labels", labels), ("groups", groups)):
        if len(values) != len(rows) or (values and min(values) < 0):
            raise RequestError(f"params.{name} must hold {len(rows)} numbers from 0 up, one a row")
    n_groups = 1 + max(groups)
    if n_groups > MAX_GROUPS:
        raise RequestError(f"params.groups names {n_groups} groups, at most {MAX_GROUPS}")
    return AccuracyParams(tuple(flat), tuple(labels), tuple(groups), n_groups)


def read_predicate(params: Mapping[str, Any]) -> PredicateParams:
    """`{"feature": column number, "threshold": integer}`."""
    _only(params, ("feature", "threshold"))
    feature, threshold = _integer(params.get("feature"), "params.feature"), _integer(params.get("threshold"), "params.threshold")
    if not 0 <= feature < MAX_VALUES:
        raise RequestError(f"params.feature must be a column number, 0 to {MAX_VALUES - 1}")
    return PredicateParams(feature, threshold)


def read_nearest(params: Mapping[str, Any]) -> NearestParams:
    """`{"query": [int]}`, one value a feature."""
    _only(params, ("query",))
    query = _integers(params.get("query"), "params.query")
    if not query:
        raise RequestError("params.query must hold one integer a feature")
    return NearestParams(tuple(query))


def _only(params: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise RequestError(f"unknown parameter {unknown[0][:60]!r}; known: {', '.join(known) or 'none'}")


def _integers(values: Any, where: str) -> list[int]:
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise RequestError(f"{where} must be a list of integers")
    return [_integer(value, f"{where}[{i}]") for i, value in enumerate(values)]


def _integer(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LIMIT:
        raise RequestError(f"{where} must be an integer of at most 40 bits, at the scale the run publishes")
    return value
