"""Before and after: accuracy, ECE, Brier and log score of the answers a reader takes from a model's paragraphs.

Protocol of arXiv 2404.00474, section 5: one paragraph a question, the reader's most probable answer, right or wrong; a paragraph
without an answer counts as wrong with confidence 1, so hiding cannot help, and its rate is reported apart. Intervals resample
entities, whose questions are not independent; models are compared on the same questions, in pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conformal.linguistic.calibration_error import calibration_test, expected_calibration_error
from conformal.linguistic.training.questions import Question, TrainingError, normal_form
from conformal.linguistic.training.reward import RewardRule

Floats = npt.NDArray[np.float64]
Judge = Callable[[Question, str, Sequence[str]], Mapping[str, float]]
FIGURES = ("accuracy", "ece", "brier", "reward", "no_answer")
BINS = 10
RESAMPLES = 2_000


@dataclass(frozen=True)
class Judged:
    """Per question: confidence of the reader's first answer, whether it is right, the reward, whether there was no answer."""

    confidence: Floats
    right: Floats
    reward: Floats
    silent: Floats


def judge(
    questions: Sequence[Question],
    paragraphs: Sequence[str],
    read: Judge,
    options: Mapping[str, Sequence[str]],
    rule: RewardRule,
) -> Judged:
    """Every paragraph read, given the options of its question (by id), and scored.

    Raises TrainingError for a reader that gives what is no probability.
    """
    if len(questions) != len(paragraphs) or not questions:
        raise TrainingError(f"{len(questions)} questions have {len(paragraphs)} paragraphs")
    rows = []
    for question, text in zip(questions, paragraphs):
        forecast = read(question, text, options.get(question.id, ()))
        reward = rule.score(forecast, question.answers)
        if not forecast:
            rows.append((1.0, 0.0, reward, 1.0))
            continue
        best = max(forecast, key=lambda answer: forecast[answer])
        right = normal_form(best) in {normal_form(answer) for answer in question.answers}
        rows.append((forecast[best], float(right), reward, 0.0))
    columns = np.array(rows, dtype=np.float64).T
    return Judged(*columns)


def figures(judged: Judged, rows: npt.NDArray[np.intp] | None = None) -> dict[str, float]:
    """The five figures, of all rows or of a resample. ECE: ten bins of equal mass, none dropped."""
    chosen = slice(None) if rows is None else rows
    confidence, right = judged.confidence[chosen], judged.right[chosen]
    return {
        "accuracy": float(right.mean()),
        "ece": expected_calibration_error(confidence, right, BINS),
        "brier": float(((confidence - right) ** 2).mean()),
        "reward": float(judged.reward[chosen].mean()),
        "no_answer": float(judged.silent[chosen].mean()),
    }


def resamples(questions: Sequence[Question], seed: int, count: int = RESAMPLES) -> list[npt.NDArray[np.intp]]:
    """Row numbers of bootstrap samples that draw entities with replacement."""
    rows_of: dict[str, list[int]] = {}
    for row, question in enumerate(questions):
        rows_of.setdefault(question.entity, []).append(row)
    groups = [np.array(rows) for rows in rows_of.values()]
    rng = np.random.default_rng(seed)
    return [np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))]) for _ in range(count)]


def compare(models: Mapping[str, Judged], questions: Sequence[Question], seed: int = 0) -> dict[str, dict[str, dict[str, float]]]:
    """For every model and figure: value, 95 % interval, and after the first model the paired change with its interval.

    Beside the ECE stand the mean it would have were the model calibrated, and the p-value of that (`calibration_test`).
    """
    draws = resamples(questions, seed)
    drawn = {name: [figures(judged, rows) for rows in draws] for name, judged in models.items()}
    first = next(iter(models))
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, judged in models.items():
        whole, base = figures(judged), figures(models[first])
        table[name] = {}
        floor = calibration_test(judged.confidence, judged.right, BINS, seed=seed)
        for figure in FIGURES:
            values = np.array([row[figure] for row in drawn[name]])
            entry = {"value": whole[figure]} | _interval(values, "")
            if figure == "ece":
                entry |= {"noise_floor": floor.floor, "p_value": floor.p_value}
            if name != first:
                changes = values - np.array([row[figure] for row in drawn[first]])
                entry |= {"change": whole[figure] - base[figure]} | _interval(changes, "change_")
            table[name][figure] = entry
    return table


def _interval(values: Floats, prefix: str) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {f"{prefix}low": float(low), f"{prefix}high": float(high)}
