"""Prove and verify a training segment on digits and print milliseconds a step, bytes and memory.

    python -m benchmarks.training [--runs 5] [--steps 128] [--profile S13]

The proving process is fresh (its peak memory is that of proving alone); every proof is verified by a stock interpreter
in isolated mode without site packages (`python -I -S`). Nothing is asserted but that every proof holds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, Spread, load, machine, run_json
from benchmarks.sizes import expected_bytes

VERIFY = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from zk.verifier.verify import verify
statement, proof = (open(path, "rb").read() for path in sys.argv[2:4])
start = time.perf_counter()
result = verify(statement, proof)
seconds = time.perf_counter() - start
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "bits": result.budget.bits, "peak_bytes": int(peak.split()[1]) * 1024}))
"""
PACKAGES = ("numpy", "numba", "scikit-learn")


@dataclass(frozen=True)
class Measured:
    """Everything about one instance; seconds are a segment's."""

    steps: int
    execute: Spread
    prove: Spread
    total: Spread
    processor: Spread
    stages: dict[str, Spread]
    plain: Spread
    verify: Spread
    verify_peak: int
    proof_bytes: Spread
    expected: dict[str, float]
    peak_bytes: int
    bits: float

    @property
    def ms_per_step(self) -> Spread:
        return self.total.scaled(1e3 / self.steps)

    def lines(self) -> list[str]:
        """A readable table."""
        formula = sum(self.expected.values())
        parts = ", ".join(f"{name} {size / 1e3:.0f}" for name, size in self.expected.items())
        stages = ", ".join(f"{name} {spread.median:.2f}" for name, spread in self.stages.items())
        ratio = self.total.median / self.plain.median
        rows = [
            ("prove a step, ms", self.ms_per_step.text(2)),
            ("  of both processors, ms", self.processor.scaled(1e3 / self.steps).text(2)),
            ("  execution and checkpoint, s", self.execute.text(3)),
            ("  proof, s", self.prove.text(3)),
            ("  stages of the proof, median s", stages),
            ("float64 BLAS step, ms", self.plain.scaled(1e3 / self.steps).text(4)),
            ("ratio to float64 BLAS", f"{ratio:.0f} (of the minima {min(self.total.values) / min(self.plain.values):.0f})"),
            ("verify (python -I -S), s", self.verify.text(3)),
            ("proof, bytes", self.proof_bytes.text(0)),
            ("proof, KB by the formula of 17.2", f"{formula / 1e3:.0f} = {parts}"),
            ("ratio measured to formula", f"{self.proof_bytes.median / formula:.3f}"),
            ("peak memory of the prover, MiB", f"{self.peak_bytes / 2**20:.0f}"),
            ("peak memory of the verifier, MiB", f"{self.verify_peak / 2**20:.0f}"),
            ("proven bits (worst round)", f"{self.bits:.1f}"),
        ]
        return [f"{name:34s} {value}" for name, value in rows]


def measure(layers: str, batch: int, loss: str, steps: int, profile: str, runs: int) -> Measured:
    """Prove in one fresh process, verify every proof in a fresh isolated interpreter. Raises RuntimeError if one fails."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--layers", layers, "--batch", batch, "--loss", loss, "--steps", steps, "--profile", profile, "--runs", runs]
        command = [sys.executable, "-m", "benchmarks.segment", folder, *(str(option) for option in options)]
        proven = run_json(command)
        verified = [verify_isolated(Path(folder), f"run-{number}") for number in range(runs)]
        expected = expected_bytes((Path(folder) / "run-0.statement").read_bytes())
    table = proven["runs"]
    names = [name.removeprefix("stage ") for name in table[0] if name.startswith("stage ")]
    return Measured(
        steps=steps,
        execute=_column(table, "execute_and_commit"),
        prove=_column(table, "prove"),
        total=Spread(tuple(row["execute_and_commit"] + row["prove"] for row in table)),
        processor=_column(table, "processor"),
        stages={name: _column(table, f"stage {name}") for name in names},
        plain=Spread(tuple(proven["plain_s"])),
        verify=Spread(tuple(result["seconds"] for result in verified)),
        verify_peak=max(result["peak_bytes"] for result in verified),
        proof_bytes=_column(table, "proof_bytes"),
        expected=expected,
        peak_bytes=proven["peak_bytes"],
        bits=verified[0]["bits"],
    )


def verify_isolated(folder: Path, name: str) -> Any:
    """Seconds of `verify` alone (without start-up and imports), error budget and peak memory, in `python -I -S`."""
    paths = [folder / f"{name}.statement", folder / f"{name}.proof"]
    return run_json([sys.executable, "-I", "-S", "-c", VERIFY, ROOT, *paths])


def _column(table: list[dict[str, float]], name: str) -> Spread:
    return Spread(tuple(row[name] for row in table))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=128)
    parser.add_argument("--profile", default="S13")
    options = parser.parse_args()
    print("\n".join(machine(PACKAGES)))
    print(f"\nMLP 64-64-10, softmax cross-entropy, batch 32, {options.steps} steps a segment, profile {options.profile}")
    print(f"{options.runs} runs: median (min - max)", flush=True)
    done = measure("64,64,10", 32, "softmax_ce", options.steps, options.profile, options.runs)
    print("\n".join(done.lines()))
    print(f"load at the end                    {load()}")


if __name__ == "__main__":
    main()
