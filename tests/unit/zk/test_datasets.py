"""Every supported source loads, and every unusable one is refused with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from zk.frontend.datasets import BUNDLED, load_dataset
from zk.frontend.errors import DatasetError

GOOD = "a,b,label\n1,2.5,cat\n3,4,dog\n5,6,cat\n-7,1e2,dog\n"


def _csv(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text)
    return path


def _npz(folder: Path, **arrays: object) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sets(name):
    data = load_dataset(f"sklearn:{name}")
    assert data.features.dtype == np.float64 and len(data.feature_names) == data.n_features
    assert data.is_classification is (name != "diabetes")
    if data.is_classification:
        assert sorted(np.unique(data.targets)) == list(range(data.n_targets))
    else:
        assert data.targets.shape == (442, 1)


def test_unknown_bundled_set():
    with pytest.raises(DatasetError, match="sklearn:boston; one of breast_cancer"):
        load_dataset("sklearn:boston")


def test_csv_with_text_labels(tmp_path):
    data = load_dataset(_csv(tmp_path, GOOD))
    assert data.features.tolist() == [[1, 2.5], [3, 4], [5, 6], [-7, 100]]
    assert (data.targets.tolist(), data.class_names, data.feature_names) == ([0, 1, 0, 1], ("cat", "dog"), ("a", "b"))


def test_csv_target_by_name_group_and_values(tmp_path):
    path = _csv(tmp_path, "y,a,group\n1.5,1,old\n2.5,2,new\n3.5,3,old\n4.5,4,old\n")
    data = load_dataset(path)
    assert not data.is_classification and data.targets.tolist() == [[1.5], [2.5], [3.5], [4.5]]
    assert (data.feature_names, data.group_names, data.groups.tolist()) == (("a",), ("new", "old"), [1, 0, 1, 1])


def test_last_column_is_the_target_and_the_task_can_be_forced(tmp_path):
    path = _csv(tmp_path, "a,price\n1,0\n2,1\n3,1\n4,0\n")
    assert load_dataset(path).class_names == ("0", "1")
    values = load_dataset(path, task="values")
    assert values.targets.tolist() == [[0], [1], [1], [0]] and not values.class_names


def test_relative_source_starts_at_the_base(tmp_path):
    _csv(tmp_path, GOOD)
    data = load_dataset("data.csv", base=tmp_path)
    assert data.n_rows == 4 and data.source == "data.csv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line must name the columns"),
        ("a,label\n", "a header but no rows"),
        ("a,b,label\n1,2,x\n3,y\n", "line 3 has 2 fields, the header 3"),
        ("a,b,label\n1,2,x\n\n3,4,y\n", "line 3 is empty"),
        ("a,b,label\n1,2,x\n3,red,y\n5,6,x\n7,8,y\n", "line 3, column 'b' holds 'red', not a number"),
        ("a,b,label\n1,2,x\n3,,y\n5,6,x\n7,8,y\n", "line 3, column 'b' holds '', not a number"),
        ("a,b,label\n1,2,x\n3,nan,y\n5,6,x\n7,8,y\n", "row 1, column 'b' holds nan"),
        ("a,b,label\n1,2,x\n3,4,y\n5,inf,x\n7,8,y\n", "row 2, column 'b' holds inf"),
        ("a,label\n1,x\n2,x\n3,x\n4,x\n", "every row has the label 'x'"),
        ("a,label\n1,x\n2,y\n3,x\n", "3 rows, at least 4"),
        ("1,2\n3,4\n5,6\n", "the first line holds numbers"),
        ("a,a,label\n1,2,x\n", "'a' is empty or appears twice"),
        ("label\nx\ny\nx\ny\n", "a target and features are needed"),
        ("a,label\n1,x\n2,\n3,x\n4,y\n", "line 3 has no value in column 'label'"),
        ('a,label\n1,"x\n2,y\n', "not a CSV file"),
        ("a,label\n1_0,x\n2,y\n3,x\n4,y\n", "line 2, column 'a' holds '1_0', not a number"),
        ("a,group,label\n1,2,x\n2,nan,y\n3,2,x\n4,2,y\n", "row 1 has no usable value in column 'group'"),
    ],
)
def test_broken_csv_names_its_place(tmp_path, text, message):
    with pytest.raises(DatasetError, match=message):
        load_dataset(_csv(tmp_path, text))


def test_text_that_is_not_utf8(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,label\n1,\xff\xfe\n")
    with pytest.raises(DatasetError, match="not UTF-8"):
        load_dataset(path)


def test_npz_of_images_with_groups_and_names(tmp_path):
    images = np.arange(40.0).reshape(5, 4, 2)
    names = np.array(["no", "yes"])
    path = _npz(tmp_path, X=images, y=np.array([0, 1, 1, 0, 0]), groups=np.array([3, 3, 8, 8, 3]), class_names=names)
    data = load_dataset(path)
    assert data.features.shape == (5, 8) and data.class_names == ("no", "yes")
    assert (data.groups.tolist(), data.group_names) == ([0, 0, 1, 1, 0], ("3", "8"))


def test_npz_of_several_value_columns(tmp_path):
    data = load_dataset(_npz(tmp_path, features=np.ones((4, 2)), targets=np.arange(8.0).reshape(4, 2)))
    assert data.targets.shape == (4, 2) and not data.is_classification


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": np.arange(4)}, "no array X or features; it holds y"),
        ({"X": np.ones((4, 2))}, "no array y or targets"),
        ({"X": np.ones((4, 2)), "y": np.arange(3)}, r"4 rows of features but targets of shape \(3,\)"),
        ({"X": np.ones(4), "y": np.arange(4)}, r"features have shape \(4,\)"),
        ({"X": np.array([["a"]] * 4), "y": np.arange(4)}, "numbers are expected"),
        ({"X": np.ones((0, 2)), "y": np.arange(0)}, "0 rows and 2 feature columns"),
        ({"X": np.ones((4, 0)), "y": np.array([0, 1, 0, 1])}, "0 feature columns"),
        ({"X": np.ones((4, 2)), "y": np.array([0, 1, 5, 1]), "class_names": np.array(["a", "b"])}, "label 5 in row 2"),
        ({"X": np.ones((4, 2)), "y": np.array(list("abca")), "class_names": np.array(["a", "b"])}, "label c in row 2"),
        ({"X": np.ones((4, 2)), "y": np.array([0.5, np.nan, 1, 2])}, "row 1, column 'target 0' holds nan"),
        ({"X": np.ones((4, 2)), "y": np.array([0, 1, 0, 1]), "groups": np.arange(3)}, "groups have shape"),
        ({"X": np.array([[1, {}]] * 4, dtype=object), "y": np.arange(4)}, "plain arrays"),
    ],
)
def test_broken_npz(tmp_path, arrays, message):
    with pytest.raises(DatasetError, match=message):
        load_dataset(_npz(tmp_path, **arrays))


def test_missing_damaged_and_unknown_files(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.npz does not exist"):
        load_dataset(tmp_path / "none.npz")
    for suffix in ("npz", "parquet"):
        (tmp_path / f"bad.{suffix}").write_bytes(b"PK\x03\x04garbage")
        with pytest.raises(DatasetError, match=f"bad.{suffix}"):
            load_dataset(tmp_path / f"bad.{suffix}")
    (tmp_path / "data.txt").write_text("1")
    with pytest.raises(DatasetError, match=r"unknown format \.txt"):
        load_dataset(tmp_path / "data.txt")
    with pytest.raises(DatasetError, match="unknown task"):
        load_dataset("sklearn:iris", task="guess")


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table({"a": [1, 2, 3, 4], "b": [0.5, 1.5, 2.5, 3.5], "label": ["x", "y", "x", "y"]})
    parquet.write_table(table, tmp_path / "data.parquet")
    data = load_dataset(tmp_path / "data.parquet")
    assert data.features.tolist() == [[1, 0.5], [2, 1.5], [3, 2.5], [4, 3.5]] and data.class_names == ("x", "y")
    parquet.write_table(table.set_column(0, "a", [[1, None, 3, 4]]), tmp_path / "null.parquet")
    with pytest.raises(DatasetError, match="row 1, column 'a' holds nan"):
        load_dataset(tmp_path / "null.parquet")
    parquet.write_table(table.set_column(0, "a", [[[1], [2], [3], [4]]]), tmp_path / "list.parquet")
    with pytest.raises(DatasetError, match="column 'a' has type"):
        load_dataset(tmp_path / "list.parquet")
