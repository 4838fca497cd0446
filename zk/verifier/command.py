"""The command line of the verifier alone: `assay-verify.pyz PATH...`, standard library only.

Exit codes: 0 holds, 1 a path cannot be read, 2 usage, 3 refuted, 5 inconclusive, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from zk.protocol.errors import ZkError
from zk.verifier.files import collect
from zk.verifier.report import clean, verify_collected

NAME = "assay-verify"


def main(argv: list[str] | None = None) -> int:
    """Verify the paths of `argv` as one set, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Verify Assay proofs offline: run folders, public folders, evidence folders, .stmt/.proof pairs, records.",
        epilog="exit codes: 0 holds, 1 a path cannot be read, 2 usage, 3 refuted, 5 inconclusive",
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, and nothing else there")
    options = parser.parse_args(argv)
    try:
        report = verify_collected(collect(options.paths))
        text = json.dumps(report.to_json(), indent=2) if options.json else "\n".join(report.lines())
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        return report.exit_code
    except ZkError as error:
        return _fail(str(error), 1)
    except OSError as error:
        return _fail(error.strerror or "input or output failed", 1)
    except MemoryError:
        return _fail("not enough memory to verify all paths at once; verify them one by one", 1)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing was decided", 130)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{NAME}: {clean(message)}\n")
    return code
