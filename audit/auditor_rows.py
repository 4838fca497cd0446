"""From an auditor's own rows, in real units, to the integers a run works in.

The published `run.json` says how features were standardised and at which scale; that is all an auditor needs. What the
provider says there is public and fixed before any request, and the proof is about the resulting integers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from audit.canonical import parse_json
from audit.errors import RequestError
from audit.proof_params import LIMIT
from zk.frontend.datasets import RawDataset, load_dataset
from zk.frontend.errors import FrontendError

MAX_BITS = 40


def params_from_rows(kind: str, source: str, run_json: bytes) -> dict[str, Any]:
    """Parameters of a `model.accuracy` or `data.nearest-row` request from a labelled file (CSV, NPZ, Parquet, sklearn:NAME).

    Labels are matched to the run's classes by name; a group column becomes the groups. Raises RequestError naming the file
    and what does not fit.
    """
    run = parse_json(run_json, "run.json")
    if not isinstance(run, dict):
        raise RequestError("run.json of this run is no JSON object; use --params")
    try:
        data = load_dataset(source, base=Path.cwd())
    except FrontendError as error:
        raise RequestError(str(error)) from error
    features = _to_integers(data, run, source)
    if kind == "data.nearest-row":
        if len(features) != 1:
            raise RequestError(f"{source} holds {len(features)} rows; a nearest-row request asks about exactly one")
        return {"query": features[0]}
    if kind != "model.accuracy":
        raise RequestError(f"{kind} takes no rows; give its parameters with --params")
    params: dict[str, Any] = {"features": features, "labels": _to_labels(data, run, source)}
    if data.groups is not None:
        params["groups"] = [int(group) for group in data.groups]
    return params


def _to_integers(data: RawDataset, run: Any, source: str) -> list[list[int]]:
    try:
        mapping = run["features"]
        mean, scale = np.array(mapping["mean"], dtype=np.float64), np.array(mapping["scale"], dtype=np.float64)
        bits = int(mapping["bits"])
        if mean.ndim != 1 or mean.shape != scale.shape or not 0 <= bits <= MAX_BITS:
            raise ValueError("mean and scale must hold one number a feature")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("mean and scale must be finite, and scale positive")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RequestError("run.json of this run does not say how features become integers; use --params") from error
    if data.features.shape[1] != len(mean):
        raise RequestError(f"{source} has {data.features.shape[1]} features, the run was trained on {len(mean)}")
    real = np.floor((data.features - mean) / scale * 2.0**bits + 0.5)
    if not (np.abs(real) <= LIMIT).all():
        row = int(np.argwhere(~(np.abs(real) <= LIMIT))[0][0])
        raise RequestError(f"row {row} of {source} leaves 40 bits at the scale of this run; is it in the same units?")
    values = real.astype(np.int64)
    return [[int(value) for value in row] for row in values]


def _to_labels(data: RawDataset, run: Any, source: str) -> list[int]:
    names = run.get("class_names", [])
    if not isinstance(names, list):
        raise RequestError("run.json of this run does not list its classes; use --params")
    known = {str(name): index for index, name in enumerate(names)}
    if not data.is_classification:
        raise RequestError(f"{source} holds values, not classes")
    unknown = [name for name in data.class_names if name not in known]
    if unknown:
        raise RequestError(f"{source} has the class {unknown[0]!r}; the run knows {', '.join(known)}")
    index = [known[name] for name in data.class_names]
    return [index[int(label)] for label in data.targets]
