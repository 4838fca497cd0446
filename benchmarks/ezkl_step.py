"""One training step of a 64-32-10 network, batch 16, squared error: proven by Assay and by EZKL in the same run.

    python -m benchmarks.ezkl_step [--ezkl-python PATH] [--runs 5] [--ezkl-runs 1] [--folder FOLDER]

EZKL proves forward pass, backward pass and weight update as one circuit with private inputs and public new weights.
Assay proves the step inside a segment of 128 steps (the amortised figure) and as a segment of one step; data and all
weights stay hidden. EZKL needs an environment of its own; without --ezkl-python only the Assay half runs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import ROOT, Spread, load, machine, run_json
from benchmarks.training import PACKAGES, Measured, measure

BATCH = 16
HOW_TO = """EZKL was not measured. To measure it, install it where it cannot disturb this project:
    python3.11 -m venv ezkl-venv
    ezkl-venv/bin/pip install ezkl onnx numpy
    python -m benchmarks.ezkl_step --ezkl-python ezkl-venv/bin/python"""
STAGES = ("model", "settings", "srs", "compile", "setup", "witness", "prove", "verify")
WORKER = ROOT / "benchmarks" / "ezkl_worker.py"


@dataclass(frozen=True)
class Stage:
    """Seconds on the clock, of both processors, and peak resident bytes of one EZKL stage, a process of its own."""

    seconds: float
    processor: float
    peak_bytes: int


def measure_ezkl(python: Path, folder: Path, runs: int) -> tuple[dict[str, Stage], Spread, dict[str, int]]:
    """Every stage once, proving `runs` times; file sizes by name. The reference string in `folder` is used again."""
    stages: dict[str, Stage] = {}
    proving: list[float] = []
    for name in STAGES:
        if name == "srs" and (folder / "srs").exists():
            continue
        repeats = runs if name == "prove" else 1
        for _ in range(repeats):
            done = run_json([python, WORKER, name, folder, "--batch", str(BATCH)])
            peak = max(done["peak_bytes"], stages[name].peak_bytes if name in stages else 0)
            stages[name] = Stage(done["seconds"], done["processor"], peak)
            if name == "prove":
                proving.append(done["seconds"])
            times = f"{done['seconds']:9.2f} s on the clock {done['processor']:9.2f} s of processors"
            print(f"  EZKL {name:9s} {times} {done['peak_bytes'] / 2**20:8.0f} MiB   load {load()}", flush=True)
    sizes = {name: (folder / name).stat().st_size for name in ("proof", "pk", "vk", "srs")}
    return stages, Spread(tuple(proving)), sizes


def compare(title: str, done: Measured, stages: dict[str, Stage], proving: Spread) -> str:
    """Ratios a step; a proof of a segment is shared by its steps, a setup is not needed by Assay."""
    milliseconds = done.ms_per_step.median
    ratio = proving.median * 1e3 / milliseconds
    with_setup = (proving.median + stages["setup"].seconds) * 1e3 / milliseconds
    lowest = min(proving.values) * 1e3 / max(done.ms_per_step.values)
    processors = stages["prove"].processor * done.steps / done.processor.median
    extremes = f"at least {lowest:.0f}; of processor time {processors:.0f}; with its setup {with_setup:.0f}"
    return f"{title}: EZKL takes {ratio:.0f} times as long a step to prove ({extremes})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ezkl-python", type=Path, help="interpreter of an environment with ezkl and onnx")
    parser.add_argument("--folder", type=Path, help="keep EZKL's files here and use its reference string again")
    parser.add_argument("--runs", type=int, default=5, help="of Assay")
    parser.add_argument("--ezkl-runs", type=int, default=1, help="proofs by EZKL; one takes about a minute")
    options = parser.parse_args()
    if options.ezkl_python and not os.access(options.ezkl_python, os.X_OK):
        parser.error(f"--ezkl-python: {options.ezkl_python} is not an executable file\n{HOW_TO}")
    print("\n".join(machine(PACKAGES)))
    print(f"\nMLP 64-32-10, squared error, batch {BATCH}; {options.runs} runs: median (min - max)")
    assay = {}
    for title, steps, profile in (("Assay, 128 steps a segment", 128, "S13"), ("Assay, one step a segment", 1, "S10")):
        assay[title] = measure("64,32,10", BATCH, "squared_error", steps, profile, options.runs)
        print(f"\n{title}, profile {profile}")
        print("\n".join(assay[title].lines()), flush=True)
    if options.ezkl_python is None:
        print(f"\n{HOW_TO}")
        return
    print("\nEZKL, one step")
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.folder or Path(scratch)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        stages, proving, sizes = measure_ezkl(options.ezkl_python.absolute(), folder, options.ezkl_runs)
    print(f"  prove {proving.text(2)} s, peak {max(stage.peak_bytes for stage in stages.values()) / 2**30:.2f} GiB")
    print("  " + ", ".join(f"{name} {size / 1e6:.3f} MB" for name, size in sizes.items()))
    print()
    for title, done in assay.items():
        print(compare(title, done, stages, proving))


if __name__ == "__main__":
    main()
