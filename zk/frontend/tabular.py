"""CSV and Parquet files as named columns, and the split into features, target and group."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zk.frontend.errors import DatasetError

TARGET_NAMES = ("target", "label", "y")
GROUP_NAMES = ("group", "groups")
MAX_FIELD = 1 << 16


@dataclass(frozen=True)
class Columns:
    """Columns in file order; text columns hold str, numeric ones float64. `first_line` is the line of row 0, or 0."""

    names: tuple[str, ...]
    values: tuple[npt.NDArray[Any], ...]
    where: str
    first_line: int = 0

    def place(self, row: int) -> str:
        return f"line {row + self.first_line}" if self.first_line else f"row {row}"


@dataclass(frozen=True)
class Table:
    features: npt.NDArray[np.float64]
    target: npt.NDArray[Any]
    feature_names: tuple[str, ...]
    group: npt.NDArray[Any] | None


def read_csv(path: Path) -> Columns:
    """Comma-separated text with a header line; raises `DatasetError` naming the line of a ragged row."""
    rows: list[list[str]] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            csv.field_size_limit(MAX_FIELD)
            reader = csv.reader(file, strict=True)
            header = next(reader, None)
            if not header:
                raise DatasetError(f"{path}: empty; the first line must name the columns")
            _check_header(path, header)
            for row in reader:
                if not row:
                    raise DatasetError(f"{path}: line {reader.line_num} is empty; remove it")
                if len(row) != len(header):
                    line = reader.line_num
                    raise DatasetError(f"{path}: line {line} has {len(row)} fields, the header {len(header)}")
                rows.append(row)
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: not UTF-8 text; save the file as UTF-8") from None
    except csv.Error as error:
        raise DatasetError(f"{path}: not a CSV file ({error})") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from None
    if not rows:
        raise DatasetError(f"{path}: a header but no rows")
    names = tuple(name.strip() for name in header)
    columns = tuple(_numeric_if_possible([row[j].strip() for row in rows]) for j in range(len(names)))
    return Columns(names, columns, str(path), first_line=2)


def _check_header(path: Path, header: list[str]) -> None:
    names = [name.strip() for name in header]
    if all(_number(name) is not None for name in names):
        raise DatasetError(f"{path}: the first line holds numbers; it must name the columns")
    for name in names:
        if not name or names.count(name) > 1:
            raise DatasetError(f"{path}: column name {name!r} is empty or appears twice in the header")


def read_parquet(path: Path) -> Columns:
    """A Parquet file of numeric or text columns; nulls become NaN in numeric columns."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DatasetError("pyarrow is not installed; run: pip install 'assay-audit[prove]'") from None
    try:
        table = parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise DatasetError(f"{path}: not a readable Parquet file ({error})") from None
    values = []
    for name in table.column_names:
        kind = table.schema.field(name).type
        column = table.column(name)
        if pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind) or pyarrow.types.is_boolean(kind):
            cells = [float("nan") if item is None else float(item) for item in column.to_pylist()]
            values.append(np.array(cells, dtype=np.float64))
        elif pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or pyarrow.types.is_dictionary(kind):
            values.append(np.array(["" if item is None else str(item) for item in column.to_pylist()], dtype=str))
        else:
            raise DatasetError(f"{path}: column {name!r} has type {kind}; numbers or text are expected")
    if not values or table.num_rows == 0:
        raise DatasetError(f"{path}: no rows")
    return Columns(tuple(table.column_names), tuple(values), str(path))


def split_columns(columns: Columns) -> Table:
    """Target column by name (else the last), optional group column, all others as numeric features."""
    lowered = [name.lower() for name in columns.names]
    target = next((lowered.index(name) for name in TARGET_NAMES if name in lowered), len(lowered) - 1)
    group = next((lowered.index(name) for name in GROUP_NAMES if name in lowered), None)
    chosen = [j for j in range(len(lowered)) if j not in (target, group)]
    if group == target or not chosen:
        raise DatasetError(f"{columns.where}: columns {', '.join(columns.names)}; a target and features are needed")
    for j in chosen:
        if columns.values[j].dtype.kind != "f":
            _refuse_text(columns, j)
    for j in [target] if group is None else [target, group]:
        if columns.values[j].dtype.kind == "U" and np.any(columns.values[j] == ""):
            row = int(np.argmax(columns.values[j] == ""))
            raise DatasetError(f"{columns.where}: {columns.place(row)} has no value in column {columns.names[j]!r}")
    features = np.stack([columns.values[j] for j in chosen], axis=1)
    names = tuple(columns.names[j] for j in chosen)
    return Table(features, columns.values[target], names, None if group is None else columns.values[group])


def _refuse_text(columns: Columns, j: int) -> None:
    row = next(i for i, cell in enumerate(columns.values[j]) if _number(str(cell)) is None)
    cell = str(columns.values[j][row])
    raise DatasetError(
        f"{columns.where}: {columns.place(row)}, column {columns.names[j]!r} holds {cell[:40]!r}, not a number; "
        "encode text columns as numbers first"
    )


def _numeric_if_possible(cells: list[str]) -> npt.NDArray[Any]:
    numbers = [_number(cell) for cell in cells]
    if any(number is None for number in numbers):
        return np.array(cells, dtype=str)
    return np.array(numbers, dtype=np.float64)


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python's digit separators are no number format of CSV files
    except ValueError:
        return None
