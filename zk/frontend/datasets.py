"""Datasets from NPZ, CSV, Parquet files and scikit-learn's bundled sets, as float64 features and checked targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zk.frontend.errors import DatasetError
from zk.frontend.tabular import Columns, read_csv, read_parquet, split_columns

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TASKS = ("auto", "classes", "values")
BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")
MIN_ROWS = 4
MAX_CLASSES = 256


@dataclass(frozen=True)
class RawDataset:
    """features [N, F] finite; targets are class indices [N] (then `class_names` is not empty) or values [N, C].

    `groups` holds group indices [N] into `group_names`, or None. `source` describes where the rows came from.
    """

    features: FloatArray
    targets: IntArray | FloatArray
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    source: str
    groups: IntArray | None = None
    group_names: tuple[str, ...] = ()

    @property
    def n_rows(self) -> int:
        return len(self.features)

    @property
    def n_features(self) -> int:
        return self.features.shape[1]

    @property
    def is_classification(self) -> bool:
        return bool(self.class_names)

    @property
    def n_targets(self) -> int:
        return len(self.class_names) if self.is_classification else self.targets.shape[1]


def load_dataset(source: str | Path, task: str = "auto", base: Path | None = None) -> RawDataset:
    """Read `sklearn:<name>` or a .npz, .csv or .parquet file (relative paths start at `base`).

    NPZ: arrays X or features, y or targets, optional groups, class_names, feature_names. CSV and Parquet: one named
    column a feature; the target is the column target, label or y, else the last one; a column group is optional.
    `task` "auto" takes text, booleans and few distinct whole numbers as classes; "classes" and "values" force it.
    Raises `DatasetError` for a missing or malformed file, no rows, NaN or infinity (naming row and column), ragged or
    non-numeric rows (naming the line), labels outside the given classes, a single class, and too few rows.
    """
    if task not in TASKS:
        raise DatasetError(f"unknown task {task!r}; write one of {', '.join(TASKS)}")
    text = str(source)
    if text.startswith("sklearn:"):
        data = _from_sklearn(text.removeprefix("sklearn:"), task)
    else:
        path = Path(text) if base is None else base / text
        if not path.is_file():
            raise DatasetError(f"dataset file {path} does not exist; write a path to a .npz, .csv or .parquet file")
        data = replace(_from_file(path, task), source=text)
    _check(data)
    return data


def _from_file(path: Path, task: str) -> RawDataset:
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return _from_npz(path, task)
    if suffix == ".csv":
        return _from_columns(read_csv(path), task)
    if suffix in (".parquet", ".pq"):
        return _from_columns(read_parquet(path), task)
    raise DatasetError(f"{path}: unknown format {suffix or '(no suffix)'}; use .npz, .csv or .parquet")


def _from_columns(columns: Columns, task: str) -> RawDataset:
    table = split_columns(columns)
    targets, names = _targets(table.target, task, (), columns.where)
    groups, group_names = _indices(table.group, columns.where, "group") if table.group is not None else (None, ())
    return RawDataset(table.features, targets, names, table.feature_names, columns.where, groups, group_names)


def _from_npz(path: Path, task: str) -> RawDataset:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays: dict[str, npt.NDArray[Any]] = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, SyntaxError) as error:
        raise DatasetError(f"{path}: not a readable NPZ file of plain arrays ({type(error).__name__})") from None
    except Exception as error:  # zipfile and zlib raise their own families on damaged archives
        raise DatasetError(f"{path}: damaged NPZ file ({type(error).__name__}: {error})") from None
    features = _pick(path, arrays, ("X", "features"))
    target = _pick(path, arrays, ("y", "targets"))
    if features.dtype.kind not in "biuf":
        raise DatasetError(f"{path}: features have type {features.dtype}; numbers are expected")
    if features.ndim < 2:
        raise DatasetError(f"{path}: features have shape {features.shape}; [rows, columns] is expected")
    if target.ndim == 0 or len(target) != len(features):
        raise DatasetError(f"{path}: {len(features)} rows of features but targets of shape {target.shape}")
    flat = features.reshape(len(features), int(np.prod(features.shape[1:]))).astype(np.float64)
    given = tuple(str(name) for name in arrays["class_names"].ravel()) if "class_names" in arrays else ()
    targets, classes = _targets(target, task, given, str(path))
    groups: IntArray | None = None
    group_names: tuple[str, ...] = ()
    if "groups" in arrays:
        if arrays["groups"].shape != (len(features),):
            raise DatasetError(f"{path}: groups have shape {arrays['groups'].shape}, expected ({len(features)},)")
        groups, group_names = _indices(arrays["groups"], str(path), "groups")
    names = tuple(str(name) for name in arrays.get("feature_names", np.array([])).ravel())
    if len(names) != flat.shape[1]:
        names = _numbered(flat.shape[1])
    return RawDataset(flat, targets, classes, names, str(path), groups, group_names)


def _pick(path: Path, arrays: dict[str, npt.NDArray[Any]], names: tuple[str, str]) -> npt.NDArray[Any]:
    for name in names:
        if name in arrays:
            return arrays[name]
    raise DatasetError(f"{path}: no array {names[0]} or {names[1]}; it holds {', '.join(arrays) or 'nothing'}")


def _from_sklearn(name: str, task: str) -> RawDataset:
    if name not in BUNDLED:
        raise DatasetError(f"unknown bundled dataset sklearn:{name}; one of {', '.join(BUNDLED)}")
    try:
        from sklearn import datasets
    except ImportError:
        raise DatasetError("scikit-learn is not installed; run: pip install 'assay-audit[prove]'") from None
    bunch = getattr(datasets, f"load_{name}")()
    features = np.asarray(bunch.data, dtype=np.float64)
    feature_names = tuple(str(item) for item in bunch.feature_names)
    if name == "diabetes":
        targets, classes = _targets(np.asarray(bunch.target, dtype=np.float64), "values", (), name)
    else:
        given = tuple(str(item) for item in bunch.target_names) if task != "values" else ()
        targets, classes = _targets(np.asarray(bunch.target), task, given, name)
    return RawDataset(features, targets, classes, feature_names, f"sklearn:{name}")


def _targets(
    values: npt.NDArray[Any], task: str, given: tuple[str, ...], where: str
) -> tuple[IntArray | FloatArray, tuple[str, ...]]:
    """Class indices with names, or a float matrix with no names."""
    if values.ndim > 1 and values.shape[1:] == (1,):
        values = values.reshape(len(values))
    if values.ndim > 2:
        raise DatasetError(f"{where}: targets have shape {values.shape}; [rows] or [rows, outputs] is expected")
    numeric = values.dtype.kind in "biuf"
    as_classes = values.ndim == 1 and (task == "classes" or (task == "auto" and (given or _look_like_classes(values))))
    if not as_classes:
        if task == "classes":
            raise DatasetError(f"{where}: targets of shape {values.shape} are not one class label a row")
        if not numeric:
            raise DatasetError(f"{where}: targets have type {values.dtype}; numbers are expected")
        matrix = values.astype(np.float64).reshape(len(values), -1)
        _require_finite(matrix, tuple(f"target {j}" for j in range(matrix.shape[1])), where)
        return matrix, ()
    if numeric:
        _require_finite(values.astype(np.float64).reshape(-1, 1), ("target",), where)
    return _classes(values, given, where) if given else _distinct(values, where)


def _look_like_classes(values: npt.NDArray[Any]) -> bool:
    if values.dtype.kind not in "iuf":
        return True
    if not np.all(np.isfinite(values)) or np.any(values != np.floor(values)):
        return False
    return len(np.unique(values)) <= min(MAX_CLASSES, max(2, len(values) // 2))


def _classes(values: npt.NDArray[Any], given: tuple[str, ...], where: str) -> tuple[IntArray, tuple[str, ...]]:
    """Labels against declared class names: indices 0..C-1, or the names themselves."""
    if values.dtype.kind in "biuf":
        bad = (values < 0) | (values >= len(given)) | (values != np.floor(values.astype(np.float64)))
        out = values.astype(np.int64)
    else:
        lookup = {name: i for i, name in enumerate(given)}
        out = np.array([lookup.get(str(value), -1) for value in values], dtype=np.int64)
        bad = out < 0
    if np.any(bad):
        row = int(np.argmax(bad))
        raise DatasetError(f"{where}: label {values[row]} in row {row} is outside the {len(given)} declared classes")
    return out, given


def _distinct(values: npt.NDArray[Any], where: str) -> tuple[IntArray, tuple[str, ...]]:
    out, names = _indices(values, where, "target")
    if len(names) > MAX_CLASSES:
        raise DatasetError(f"{where}: {len(names)} distinct labels, at most {MAX_CLASSES} classes")
    return out, names


def _indices(values: npt.NDArray[Any], where: str, what: str) -> tuple[IntArray, tuple[str, ...]]:
    """Position among the sorted distinct values, and their names (whole numbers without a decimal point)."""
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        raise DatasetError(f"{where}: row {int(np.argmin(np.isfinite(values)))} has no usable value in column {what!r}")
    distinct, index = np.unique(values, return_inverse=True)
    names = tuple(str(int(v)) if values.dtype.kind in "iuf" and v == np.floor(v) else str(v) for v in distinct)
    return index.reshape(-1).astype(np.int64), names


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"x{j}" for j in range(count))


def _require_finite(values: FloatArray, names: tuple[str, ...], where: str) -> None:
    bad = ~np.isfinite(values)
    if np.any(bad):
        row, column = (int(i[0]) for i in np.nonzero(bad))
        name, value = names[column], values[row, column]
        raise DatasetError(f"{where}: row {row}, column {name!r} holds {value}; remove or fill it")


def _check(data: RawDataset) -> None:
    if data.n_rows == 0 or data.n_features == 0:
        raise DatasetError(f"{data.source}: {data.n_rows} rows and {data.n_features} feature columns; nothing to learn")
    _require_finite(data.features, data.feature_names, data.source)
    if data.n_rows < MIN_ROWS:
        raise DatasetError(f"{data.source}: {data.n_rows} rows, at least {MIN_ROWS} are needed")
    if data.is_classification:
        present = np.unique(data.targets)
        if len(present) < 2:
            name = data.class_names[int(present[0])]
            raise DatasetError(f"{data.source}: every row has the label {name!r}; at least two classes are needed")
