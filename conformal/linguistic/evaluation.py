"""Everything that is said about one reader of a set of paragraphs, as one JSON object; and two sets compared on equal terms.

Scores are over the questions the reader answered; non-answers are counted with their reasons and never scored as if they were
forecasts. `accuracy_of_all` counts them as wrong, so that silence cannot raise it. The tests take one question a paragraph,
picked by hash: questions about one text are not independent, and a test that took them for independent would reject honest
readers too often.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from conformal.errors import GuaranteeError, LevelError
from conformal.laws import beta_quantile
from conformal.linguistic.binning import DEFAULT_BINS, Indices, equal_mass
from conformal.linguistic.bootstrap import DEFAULT_RESAMPLES, intervals
from conformal.linguistic.calibration_error import (
    DEFAULT_DRAWS,
    CalibrationError,
    calibration_test,
    debiased_error,
    debiased_squared_error,
    difference,
    expected_calibration_error,
    simulate_floor,
    squared_error,
)
from conformal.linguistic.decomposition import decompose
from conformal.linguistic.paragraphs import Asked, Paragraph
from conformal.linguistic.readers.disagreement import disagreement
from conformal.linguistic.readers.protocol import Reader, Reading, read_checked
from conformal.linguistic.scores import LOG_FLOOR, Forecasts, accuracy, brier, build_forecasts, log_score
from conformal.linguistic.sets import class_wise_test, distribution_test, set_coverage

LEVEL = 0.05
RULE_OF_THREE = 3.0


@dataclass(frozen=True)
class Settings:
    """Everything that changes a figure; part of every report."""

    bins: int = DEFAULT_BINS
    draws: int = DEFAULT_DRAWS
    resamples: int = DEFAULT_RESAMPLES
    log_floor: float = LOG_FLOOR
    seed: int = 0


def read_all(paragraphs: Sequence[Paragraph], readers: Sequence[Reader]) -> dict[str, list[Reading]]:
    """Readings of every question by every reader and by those the file brings, in the order of the questions.

    Raises LedgerError for a reader that needs a text where there is none, GuaranteeError for a reader of the file that did not
    read every question or for two readers of one name.
    """
    asked = [one for paragraph in paragraphs for one in paragraph.questions]
    found: dict[str, list[Reading]] = {}
    for name in sorted({name for one in asked for name in one.readings}):
        missing = next((one for one in asked if name not in one.readings), None)
        if missing is not None:
            raise GuaranteeError(f"the reader {name!r} gives nothing for the question {missing.id[:60]!r}; null is a non-answer")
        found[name] = [one.readings[name] for one in asked]
    for reader in readers:
        if reader.name in found:
            raise GuaranteeError(f"two readers are called {reader.name!r}")
        found[reader.name] = read_checked(reader, [case for paragraph in paragraphs for case in paragraph.cases()])
    return found


def evaluate(
    paragraphs: Sequence[Paragraph], readings: Mapping[str, Sequence[Reading]], settings: Settings | None = None
) -> dict[str, Any]:
    """The report of every reader, and how far each two disagree. Raises LevelError, GuaranteeError."""
    chosen = settings or Settings()
    if not readings:
        raise GuaranteeError("no reader was named and the file brings none: calibration belongs to a text and a reader")
    names = list(readings)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    return {
        "questions": sum(len(paragraph.questions) for paragraph in paragraphs),
        "paragraphs": len(paragraphs),
        "settings": asdict(chosen),
        "readers": {name: evaluate_reader(paragraphs, found, chosen) for name, found in readings.items()},
        "disagreement": [
            {"readers": [a, b], **disagreement(readings[a], readings[b]).to_json()} for a, b in pairs
        ],
    }  # fmt: skip


def evaluate_reader(paragraphs: Sequence[Paragraph], readings: Sequence[Reading], settings: Settings) -> dict[str, Any]:
    """One reader's report. A reader that answered nothing has only its non-answers. Raises LevelError."""
    asked = [(i, one) for i, paragraph in enumerate(paragraphs) for one in paragraph.questions]
    if len(asked) != len(readings):
        raise LevelError(f"{len(asked)} questions have {len(readings)} readings")
    answered = [i for i, reading in enumerate(readings) if reading.distribution is not None]
    silent = Counter(reading.reason for reading in readings if reading.distribution is None)
    report: dict[str, Any] = {
        "answered": len(answered),
        "non_answers": {"count": len(asked) - len(answered), "rate": 1 - len(answered) / len(asked), "reasons": dict(silent)},
        "notes": dict(Counter(note for reading in readings for note in reading.notes)),
    }
    if not answered:
        return {**report, "accuracy_of_all": 0.0}
    forecasts = _forecasts([asked[i] for i in answered], [readings[i] for i in answered])
    names = [asked[i][1].id for i in answered]
    return {
        **report,
        "accuracy_of_all": float(forecasts.right.sum()) / len(asked),
        **_figures(forecasts, settings),
        "tests": _tests(forecasts, names, settings),
        "intervals": _intervals(forecasts, settings),
        "diagram": diagram(forecasts, settings.bins),
    }


def _forecasts(asked: Sequence[tuple[int, Asked]], readings: Sequence[Reading]) -> Forecasts:
    """Options in an order that does not depend on the file, which may list the truth first: by name where all questions have
    the same options, otherwise by a hash of question and option."""
    shared = len({frozenset(one.options) for _, one in asked}) == 1
    rows, truths = [], []
    for (_, one), reading in zip(asked, readings):
        assert reading.distribution is not None
        keys = [option if shared else hashlib.sha256(f"{one.id}\0{option}".encode()).hexdigest() for option in one.options]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        rows.append([reading.distribution[j] for j in order])
        truths.append(order.index(one.truth))
    return build_forecasts(rows, truths, [paragraph for paragraph, _ in asked])


