"""A Hugging Face model directory on disk: what must be in it, how it is loaded, and the digests of what was loaded.

Trust: weights are read from safetensors only, nothing is downloaded, and no code from the directory is run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from audit.runners.protocol import RunnerError

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICES = ("auto", "cpu", "cuda")
INSTALL = 'running a model needs torch and transformers: pip install "assay-audit[models]"'
MAX_CONFIG_BYTES = 64 << 20
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_SETTINGS = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_TOKENIZER_PARTS = ("merges.txt", "chat_template.jinja", "chat_template.json")
_LOADING_ERRORS = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    ImportError,
    TypeError,
    AttributeError,
    IndexError,
    RecursionError,
)


def import_libraries() -> tuple[Any, Any]:
    """torch and transformers, kept off the network. Raises RunnerError with the install command."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        import torch
        import transformers
    except ImportError:
        raise RunnerError(INSTALL) from None
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return torch, transformers


def choose_device(torch: Any, device: str) -> str:
    """`auto` is a GPU when there is one. Raises RunnerError for an unknown or absent device."""
    if device not in DEVICES:
        raise RunnerError(f"the device must be one of {', '.join(DEVICES)}, not {device[:20]!r}")
    if device == "cuda" and not torch.cuda.is_available():
        raise RunnerError("there is no GPU that torch can use here; use --device cpu or auto")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class ModelFolder:
    """The files of a model that will be loaded, with their size and time of change before that."""

    path: Path
    states: Mapping[str, tuple[int, int, int]]

    @classmethod
    def open(cls, path: Path) -> ModelFolder:
        """Raises RunnerError naming what is missing."""
        try:
            return cls(path, {name: _state(path / name) for name in _loaded_names(path)})
        except OSError as error:
            raise RunnerError(f"{path} cannot be read: {error.strerror}") from None

    def load(self, dtype: str, device: str) -> tuple[Any, Any]:
        """Tokenizer and model. Raises RunnerError."""
        if dtype not in DTYPES:
            raise RunnerError(f"the dtype must be one of {', '.join(DTYPES)}, not {dtype[:20]!r}")
        torch, transformers = import_libraries()
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        kind = "auto" if dtype == "auto" else getattr(torch, dtype)
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(self.path, **local)
            model = transformers.AutoModelForCausalLM.from_pretrained(self.path, use_safetensors=True, dtype=kind, **local)
            return tokenizer, model.to(device).eval()
        except (MemoryError, torch.OutOfMemoryError):
            raise RunnerError(f"{self.path} does not fit into the memory of {device}") from None
        except _LOADING_ERRORS as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise RunnerError(f"{self.path} cannot be loaded as a causal language model: {reason}") from error
        except Exception as error:  # safetensors and tokenizers raise classes of their own
            if type(error).__module__.split(".")[0] not in ("safetensors", "safetensors_rust", "tokenizers", "builtins"):
                raise
            raise RunnerError(f"{self.path} cannot be loaded: {str(error)[:300]}") from error

    def digests(self) -> dict[str, str]:
        """SHA-256 of every file that was loaded. Raises RunnerError when one has changed since."""
        found = {}
        for name, state in self.states.items():
            path = self.path / name
            try:
                with path.open("rb") as file:
                    found[name] = hashlib.file_digest(file, "sha256").hexdigest()
                unchanged = _state(path) == state
            except OSError:
                unchanged = False
            if not unchanged:
                raise RunnerError(f"{path} has changed since it was loaded; open the model again")
        return found


def digest_of(files: Mapping[str, str]) -> str:
    """One digest for a model: SHA-256 over the sorted JSON object of file names and digests."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def package_versions() -> dict[str, str]:
    """Of the libraries that decide what a model answers."""
    return {name: version(name) for name in ("torch", "transformers", "tokenizers", "safetensors")}


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _loaded_names(path: Path) -> list[str]:
    hint = "name a Hugging Face model directory"
    if not path.is_dir():
        raise RunnerError(f"{path} is not a folder; {hint}")
    if not (path / "config.json").is_file():
        raise RunnerError(f"{path} holds no config.json; {hint}")
    if (path / "adapter_config.json").exists():
        raise RunnerError(f"{path} holds an adapter; merge it into its model first")
    if (path / _WEIGHTS).is_file():
        weights = [_WEIGHTS]
    elif (path / _INDEX).is_file():
        weights = [_INDEX, *_shards(path)]
    elif any(path.glob("*.safetensors")):
        raise RunnerError(f"{path} holds weights under another name than {_WEIGHTS} or {_INDEX}; rename them")
    else:
        raise RunnerError(f"{path} holds no .safetensors weights; pickled weights are not loaded, convert them first")
    if not any((path / name).is_file() for name in _TOKENIZERS):
        raise RunnerError(f"{path} holds no tokenizer (tokenizer.json); copy the model's tokenizer there")
    rest = [name for name in (*_SETTINGS, *_TOKENIZERS, *_TOKENIZER_PARTS) if (path / name).is_file()]
    return sorted({*weights, *rest})


def _shards(path: Path) -> list[str]:
    """The weight files an index names; each must lie in the folder itself."""
    try:
        with (path / _INDEX).open("rb") as file:
            named = set(json.loads(file.read(MAX_CONFIG_BYTES))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        raise RunnerError(f"{path / _INDEX} is not an index of weights") from None
    for name in named:
        if not isinstance(name, str) or Path(name).name != name or not (path / name).is_file():
            raise RunnerError(f"{path} lacks the weights {str(name)[:100]!r} that its index names")
    return sorted(named)
