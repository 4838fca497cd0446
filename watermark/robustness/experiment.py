"""Power of a detector against edits: every attack at every rate and text length, on marked texts; false alarms on clean ones."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from watermark.attacks.protocol import Attack, Codec, Tokens, apply_attack, check_rate
from watermark.detection import MIN_SCORED, Detection, DetectOptions
from watermark.errors import AttackError, CancelledError
from watermark.families import Scheme, as_tokens
from watermark.robustness.report import MAX_CELLS, UNEDITED, Cell, LogP, RobustnessReport

MAX_TEXTS = 100_000
DEFAULT_RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Experiment:
    """What to run. `label` names the scheme in figures. `codec` is needed by attacks on text, `vocab_size` (where known)
    checks what an attack gives back. A length cuts every text to its first so many tokens; shorter texts are left out there.
    """

    label: str
    attacks: Sequence[Attack]
    lengths: Sequence[int]
    rates: Sequence[float] = DEFAULT_RATES
    options: DetectOptions = DetectOptions()  # noqa: RUF009 (frozen)
    seed: int = 0
    codec: Codec | None = None
    vocab_size: int | None = None

    def checked(self) -> Experiment:
        """Itself, or AttackError."""
        names = [attack.name for attack in self.attacks]
        if not names or len(set(names)) < len(names) or UNEDITED in names:
            raise AttackError(f"an experiment wants at least one attack, each once, none called {UNEDITED!r}")
        if not self.lengths or any(type(length) is not int or length < 1 for length in self.lengths):
            raise AttackError("an experiment wants at least one text length of 1 or more tokens")
        rates = [check_rate(rate) for rate in self.rates]
        if not rates or 0.0 in rates:
            raise AttackError("an experiment wants edit rates above 0; rate 0 is always measured")
        if type(self.seed) is not int or self.seed < 0:
            raise AttackError("the seed of an experiment is an integer of 0 or more")
        if (len(names) * len(set(rates)) + 2) * len(set(self.lengths)) > MAX_CELLS:
            raise AttackError(f"an experiment has at most {MAX_CELLS} cells; ask for fewer attacks, rates or lengths")
        return replace(self, rates=tuple(sorted(set(rates))), lengths=tuple(sorted(set(self.lengths))))


def measure_robustness(
    scheme: Scheme,
    marked: Sequence[Tokens],
    clean: Sequence[Tokens],
    experiment: Experiment,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> RobustnessReport:
    """Attack and test every text; the same seed gives the same report.

    `marked` and `clean` are token ids. An attacked text is tested whole, however long it became. Raises AttackError (nothing to
    test at a length, a bad setting), TokenError (an attack made ids outside the vocabulary), CancelledError.
    """
    experiment = experiment.checked()
    if not 1 <= len(marked) <= MAX_TEXTS or len(clean) > MAX_TEXTS:
        raise AttackError(f"an experiment takes 1 to {MAX_TEXTS} marked texts and at most as many clean ones")
    plan: list[tuple[Attack | None, float, int]] = []
    for length in experiment.lengths:
        plan.append((None, 0.0, length))
        plan += [(attack, rate, length) for attack in experiment.attacks for rate in experiment.rates]
    run = _Run(scheme, experiment, cancelled)
    cells = []
    for done, (attack, rate, length) in enumerate(plan):
        name = UNEDITED if attack is None else attack.name
        if progress is not None:
            progress(done / (len(plan) + 1), f"{name} at {rate:g}, {length} tokens")
        log10_p = run.cell(marked, attack, rate, length)
        if not log10_p:
            raise AttackError(f"none of the marked texts has {length} tokens")
        cells.append(Cell.count(name, rate, length, log10_p, experiment.options.alpha))
    if progress is not None:
        progress(len(plan) / (len(plan) + 1), "clean texts")
    alarms = []
    for length in experiment.lengths:
        log10_p = run.cell(clean, None, 0.0, length)
        if log10_p:
            alarms.append(Cell.count(UNEDITED, 0.0, length, log10_p, experiment.options.alpha))
    if progress is not None:
        progress(1.0, "done")
    found = run.seen
    return RobustnessReport(
        label=experiment.label,
        scheme=found.scheme,
        dialect=found.dialect,
        alpha=experiment.options.alpha,
        settings=_settings(experiment, len(marked), len(clean)),
        cells=tuple(cells),
        false_alarms=tuple(alarms),
    )


class _Run:
    """Tests texts one by one; keeps the last detection for the names of scheme and dialect."""

    def __init__(self, scheme: Scheme, experiment: Experiment, cancelled: Callable[[], bool] | None) -> None:
        self._scheme, self._experiment, self._cancelled = scheme, experiment, cancelled
        self.seen: Detection

    def cell(self, texts: Sequence[Tokens], attack: Attack | None, rate: float, length: int) -> list[LogP]:
        found: list[LogP] = []
        for index, text in enumerate(texts):
            if text.size < length:
                continue
            if self._cancelled is not None and self._cancelled():
                raise CancelledError("the robustness experiment was stopped")
            name = UNEDITED if attack is None else attack.name
            seeds = (self._experiment.seed, zlib.crc32(name.encode()), round(rate * 1_000_000), length, index)
            rng = np.random.default_rng(np.random.SeedSequence(seeds))
            edited = text[:length]
            if attack is not None:
                edited = apply_attack(attack, edited, rate, rng, self._experiment.codec)
            found.append(self._test(edited, int(rng.integers(1 << 32))))
        return found

    def _test(self, tokens: Tokens, seed: int) -> LogP:
        experiment = self._experiment
        options = replace(experiment.options, seed=seed, tokens=False, spans=False)
        self.seen = self._scheme.detect(as_tokens(tokens, experiment.vocab_size), options)
        if self.seen.log_p is None or self.seen.num_distinct < MIN_SCORED:
            return None
        return float(f"{min(0.0, self.seen.log_p / math.log(10)):.9g}")


def _settings(experiment: Experiment, marked: int, clean: int) -> Mapping[str, Any]:
    return {
        "attacks": [attack.name for attack in experiment.attacks],
        "rates": list(experiment.rates),
        "lengths": list(experiment.lengths),
        "seed": experiment.seed,
        "runs": experiment.options.runs,
        "marked_texts": marked,
        "clean_texts": clean,
    }
