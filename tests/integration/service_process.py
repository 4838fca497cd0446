"""A service process for tests: the product's own server or worker, with the tests' kind of audit and run verifier.

An audit's entropy follows from its kind and ASSAY_TEST_SEED, not from its nonce and the service's key: see tests/conftest.py.

python -m tests.integration.service_process serve DATA PORT WORKER|- [DATABASE]
python -m tests.integration.service_process worker DATA NAME [DATABASE]
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from api.runtime import open_runtime
from api.serving import run_worker, serve
from api.settings import Settings
from audit.factuality.kinds import kinds as factuality_kinds
from audit.privacy.kinds import kinds as privacy_kinds
from audit.registry import Check, Registry
from audit.requests import AuditRequest
from audit.running import ServiceRuns
from audit.watermark.kinds import kinds as watermark_kinds
from audit.zk_gate import RunVerdict, collect_pairs
from tests.integration.counting_kind import CountingKind
from tests.integration.folder_runner import open_folder_runner
from tests.integration.preimage_kind import PreimageKind


def build_test_registry() -> Registry:
    registry = Registry()
    for kind in (PreimageKind(), CountingKind(), *watermark_kinds(), *factuality_kinds(), *privacy_kinds()):
        registry.add(kind)
    return registry


def verify_test_run(files: Mapping[str, bytes]) -> RunVerdict:
    """Stands for the zero-knowledge verifier: a proof is its statement backwards; statements name their run."""
    checks, runs = [], set()
    for name, statement, proof in collect_pairs(files):
        good = proof == statement[::-1]
        checks.append(Check(f"proof.{name}", good, "the proof is the statement backwards" if good else "it is not"))
        runs.add(json.loads(statement)["run"])
    verdict = "holds" if all(check.ok for check in checks) else "refuted"
    return RunVerdict(verdict, tuple(checks), ("the beacon is self-made",), {"segments": len(checks)}, tuple(runs))


def _draw_the_same_in_every_run() -> None:
    def entropy(self: ServiceRuns, request: AuditRequest) -> bytes:
        return hashlib.sha256(f"{os.environ.get('ASSAY_TEST_SEED', '')}/{request.kind}".encode()).digest()

    ServiceRuns._entropy = entropy  # type: ignore[method-assign]


def _announce(launch: dict[str, Any]) -> None:
    print(json.dumps(launch), flush=True)


def main(arguments: list[str]) -> None:
    _draw_the_same_in_every_run()
    role, data = arguments[0], Path(arguments[1])
    if role == "serve":
        port, worker = int(arguments[2]), None if arguments[3] == "-" else arguments[3]
        database = arguments[4] if len(arguments) > 4 else None
        settings = Settings(data, database, port=port, worker=worker)
        serve(open_runtime(settings, build_test_registry(), verify_test_run, open_folder_runner), _announce)
    else:
        settings = Settings(data, arguments[3] if len(arguments) > 3 else None)
        runtime = open_runtime(settings, build_test_registry(), verify_test_run, open_folder_runner)
        run_worker(runtime, arguments[2], 2, _announce)


if __name__ == "__main__":
    main(sys.argv[1:])
