"""All measurements of docs/benchmarks.md: `make bench`.

The environment variable EZKL_PYTHON names an interpreter that has EZKL; without it that comparison shows Assay alone.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.measure import ROOT

WATERMARK = ("green_list", "shift_keyed", "batch_detection", "generation", "robustness", "stealing")
PRIVACY = ("candidates", "privacy_power")


def main() -> None:
    ezkl = os.environ.get("EZKL_PYTHON")
    commands = [["benchmarks.training"], ["benchmarks.ezkl_step", *(["--ezkl-python", ezkl] if ezkl else [])]]
    commands += [[f"benchmarks.{name}"] for name in (*WATERMARK, *PRIVACY)]
    commands += [["benchmarks.conformal"]]
    for module, *options in commands:
        print(f"== python -m {module}", flush=True)
        subprocess.run([sys.executable, "-m", module, *options], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
