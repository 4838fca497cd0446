"""Models as the commands of the group name them: the digest that a consent is for, and the model as probes see it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from api.cli.exits import CommandError, Exit

if TYPE_CHECKING:
    from audit.runners.protocol import Progress, Runner
    from audit.runners.transformers_runner import TransformersRunner
    from privacy.probes.model import ProbedModel
    from privacy.probes.white_box.model import WhiteBoxModel

_HEX64 = re.compile(r"[0-9a-f]{64}")
_ENDPOINT = b"assay-endpoint/1\0"
REMOTE = (
    "the model is remote: the consent names its address, and nothing shows which weights answer there, now or at another time"
)


def is_remote(spec: str) -> bool:
    """Whether a model is named by an address."""
    return spec.startswith(("http://", "https://"))


def digest_of_named(spec: str) -> str:
    """What a consent for the model names: a digest as given, of the weight files of a folder, or of an address.

    Raises RunnerError, CommandError. A service names an endpoint by the digest of its registration instead.
    """
    if _HEX64.fullmatch(spec):
        return spec
    if is_remote(spec):
        return _digest_of_address(spec)
    from audit.runners.model_folder import ModelFolder, digest_of
    from audit.runners.opening import local_folder

    return digest_of(ModelFolder.open(local_folder(spec)).digests())


def _digest_of_address(spec: str) -> str:
    address, mark, model = spec.partition("#")
    if not mark or not model:
        raise CommandError("a consent for an endpoint names the model too: http(s)://HOST/v1#MODEL", Exit.USAGE)
    return hashlib.sha256(_ENDPOINT + f"{address.rstrip('/')}#{model}".encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class OpenModel:
    """A model to be probed; `digest` is what a consent for it names."""

    probed: ProbedModel
    digest: str
    remote: bool


@contextmanager
def opened(spec: str, device: str, progress: Progress | None = None, key: Path | None = None) -> Iterator[OpenModel]:
    """Open a model so that nothing it is asked is kept, and close it. Raises RunnerError, ModelAccessError."""
    from audit.runners.exchanges import ExchangeLog
    from audit.runners.opening import open_runner
    from audit.runners.probed_model import RunnerModel

    runner: Runner = open_runner(
        spec, device=device, api_key=_read_key(key), allow_private=True, progress=progress, exchanges=ExchangeLog.none()
    )
    try:
        digest = runner.attestation().model_digest
        yield OpenModel(RunnerModel(runner), digest or _digest_of_address(spec), digest is None)
    finally:
        runner.close()


def white_box_of(model: OpenModel) -> WhiteBoxModel:
    """The model for soft prompts. Raises ModelAccessError for one that is not in process."""
    from audit.runners.probed_model import RunnerModel
    from audit.runners.white_box_model import InProcessWhiteBox
    from privacy.errors import ModelAccessError

    if model.remote or not isinstance(model.probed, RunnerModel):
        raise ModelAccessError("a soft prompt needs the model's weights: name a Hugging Face directory, or tiny")
    return InProcessWhiteBox(cast("TransformersRunner", model.probed.runner))


def _read_key(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text("ascii").strip()
    except UnicodeDecodeError:
        raise CommandError(f"{path} is no text file; it must hold one API key", Exit.USAGE) from None
