"""Strict reader of the run configuration CONFIG.toml."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zk.frontend.datasets import RawDataset
from zk.frontend.errors import ConfigError
from zk.protocol.params import MAX_LAYERS, MAX_SAMPLES, MAX_STEPS, MAX_WIDTH, STORE_PROFILES
from zk.protocol.programs.spec import LOSSES

PROFILES = ("auto", *(name for name, profile in STORE_PROFILES.items() if not profile.is_toy))
SECTIONS = {
    "dataset": ("source", "test_fraction", "standardise"),
    "model": ("layers", "loss"),
    "training": ("batch_size", "epochs", "learning_rate", "seed", "segment_steps"),
    "zk": ("profile",),
}
MAX_EPOCHS = 1 << 20
MAX_SEED = (1 << 63) - 1


@dataclass(frozen=True)
class DatasetConfig:
    """`source` as written; `base` is the folder that relative paths start at."""

    source: str
    base: Path
    test_fraction: float
    standardise: bool


@dataclass(frozen=True)
class ModelConfig:
    layers: tuple[int, ...]
    loss: str


@dataclass(frozen=True)
class TrainingConfig:
    batch_size: int
    epochs: int
    learning_rate: float
    seed: int
    segment_steps: int


@dataclass(frozen=True)
class RunConfig:
    """A checked configuration; every field is within the limits of the protocol."""

    dataset: DatasetConfig
    model: ModelConfig
    training: TrainingConfig
    profile: str


def load_config(path: Path) -> RunConfig:
    """Read and check a TOML file; raises `ConfigError` naming the key and what to write."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"configuration {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigError(f"configuration {path} is not UTF-8 text") from None
    return parse_config(text, path.parent)


def parse_config(text: str, base: Path) -> RunConfig:
    """Check a configuration text; relative dataset paths start at `base`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}") from None
    _refuse_unknown(raw)
    dataset, model, training, zk = (_Section(name, raw.get(name, {})) for name in SECTIONS)
    return RunConfig(
        DatasetConfig(
            dataset.text("source", 'a path, or "sklearn:digits"'),
            base,
            dataset.number("test_fraction", 0.0, 0.9, default=0.2),
            dataset.flag("standardise", default=True),
        ),
        ModelConfig(_layers(model), model.choice("loss", LOSSES)),
        TrainingConfig(
            training.integer("batch_size", 1, MAX_SAMPLES),
            training.integer("epochs", 1, MAX_EPOCHS),
            training.number("learning_rate", 0.0, 1024.0, open_low=True),
            training.integer("seed", 0, MAX_SEED, default=0),
            training.integer("segment_steps", 1, MAX_STEPS, default=128),
        ),
        zk.choice("profile", PROFILES, default="auto"),
    )


def check_against(config: RunConfig, data: RawDataset) -> None:
    """Layers, loss and batch size must fit the dataset; raises `ConfigError` naming the key to change."""
    layers, loss = config.model.layers, config.model.loss
    if layers[0] != data.n_features:
        raise ConfigError(f"model.layers starts with {layers[0]}; {data.source} has {data.n_features} features")
    if loss == "softmax_ce" and not data.is_classification:
        raise ConfigError(f'model.loss: {data.source} holds values, not classes; write loss = "squared_error"')
    expected = (data.n_targets,) if loss == "softmax_ce" or not data.is_classification else (data.n_targets, 1)
    if layers[-1] not in expected:
        kind = "classes" if data.is_classification else "target columns"
        raise ConfigError(f"model.layers ends with {layers[-1]}; {data.source} has {data.n_targets} {kind}")
    if config.training.batch_size > data.n_rows:
        raise ConfigError(f"training.batch_size is {config.training.batch_size}; {data.source} has {data.n_rows} rows")


def _layers(model: _Section) -> tuple[int, ...]:
    want = f"a list of 2 to {MAX_LAYERS + 1} widths from inputs to outputs, for example [64, 64, 10]"
    value = model.take("layers", want)
    if not isinstance(value, list) or not 2 <= len(value) <= MAX_LAYERS + 1:
        raise ConfigError(f"model.layers: write {want}")
    for width in value:
        if isinstance(width, bool) or not isinstance(width, int) or not 1 <= width <= MAX_WIDTH:
            raise ConfigError(f"model.layers: {width!r} is not a width; write whole numbers from 1 to {MAX_WIDTH}")
    return tuple(value)


def _refuse_unknown(raw: dict[str, Any]) -> None:
    for name, section in raw.items():
        if name not in SECTIONS:
            raise ConfigError(f"unknown section [{name}]; write {', '.join(f'[{known}]' for known in SECTIONS)}")
        if not isinstance(section, dict):
            raise ConfigError(f"{name} must be a section; write [{name}] on a line of its own")
        for key in section:
            if key not in SECTIONS[name]:
                raise ConfigError(f"unknown key {name}.{key}; [{name}] knows {', '.join(SECTIONS[name])}")


class _Section:
    """Typed access to one section; a missing key without a default is an error."""

    def __init__(self, name: str, values: dict[str, Any]) -> None:
        self._name, self._values = name, values

    def take(self, key: str, want: str, default: Any = None) -> Any:
        if key not in self._values:
            if default is None:
                raise ConfigError(f"{self._name}.{key} is missing; write {want}")
            return default
        return self._values[key]

    def text(self, key: str, want: str) -> str:
        value = self.take(key, want)
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{self._name}.{key}: write {want}, in quotes")
        return value

    def choice(self, key: str, known: tuple[str, ...], default: str | None = None) -> str:
        want = "one of " + ", ".join(f'"{item}"' for item in known)
        value = self.take(key, want, default)
        if value not in known:
            raise ConfigError(f"{self._name}.{key}: {value!r} is unknown; write {want}")
        return str(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self.take(key, "true or false", default)
        if not isinstance(value, bool):
            raise ConfigError(f"{self._name}.{key}: {value!r}; write true or false")
        return value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        want = f"a whole number from {low} to {high}"
        value = self.take(key, want, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ConfigError(f"{self._name}.{key}: {value!r}; write {want}")
        return value

    def number(self, key: str, low: float, high: float, default: float | None = None, open_low: bool = False) -> float:
        want = f"a number {'above' if open_low else 'from'} {low:g} {'up ' if open_low else ''}to {high:g}"
        value = self.take(key, want, default)
        fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not fits or not low <= value <= high or (open_low and value == low):
            raise ConfigError(f"{self._name}.{key}: {value!r}; write {want}")
        return float(value)
