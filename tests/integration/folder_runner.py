"""What stands for `audit.runners.opening.open_runner` in service processes of tests: a folder with nothing but a tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit.runners.opening import open_runner
from audit.runners.protocol import Attestation, Capabilities, RunnerError, Tier
from watermark.tokenization import load_tokenizer


class FolderRunner:
    """Tokenises, and claims no more than that."""

    def __init__(self, folder: Path) -> None:
        if not (folder / "tokenizer.json").is_file():
            raise RunnerError(f"{folder.name} holds no tokenizer")
        self.folder = folder

    def capabilities(self) -> Capabilities:
        return Capabilities(Tier.CHAT, False, False, 0, False, False, False, False, details=("a folder with a tokenizer",))

    def attestation(self) -> Attestation:
        digest = hashlib.sha256((self.folder / "tokenizer.json").read_bytes()).hexdigest()
        return Attestation(self.folder.name, digest, "none", "none")

    def tokenize(self, text: str) -> Sequence[int]:
        return tuple(load_tokenizer(self.folder).encode(text).ids.tolist())

    def close(self) -> None:
        pass


def open_folder_runner(spec: str, **options: Any) -> Any:
    """A FolderRunner for folders, the product's own runner for everything else."""
    folder = Path(spec)
    if folder.is_absolute() and not (folder / "config.json").is_file():
        return FolderRunner(folder)
    return open_runner(spec, **options)
