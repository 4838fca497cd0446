"""Model directories: opened from disk only (safetensors, no code from the directory, no network), with the device they run on.

What the packages would send out is switched off here: TRL reports every trainer's start to Hugging Face unless told not to.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from conformal.linguistic.training.questions import TrainingError

INSTALL = "training needs torch, transformers and trl: pip install 'assay-audit[training]'"


def require_packages() -> None:
    """Raises TrainingError with the install command where a package is missing. Imports nothing heavy."""
    for name in ("torch", "transformers", "trl"):
        if find_spec(name) is None:
            raise TrainingError(f"{INSTALL} ({name} is missing)")


def keep_offline() -> None:
    """No look-ups, no telemetry, no threads that outlive a fork. Must run before transformers or trl is imported."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def import_transformers() -> Any:
    """transformers, silent and offline. Raises TrainingError."""
    require_packages()
    keep_offline()
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if find_spec("datasets") is not None:
        import datasets

        datasets.disable_progress_bars()
    return transformers


def device_of() -> str:
    """`cuda` where torch can use one, otherwise `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def open_folder(folder: Path) -> tuple[Any, Any]:
    """(tokenizer, model) of a causal language model's directory, in float32, padding on the left.

    Raises TrainingError that names what is missing.
    """
    transformers = import_transformers()
    if not (folder / "config.json").is_file():
        raise TrainingError(f"{folder} is no Hugging Face model directory: config.json is missing")
    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **safe)
        model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), use_safetensors=True, dtype="float32", **safe)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())[:200]
        raise TrainingError(f"{folder} cannot be opened as a causal language model: {line}") from None
    if tokenizer.eos_token_id is None:
        raise TrainingError(f"{folder}: the tokenizer has no end-of-text token, without which no paragraph can end")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    return tokenizer, model.to(device_of())
