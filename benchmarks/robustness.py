"""Power against edit rate for every scheme on the tiny model: `python -m benchmarks.robustness [--texts 20] [--figure FILE.svg]`.

Marked texts of 200 tokens at temperature 0.8; substitution, insertion and deletion at rates up to 0.8; power at alpha 0.01 on
the first 35, 100 and 200 tokens. Prints one row a scheme and length, and writes all curves into one figure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from audit.runners.opening import open_runner
from audit.runners.protocol import Prompt, Sampling
from audit.runners.tiny import heldout_text
from watermark.attacks.protocol import AttackResources, TokenDistribution
from watermark.attacks.registry import build_attack
from watermark.detection import DetectOptions
from watermark.families import find_dialect, open_scheme
from watermark.generation.marks import open_mark
from watermark.presets import PRESETS
from watermark.robustness.curves import curves_svg
from watermark.robustness.experiment import Experiment, measure_robustness
from watermark.robustness.report import RobustnessReport

LENGTHS = (35, 100, 200)
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
ATTACKS = ("substitution", "insertion", "deletion")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=20)
    parser.add_argument("--schemes", nargs="*", default=list(PRESETS))
    parser.add_argument("--figure", type=Path, default=Path("watermark-robustness.svg"))
    arguments = parser.parse_args()
    runner = open_runner("tiny", device="cpu")
    vocab_size = runner.capabilities().vocab_size or 0
    held_out = runner.tokenize(heldout_text())
    prompts = [Prompt(token_ids=tuple(held_out[i * 240 : i * 240 + 12])) for i in range(arguments.texts)]
    clean = [np.array(held_out[i * 240 + 12 : i * 240 + 212]) for i in range(arguments.texts)]
    reports: list[RobustnessReport] = []
    for name in arguments.schemes:
        preset = PRESETS[name]
        options = {**preset.options, **({"vocab_size": vocab_size} if preset.needs_vocabulary else {})}
        config = find_dialect(preset.family).new_config(options)
        sampling = Sampling(200, temperature=0.8, seed=1, min_new_tokens=200, mark=open_mark(preset.family, config))
        marked = [np.array(answer.token_ids) for answer in runner.generate(prompts, sampling)]
        attacks = [build_attack(attack, AttackResources(TokenDistribution.uniform(vocab_size))) for attack in ATTACKS]
        experiment = Experiment(name, attacks, LENGTHS, RATES, DetectOptions(alpha=0.01, runs=199, seed=1), vocab_size=vocab_size)
        reports.append(measure_robustness(open_scheme(preset.family, config), marked, clean, experiment))
        for length in LENGTHS:
            powers = " ".join(f"{cell.power:4.2f}" for cell in reports[-1].curve("substitution", length))
            alarms = sum(cell.detected for cell in reports[-1].false_alarms if cell.length == length)
            print(f"{name:12} {length:4} tokens, substitution 0 to 0.8: {powers}; false alarms {alarms}", flush=True)
    arguments.figure.parent.mkdir(parents=True, exist_ok=True)
    arguments.figure.write_text(curves_svg(reports))
    print(f"curves: {arguments.figure}")


if __name__ == "__main__":
    main()
