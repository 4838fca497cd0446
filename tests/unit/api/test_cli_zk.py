"""Bad configurations, sources and options of the provider's commands: one clear line, the right code, nothing left behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from api.cli.main import main

GOOD = {
    "dataset": {"source": '"sklearn:wine"'},
    "model": {"layers": "[13, 8, 3]", "loss": '"softmax_ce"'},
    "training": {"batch_size": "16", "epochs": "1", "learning_rate": "0.125", "segment_steps": "4"},
    "zk": {"profile": '"S10"'},
}


def config_text(section: str = "zk", key: str = "profile", value: str | None = '"S10"') -> str:
    lines = []
    for name, members in GOOD.items():
        changed = dict(members)
        if name == section:
            changed.pop(key, None)
            changed |= {} if value is None else {key: value}
        lines += [f"[{name}]", *(f"{member} = {text}" for member, text in changed.items())]
    return "\n".join(lines) + "\n"


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Run, expect exit 1 with one line on stderr and nothing on stdout; gives the line."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    out, err = capsys.readouterr()
    assert stop.value.code == 1, err
    assert out == "" and len(err.strip().splitlines()) == 1 and err.startswith("assay: ")
    return err


@pytest.mark.parametrize(
    ("section", "key", "value", "named"),
    [
        ("dataset", "source", '"sklearn:nothing"', "nothing"),
        ("dataset", "source", '"absent.csv"', "absent.csv"),
        ("dataset", "source", None, "dataset.source"),
        ("dataset", "colour", '"blue"', "dataset.colour"),
        ("model", "layers", "[13]", "model.layers"),
        ("model", "layers", "[12, 3]", "model.layers"),
        ("model", "layers", "[13, 4]", "model.layers"),
        ("model", "loss", '"hinge"', "model.loss"),
        ("training", "batch_size", "0", "training.batch_size"),
        ("training", "batch_size", "170", "training.batch_size"),
        ("training", "epochs", "1.5", "training.epochs"),
        ("training", "learning_rate", "nan", "training.learning_rate"),
        ("training", "learning_rate", "1000.0", "learning_rate"),
        ("training", "segment_steps", "5000", "training.segment_steps"),
        ("zk", "profile", '"TOY4"', "zk.profile"),
    ],
)
@pytest.mark.parametrize("command", ["train", "estimate"])
def test_bad_configurations(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, section: str, key: str, value: str | None, named: str
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(config_text(section, key, value))
    options = ["--out", tmp_path / "run"] if command == "train" else []
    assert named in refused(capsys, command, path, *options)
    assert not (tmp_path / "run").exists()


def test_no_configuration_no_toml_no_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "cannot be read" in refused(capsys, "train", tmp_path / "absent.toml", "--out", tmp_path / "run")
    (tmp_path / "broken.toml").write_text("[dataset\n")
    assert "TOML" in refused(capsys, "train", tmp_path / "broken.toml", "--out", tmp_path / "run")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused(capsys, "train", tmp_path / "binary.toml", "--out", tmp_path / "run")


def test_rows_with_nan_name_row_and_column(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = np.arange(40.0).reshape(10, 4)
    rows[7, 2] = np.nan
    np.savez(tmp_path / "rows.npz", X=rows, y=np.arange(10) % 2)
    line = refused(capsys, "commit", "dataset", tmp_path / "rows.npz", "--out", tmp_path / "out")
    assert "row 7" in line and "nan" in line


def test_a_public_folder_of_somebody_else_is_not_filled(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "site/public").mkdir(parents=True)
    (tmp_path / "run.toml").write_text(config_text())
    assert "--out" in refused(capsys, "train", tmp_path / "run.toml", "--out", tmp_path / "site")
    assert [path.name for path in (tmp_path / "site").iterdir()] == ["public"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--scale", "20"], "--scale"),
        (["--task", "colours"], "task"),
        (["--profile", "S99"], "S99"),
        (["--profile", "TOY4"], "TOY4"),
    ],
)
def test_bad_options_of_commit_dataset(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: list[str], named: str
) -> None:
    assert named in refused(capsys, "commit", "dataset", "sklearn:wine", "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def write_weights(path: Path, largest: float = 1.0) -> None:
    rng = np.random.default_rng(3)
    arrays = {"0.weight": rng.normal(size=(4, 6)), "0.bias": rng.normal(size=4), "2.weight": rng.normal(size=(3, 4))}
    arrays["2.weight"][0, 0] = largest
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("name", "options", "named"),
    [
        ("absent.npz", [], "absent.npz"),
        ("model.pt", [], "safetensors"),
        ("model.txt", [], "model.txt"),
        ("empty", [], "0 .safetensors or .npz"),
        ("huge.npz", ["--weight-scale", "24"], "does not fit 32 bits"),
        ("good.npz", ["--loss", "hinge"], "hinge"),
        ("good.npz", ["--weight-scale", "4"], "--weight-scale"),
        ("good.npz", ["--feature-scale", "-1"], "--feature-scale"),
        ("damaged.npz", [], "damaged.npz"),
    ],
)
def test_bad_models(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, options: list[str], named: str) -> None:
    (tmp_path / "empty").mkdir()
    for text in ("model.pt", "model.txt", "damaged.npz"):
        (tmp_path / text).write_bytes(b"PK\x03\x04 nothing")
    write_weights(tmp_path / "good.npz")
    write_weights(tmp_path / "huge.npz", 1e4)
    assert named in refused(capsys, "commit", "model", tmp_path / name, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    return int(stop.value.code or 0), capsys.readouterr().out


def test_commitments_verify_and_again_is_harmless(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    write_weights(tmp_path / "checkpoint/weights.npz")
    model = ["commit", "model", tmp_path / "checkpoint", "--out", tmp_path / "model", "--json"]
    data = ["commit", "dataset", "sklearn:diabetes", "--out", tmp_path / "data", "--standardise", "--json"]
    for words, layout in ((model, "layers"), (data, "features")):
        code, first = run(capsys, *words)
        assert code == 0 and layout in json.loads(first)
        assert run(capsys, *words) == (0, first), "the same commitment, not a second one"
    code, out = run(capsys, "verify", tmp_path / "model", tmp_path / "data", "--json")
    found = json.loads(out)
    assert code == 0 and found["verdict"] == "holds"
    identifiers = {check["id"] for check in found["checks"]}
    assert {"proof.certificate-weights", "proof.certificate-dataset", "description.model.json"} <= identifiers
    (tmp_path / "model/public/model.json").write_text(
        (tmp_path / "model/public/model.json").read_text().replace('"s_x": 8', '"s_x": 9')
    )
    assert run(capsys, "verify", tmp_path / "model")[0] == 3
    assert run(capsys, "verify", tmp_path / "data/public/commitments/dataset.record")[0] == 0


def test_other_data_into_the_same_folder_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = np.arange(40.0).reshape(10, 4)
    np.savez(tmp_path / "rows.npz", X=rows, y=np.arange(10) % 2)
    words = ["commit", "dataset", tmp_path / "rows.npz", "--out", tmp_path / "out"]
    assert run(capsys, *words)[0] == 0
    record = (tmp_path / "out/public/commitments/dataset.record").read_bytes()
    assert "another commitment" in refused(capsys, *words, "--standardise")
    np.savez(tmp_path / "rows.npz", X=rows + 1, y=np.arange(10) % 2)
    assert "has changed" in refused(capsys, *words)
    assert (tmp_path / "out/public/commitments/dataset.record").read_bytes() == record
