"""Build `assay-verify.pyz`: zk.protocol and zk.verifier in one file for a stock Python 3.11, with deterministic bytes.

Run as `python -m zk.verifier.zipapp [TARGET]`; use the result as `python3 -I -S assay-verify.pyz PATH...`.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

ROOMS = ("zk/protocol", "zk/verifier")
SHEBANG = b"#!/usr/bin/env -S python3 -I -S\n"
DATE = (1980, 1, 1, 0, 0, 0)
MAIN = """\
import sys
if sys.version_info < (3, 11):
    sys.exit("assay-verify: Python 3.11 or newer is needed, this is " + sys.version.split()[0])
from zk.verifier.command import main
sys.exit(main())
"""


def build_zipapp(root: Path) -> bytes:
    """The archive's bytes: sources below `root`, sorted, stored without compression, fixed dates and modes."""
    sources = {"__main__.py": MAIN.encode(), "zk/__init__.py": b""}
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            sources[path.relative_to(root).as_posix()] = path.read_bytes()
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(sources):
            entry = zipfile.ZipInfo(name, DATE)
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, sources[name])
    return buffer.getvalue()


def main(argv: list[str]) -> int:
    """Write the archive; prints its size and SHA-256."""
    target = Path(argv[0] if argv else "assay-verify.pyz")
    data = build_zipapp(Path(__file__).resolve().parents[2])
    temporary = target.with_name(target.name + ".tmp")
    try:
        temporary.write_bytes(data)
        os.chmod(temporary, 0o755)
        os.replace(temporary, target)
    except OSError as error:
        sys.stderr.write(f"cannot write {target}: {error.strerror}\n")
        return 1
    sys.stdout.write(f"{target}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
