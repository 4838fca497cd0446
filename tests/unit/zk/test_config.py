"""The run configuration is read strictly: every mistake names its key and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from zk.frontend.config import check_against, load_config, parse_config
from zk.frontend.datasets import load_dataset
from zk.frontend.errors import ConfigError

GOOD = {
    "dataset": {"source": '"sklearn:digits"', "test_fraction": "0.25", "standardise": "false"},
    "model": {"layers": "[64, 32, 10]", "loss": '"softmax_ce"'},
    "training": {"batch_size": "32", "epochs": "3", "learning_rate": "0.5", "seed": "7", "segment_steps": "64"},
    "zk": {"profile": '"S13"'},
}


def _text(changes: dict[str, str | None] | None = None) -> str:
    """TOML of GOOD with `section.key` replaced, or removed where the value is None."""
    sections = {name: dict(keys) for name, keys in GOOD.items()}
    for path, value in (changes or {}).items():
        section, key = path.split(".")
        if value is None:
            del sections[section][key]
        else:
            sections.setdefault(section, {})[key] = value
    return "\n".join(f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in keys.items()) for name, keys in sections.items())


def test_every_key_is_read():
    config = parse_config(_text(), Path("here"))
    assert (config.dataset.source, config.dataset.base) == ("sklearn:digits", Path("here"))
    assert (config.dataset.test_fraction, config.dataset.standardise) == (0.25, False)
    assert (config.model.layers, config.model.loss, config.profile) == ((64, 32, 10), "softmax_ce", "S13")
    t = config.training
    assert (t.batch_size, t.epochs, t.learning_rate, t.seed, t.segment_steps) == (32, 3, 0.5, 7, 64)


def test_defaults():
    optional = ("dataset.test_fraction", "dataset.standardise", "training.seed", "training.segment_steps", "zk.profile")
    config = parse_config(_text(dict.fromkeys(optional)), Path("."))
    assert (config.dataset.test_fraction, config.dataset.standardise, config.profile) == (0.2, True, "auto")
    assert (config.training.seed, config.training.segment_steps) == (0, 128)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dataset.source", None, "dataset.source is missing; write a path"),
        ("dataset.source", "3", "dataset.source: write a path"),
        ("dataset.source", '" "', "dataset.source: write a path"),
        ("dataset.test_fraction", "1.0", r"test_fraction: 1\.0; write a number from 0 to 0\.9"),
        ("dataset.test_fraction", "true", "test_fraction: True; write a number"),
        ("dataset.standardise", "1", "standardise: 1; write true or false"),
        ("dataset.sorce", '"x"', r"unknown key dataset\.sorce; \[dataset\] knows source"),
        ("model.layers", None, "model.layers is missing"),
        ("model.layers", "[64]", "model.layers: write a list of 2 to 33 widths"),
        ("model.layers", "64", "model.layers: write a list"),
        ("model.layers", "[64, 0, 10]", "model.layers: 0 is not a width"),
        ("model.layers", '[64, "32", 10]', "model.layers: '32' is not a width"),
        ("model.loss", '"hinge"', '\'hinge\' is unknown; write one of "softmax_ce", "squared_error"'),
        ("training.batch_size", "0", "training.batch_size: 0; write a whole number from 1"),
        ("training.batch_size", "3.5", r"training.batch_size: 3\.5; write a whole number"),
        ("training.epochs", "true", "training.epochs: True; write a whole number"),
        ("training.learning_rate", "0", "training.learning_rate: 0; write a number above 0"),
        ("training.learning_rate", "nan", "training.learning_rate: nan"),
        ("training.learning_rate", "-0.1", r"training.learning_rate: -0\.1"),
        ("training.seed", "-1", "training.seed: -1"),
        ("training.segment_steps", "4097", "training.segment_steps: 4097; write a whole number from 1 to 4096"),
        ("zk.profile", '"TOY4"', '\'TOY4\' is unknown; write one of "auto", "S10"'),
        ("optimizer.name", '"adam"', r"unknown section \[optimizer\]; write \[dataset\], \[model\]"),
    ],
)
def test_mistakes_name_the_key(key, value, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(_text({key: value}), Path("."))


def test_files_that_cannot_be_parsed(tmp_path):
    with pytest.raises(ConfigError, match="not valid TOML"):
        parse_config("[dataset", Path("."))
    with pytest.raises(ConfigError, match=r"dataset must be a section; write \[dataset\]"):
        parse_config('dataset = "x"', Path("."))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "bad.toml")


def test_relative_sources_start_at_the_config_file(tmp_path):
    (tmp_path / "run.toml").write_text(_text({"dataset.source": '"rows.csv"'}))
    (tmp_path / "rows.csv").write_text("a,label\n1,x\n2,y\n3,x\n4,y\n")
    config = load_config(tmp_path / "run.toml")
    assert load_dataset(config.dataset.source, base=config.dataset.base).n_rows == 4


@pytest.mark.parametrize(
    ("changes", "source", "message"),
    [
        ({"model.layers": "[63, 10]"}, "sklearn:digits", "starts with 63; sklearn:digits has 64 features"),
        ({"model.layers": "[64, 9]"}, "sklearn:digits", "ends with 9; sklearn:digits has 10 classes"),
        ({"model.layers": "[10, 1]"}, "sklearn:diabetes", 'write loss = "squared_error"'),
        ({"training.batch_size": "60000"}, "sklearn:digits", "batch_size is 60000; sklearn:digits has 1797 rows"),
    ],
)
def test_configuration_must_fit_the_dataset(changes, source, message):
    with pytest.raises(ConfigError, match=message):
        check_against(parse_config(_text(changes), Path(".")), load_dataset(source))
