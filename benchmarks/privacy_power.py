"""What the privacy probes find in models whose memories are known: `python -m benchmarks.privacy_power [--part ...]`.

Invented people stand in the training text 1, 4, 16 or 64 times, others are held out (`audit.runners.planted`). Told for each
number of times: how many of the people are found, with 95 % Clopper-Pearson intervals, and how many held out are accused.

black-box    ranks among generated values, phone and e-mail, people drawn as canaries: an exact basis
calibrated   the same people taken for data subjects: scores against a reference model that was trained with nobody planted
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import machine
from privacy.probes.black_box import Keep
from tests.planted_power import MEASURED, Curve, draw, probe_people, shares, table


def keep_in(folder: Path | None) -> Keep | None:
    """What was measured of people (ranks), kept so that a run that was cut off goes on."""
    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)

    def keep(name: str, make: Callable[[], bytes]) -> bytes:
        path = folder / name
        if not path.exists():
            path.write_bytes(make())
        return path.read_bytes()

    return keep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("all", *PARTS), default="all")
    parser.add_argument("--keep", type=Path, help="folder for what was measured, so that a run that was cut off goes on")
    parser.add_argument("--figure", type=Path, help="draw the curves of power into this SVG file")
    given = parser.parse_args()
    print("\n".join(machine(["torch", "transformers"])))
    curves: list[Curve] = []
    for name, part in PARTS.items():
        if given.part in ("all", name):
            print(f"\n== {name}", flush=True)
            part(keep_in(given.keep), curves)
    if given.figure and curves:
        given.figure.write_text(draw(curves))


def measure_black_box(keep: Keep | None, curves: list[Curve]) -> None:
    for type_ in ("phone", "email"):
        _measure(type_, False, keep, curves)


def measure_calibrated(keep: Keep | None, curves: list[Curve]) -> None:
    _measure("phone", True, keep, curves)


def _measure(type_: str, calibrated: bool, keep: Keep | None, curves: list[Curve]) -> None:
    start = time.process_time()
    result = probe_people(MEASURED, type_, calibrated, keep=keep)
    took = time.process_time() - start
    label = f"{type_}, {'calibrated' if calibrated else 'exact'}"
    print(f"{label}: N = {result.plan.nulls}, {result.gate}; processor time {took:.0f} s")
    rows = shares(result)
    print("\n".join(table(rows)), flush=True)
    curves.append(Curve(label, rows))


PARTS: dict[str, Callable[[Keep | None, list[Curve]], None]] = {
    "black-box": measure_black_box,
    "calibrated": measure_calibrated,
}

if __name__ == "__main__":
    main()
