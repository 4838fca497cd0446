"""Files of claims, whatever their form: a ledger of JSON lines, the published annotations, or bare arrays."""

from __future__ import annotations

from pathlib import Path

from conformal.arrays import read_arrays
from conformal.claims import ClaimTable, read_ledger
from conformal.errors import LedgerError
from conformal.published import MAX_FILE_BYTES, MalformedLabels, is_published, read_published


def read_claims(path: Path, malformed: MalformedLabels = "refuse") -> tuple[ClaimTable, tuple[str, ...], bool]:
    """The table, a sentence for every repaired label, and whether stored noise breaks its ties (the published files).

    Raises LedgerError.
    """
    if not path.is_file():
        raise LedgerError(f"{path} is not a file; name a claim ledger (.jsonl), published annotations or arrays (.npz)")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise LedgerError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
    if path.suffix == ".npz":
        return read_arrays(path), (), False
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LedgerError(f"{path} is no UTF-8 text (byte {error.start})") from None
    if not text.strip():
        raise LedgerError(f"{path} is empty")
    if is_published(text):
        table, notes = read_published(text, path.name, malformed)
        return table, notes, True
    return read_ledger(text.split("\n"), path.name), (), False
