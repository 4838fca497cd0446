"""`tiny`: a causal language model of under a million parameters that the project trains itself, on text shipped with CPython.

It stands behind tests, demonstrations and benchmarks where no other model is at hand. Its folder is an ordinary Hugging Face
directory (config.json, model.safetensors, tokenizer.json), kept in the user's cache under a name that digests the recipe, the
text, the seed and the library versions; `training.json` beside them holds the digests of the files, checked at every use, and
what was measured. Trust: whoever can write to the cache can change the model; its digest is in every attestation.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from audit.runners.protocol import Progress, RunnerError

END_OF_TEXT = "<|endoftext|>"
HELD_OUT_EVERY = 8
CARD = "training.json"


@dataclass(frozen=True)
class Recipe:
    """Architecture (Llama) and training. Every member is part of the cache name."""

    vocab_size: int = 2048
    hidden: int = 128
    feed_forward: int = 344
    layers: int = 3
    heads: int = 4
    context: int = 1024
    sequence: int = 256
    batch: int = 4
    steps: int = 450


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {"tiny": Recipe(), "tiny-small": Recipe(hidden=96, feed_forward=256, layers=2, steps=350)}
)


@lru_cache(maxsize=1)
def _topics() -> tuple[tuple[str, str], ...]:
    topics: dict[str, str] = importlib.import_module("pydoc_data.topics").topics
    return tuple(sorted(topics.items()))


def training_text() -> str:
    """The documentation topics of CPython, but for those held out."""
    return "\n\n".join(text for i, (_, text) in enumerate(_topics()) if i % HELD_OUT_EVERY)


@lru_cache(maxsize=1)
def heldout_text() -> str:
    """Topics the models never saw, less what other topics repeat: text written by people, in the models' own register."""
    seen = set(training_text().split("\n\n"))
    paragraphs = "\n\n".join(text for i, (_, text) in enumerate(_topics()) if i % HELD_OUT_EVERY == 0).split("\n\n")
    return "\n\n".join(part for part in paragraphs if part not in seen)


def tiny_folder(seed: int = 0, progress: Progress | None = None, recipe: str = "tiny") -> Path:
    """The model of a recipe (`tiny`, or `tiny-small` where another model is wanted) and a seed, trained now if the cache does
    not hold it intact (about a minute on one core). Processes wait for one another, so that it is trained once.

    Raises RunnerError for an unknown recipe, when the group `models` is not installed, or when the cache cannot be written.
    """
    if recipe not in RECIPES:
        raise RunnerError(f"there is no recipe {recipe!r}; there are {', '.join(RECIPES)}")
    text_digest = hashlib.sha256(training_text().encode()).hexdigest()
    identity = {"recipe": recipe, **asdict(RECIPES[recipe]), "seed": seed, "versions": library_versions(), "text": text_digest}

    def make(folder: Path) -> Mapping[str, Any]:
        from audit.runners import tiny_training

        return tiny_training.train(folder, RECIPES[recipe], seed, progress or (lambda fraction, message: None))

    return kept_folder(recipe, identity, make)


def library_versions() -> dict[str, str]:
    """Versions of what trains, part of every identity. Raises RunnerError when the group `models` is not installed."""
    try:
        return {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    except PackageNotFoundError:
        raise RunnerError('the tiny model needs torch and transformers: pip install "assay-audit[models]"') from None


def kept_folder(name: str, identity: Mapping[str, Any], make: Callable[[Path], Mapping[str, Any]]) -> Path:
    """The model of this identity in the cache. Where it is not there intact, `make` trains it into the folder it is given and
    says what was measured; processes wait for one another. Raises RunnerError when the cache cannot be written."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    folder = cache_folder() / f"{name}-{key[:16]}"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(folder.parent / f"{folder.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _intact(folder, identity):
                _make(folder, identity, make)
    except OSError as error:
        raise RunnerError(f"the tiny model cannot be kept in {folder.parent}: {error.strerror}; set ASSAY_CACHE") from error
    return folder


def training_card(folder: Path) -> dict[str, Any]:
    """What `training.json` of a folder says: identity, seconds, held-out perplexity, entropy (nats a token), file digests."""
    card: dict[str, Any] = json.loads((folder / CARD).read_text())
    return card


def cache_folder() -> Path:
    """`$ASSAY_CACHE`, otherwise `assay` in the user's cache folder."""
    named = os.environ.get("ASSAY_CACHE")
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay"


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != CARD)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _intact(folder: Path, identity: Mapping[str, Any]) -> bool:
    """Whether a finished training lies there, for this identity, with every file as it was written."""
    try:
        card = training_card(folder)
        return bool(card["identity"] == identity and card["files"] == _digests(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make(folder: Path, identity: Mapping[str, Any], make: Callable[[Path], Mapping[str, Any]]) -> None:
    """Train into a folder beside and rename it: a killed training leaves nothing that looks finished."""
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        measured = make(building)
        card = {"identity": identity, "measured": measured, "files": _digests(building)}
        (building / CARD).write_text(json.dumps(card, indent=1, sort_keys=True))
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