def _scalars(forecasts: Forecasts, settings: Settings) -> dict[str, float]:
    confidence, right = forecasts.confidence, forecasts.right
    return {
        "accuracy": accuracy(forecasts),
        "mean_confidence": float(confidence.mean()),
        "brier": brier(forecasts),
        "log_score": log_score(forecasts, settings.log_floor),
        "ece": expected_calibration_error(confidence, right, settings.bins),
    }


def _figures(forecasts: Forecasts, settings: Settings) -> dict[str, Any]:
    confidence, right = forecasts.confidence, forecasts.right
    floor = simulate_floor(confidence, settings.bins, settings.draws, settings.seed)
    return {
        **_scalars(forecasts, settings),
        "debiased_ece": debiased_error(confidence, right, settings.bins),
        "debiased_squared_ece": debiased_squared_error(confidence, right, settings.bins),
        "noise_floor": {"mean": float(floor.mean()), "q95": float(np.quantile(floor, 0.95)), "draws": settings.draws},
        "decomposition": decompose(confidence, right, settings.bins).to_json(),
        "sets": [one.to_json() for one in set_coverage(forecasts)],
    }


def _tests(forecasts: Forecasts, names: Sequence[str], settings: Settings) -> dict[str, Any]:
    rows = _one_a_paragraph(forecasts.paragraphs, names, settings.seed)
    picked = forecasts.select(rows)
    bins, draws, seed = settings.bins, settings.draws, settings.seed
    found = {
        "top_label": calibration_test(picked.confidence, picked.right, bins, draws, seed),
        "class_wise": class_wise_test(picked, bins, draws, seed),
        "distribution": distribution_test(picked, bins, draws, seed),
    }
    # Three tests of one reader: Bonferroni, so that an honest reader is rejected by any of them at most LEVEL of the time.
    rejected = [name for name, test in found.items() if test.p_value <= LEVEL / len(found)]
    return {**{name: test.to_json() for name, test in found.items()}, "level": LEVEL, "rejected": rejected}


def _one_a_paragraph(paragraphs: Indices, names: Sequence[str], seed: int) -> Indices:
    keys = [hashlib.sha256(f"{seed}\0{name}".encode()).digest() for name in names]
    best: dict[int, int] = {}
    for row, paragraph in enumerate(paragraphs.tolist()):
        if paragraph not in best or keys[row] < keys[best[paragraph]]:
            best[paragraph] = row
    return np.array(sorted(best.values()), dtype=np.intp)


def _intervals(forecasts: Forecasts, settings: Settings) -> dict[str, list[float]] | None:
    if len(np.unique(forecasts.paragraphs)) < 2:
        return None

    def figures(rows: Indices) -> dict[str, float]:
        drawn = forecasts.select(rows)
        squared = squared_error(drawn.confidence, drawn.right, settings.bins)
        return {**_scalars(drawn, settings), "squared": squared, "root": math.sqrt(squared)}

    found = intervals(figures, forecasts.paragraphs, settings.resamples, seed=settings.seed)
    debiased = _debiased_interval(forecasts, settings, found.pop("squared"), found.pop("root"))
    return {**{name: list(pair) for name, pair in found.items()}, "debiased_ece": debiased}


def _debiased_interval(
    forecasts: Forecasts, settings: Settings, squared: tuple[float, float], root: tuple[float, float]
) -> list[float]:
    """A resample adds the noise once more, so the reflected interval has lost it: 2 x estimate - quantiles.

    Reflected squares end at sqrt(2) times the error found, however few the texts. Both ends therefore lie at least as far from
    that error as half the width of the interval of its root and 3 / texts, which no wrong answer at all leaves open (the rule of
    three).
    """
    confidence, right, bins = forecasts.confidence, forecasts.right, settings.bins
    whole, middle = squared_error(confidence, right, bins), debiased_error(confidence, right, bins)
    low, high = (math.sqrt(max(0.0, 2 * whole - end)) for end in (squared[1], squared[0]))
    reach = (root[1] - root[0]) / 2 + RULE_OF_THREE / len(np.unique(forecasts.paragraphs))
    return [max(0.0, min(low, middle - reach)), min(1.0, max(high, middle + reach))]


def diagram(forecasts: Forecasts, bins: int = DEFAULT_BINS) -> list[dict[str, Any]]:
    """A row a bin: count, mean confidence, accuracy, its 95 % Clopper-Pearson interval (outcomes taken as independent)."""
    confidence, right = forecasts.confidence, forecasts.right
    found = equal_mass(confidence, bins)
    rows = []
    for n, hits, mean in zip(
        found.sizes.tolist(), found.sums(right).round().astype(int).tolist(), found.means(confidence).tolist()
    ):
        low = beta_quantile(hits, n, 0.025) if hits else 0.0
        high = beta_quantile(hits + 1, n, 0.975) if hits < n else 1.0
        rows.append({"n": n, "confidence": mean, "accuracy": hits / n, "low": low, "high": high})
    return rows


def compare_ece(first: Mapping[str, Any], second: Mapping[str, Any], bins: tuple[int, int]) -> float:
    """first ECE - second ECE of two readers' reports. Raises GuaranteeError where n or bins differ: no common scale."""
    ours = CalibrationError(first["ece"], first["answered"], bins[0])
    return difference(ours, CalibrationError(second["ece"], second["answered"], bins[1]))
