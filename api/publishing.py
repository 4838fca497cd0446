"""Publishing a run: exactly the files under RUN/public, signed by the provider, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from api.client import ServiceClient
from audit.canonical import parse_json
from audit.errors import EvidenceError
from audit.evidence import MAX_FILE_BYTES, MAX_FILES, MAX_TOTAL_BYTES, build_manifest, parse_file_name
from audit.publications import SignedPublication, sign_publication, sign_registration
from audit.requests import parse_digest
from audit.signing import PrivateKey

PUBLIC_FOLDER = "public"
RUN_FILE = "run.json"
# What a prover writes before it renames: gone in a moment, and a published file must stay.
HALF_WRITTEN = ".tmp"


def read_public_files(run: Path) -> dict[str, bytes]:
    """The files under RUN/public. A link is refused: it could lead to the private half. Raises EvidenceError."""
    folder = run / PUBLIC_FOLDER
    if folder.is_symlink():
        raise EvidenceError(f"{folder} is a link; put the folder itself there")
    if not folder.is_dir():
        raise EvidenceError(f"{run} is not a run folder: it has no {PUBLIC_FOLDER}/ in it")
    files: dict[str, bytes] = {}
    total = 0
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise EvidenceError(f"{path} is a link; put the file itself there")
        if path.is_dir() or path.suffix == HALF_WRITTEN:
            continue
        size = path.stat().st_size
        total += size
        if not path.is_file() or size > MAX_FILE_BYTES or total > MAX_TOTAL_BYTES or len(files) >= MAX_FILES:
            raise EvidenceError(f"{path} is no ordinary file, or beyond the size or number of files of a run")
        files[parse_file_name(name)] = path.read_bytes()
    return files


def read_run_id(run: Path) -> str:
    """The id of a run, from RUN/public/run.json (member `run_id`, 64 hex digits). Raises EvidenceError."""
    path = run / PUBLIC_FOLDER / RUN_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path}: {error.strerror}; name the folder of a run") from error
    description = parse_json(data, str(path), error=EvidenceError)
    run_id = description.get("run_id") if isinstance(description, dict) else None
    return parse_digest(run_id, f"run_id in {path}")


def register_provider(client: ServiceClient, provider: str, key: PrivateKey) -> dict[str, Any]:
    """Register a provider's name and key; again is harmless."""
    return client.register_provider(sign_registration(provider, key, key.public))


def publish_run(
    client: ServiceClient,
    run: Path,
    provider: str,
    key: PrivateKey,
    say: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """Register the provider if need be, upload RUN/public, and announce it. The answer's state is `checking`."""
    run_id, files = read_run_id(run), read_public_files(run)
    manifest = build_manifest(files)
    register_provider(client, provider, key)
    for ref in manifest:
        say(f"{ref.name} ({ref.size} bytes)")
        client.upload(ref.sha256, files[ref.name])
    return client.publish_run(provider, sign_publication(SignedPublication(provider, run_id, manifest), key))
