"""`calibration.evaluate`: does the confidence that texts state mean what it says, as declared readers take it from them?"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.errors import RequestError
from audit.factuality.recomputed import Recomputed
from audit.params import Fields
from audit.registry import Check, Outcome, Verdict
from conformal.claims import plain_text
from conformal.linguistic.evaluation import Settings, evaluate, read_all
from conformal.linguistic.paragraphs import Paragraph, parse_paragraphs
from conformal.linguistic.readers.extractive import ExtractiveReader

NAME = "calibration.evaluate"
EXTRACTIVE = "extractive"
MOST_SILENT = 0.5
TESTS = 3  # of every reader
MAX_DOCUMENTS, MAX_DRAWS, MAX_WORK = 20_000, 20_000, 2_000_000_000
CONDITIONS = (
    "calibration belongs to a text and a reader: another reader may take other confidences from the same texts",
    "that no test rejects is no proof of calibration; a claim needs a margin",
    "figures are those of the questions that a reader answered; how many it did not is given",
    "errors that cancel within a bin are not seen; more bins see more of them",
    "the truths of the questions and the readings that the request brings are the auditor's",
)


@dataclass(frozen=True)
class EvaluateParams:
    """`margin`: the claim that the debiased calibration error of every reader is at most so much, with 95 % confidence;
    left open for a reader that answers less than half of the questions."""

    paragraphs: tuple[Paragraph, ...]
    extractive: bool
    settings: Settings
    margin: float | None


class CalibrationEvaluate(Recomputed):
    """The registered kind."""

    name = NAME
    title = "Stated confidence means what it says: accuracy, proper scores, calibration error and its noise"
    format = "assay-calibration-evaluate/1"

    def read(self, params: Mapping[str, Any]) -> EvaluateParams:
        fields = Fields(params, NAME)
        documents = fields.take("documents")
        if not isinstance(documents, list) or not 0 < len(documents) <= MAX_DOCUMENTS:
            raise RequestError(f"params.documents must be a list of 1 to {MAX_DOCUMENTS} paragraphs with questions")
        margin = fields.take("margin")
        if margin is not None and (type(margin) not in (int, float) or not 0 < margin < 1):
            raise RequestError("params.margin must be a calibration error between 0 and 1, or absent")
        paragraphs = parse_paragraphs((json.dumps(one) for one in documents), "params.documents")
        brought = any(asked.readings for paragraph in paragraphs for asked in paragraph.questions)
        found = EvaluateParams(
            paragraphs=paragraphs,
            extractive=bool(fields.words("readers", (EXTRACTIVE,), (EXTRACTIVE,))) if not brought else fields.flag(EXTRACTIVE),
            settings=Settings(
                bins=fields.integer("bins", 20, 2, 100),
                draws=fields.integer("draws", 1999, 99, MAX_DRAWS),
                resamples=fields.integer("resamples", 1000, 100, MAX_DRAWS),
                seed=fields.integer("seed", 0, 0, (1 << 53) - 1),
            ),
            margin=margin,
        )
        fields.done()
        _refuse_repeats(paragraphs)
        _refuse_endless(found)
        return found

    def compute(self, asked: EvaluateParams) -> dict[str, Any]:
        readings = read_all(asked.paragraphs, [ExtractiveReader()] if asked.extractive else [])
        report: dict[str, Any] = json.loads(json.dumps(evaluate(asked.paragraphs, readings, asked.settings), allow_nan=False))
        return report

    def judge(self, asked: EvaluateParams, result: Mapping[str, Any]) -> Outcome:
        checks = [Check("1 data", True, f"{result['questions']} questions about {result['paragraphs']} texts")]
        for name, reader in sorted(result["readers"].items()):
            checks.append(_check(name, reader, asked.margin, len(checks) + 1, len(result["readers"])))
        verdict: Verdict = "holds" if asked.margin is not None else "inconclusive"
        if any(check.ok is None for check in checks):
            verdict = "inconclusive"
        if any(check.ok is False for check in checks):
            verdict = "refuted"
        outputs = {**{name: result[name] for name in ("questions", "paragraphs", "settings", "readers", "disagreement")}}
        return Outcome(verdict, tuple(checks), {**outputs, "margin": asked.margin, "figure": _figure(result)}, CONDITIONS)


def _refuse_repeats(paragraphs: tuple[Paragraph, ...]) -> None:
    """A text counts once: repeated under other ids it would make every interval and test as narrow as one likes."""
    seen: dict[tuple[str, ...], str] = {}
    for one in paragraphs:
        if one.text is None:
            continue
        known = (plain_text(one.text), *sorted(plain_text(asked.question) for asked in one.questions))
        if known in seen:
            raise RequestError(f"the paragraphs {seen[known][:60]!r} and {one.id[:60]!r} are the same text and questions")
        seen[known] = one.id


def _refuse_endless(asked: EvaluateParams) -> None:
    sizes = [len(one.options) for paragraph in asked.paragraphs for one in paragraph.questions]
    work = len(sizes) * max(sizes) * asked.settings.draws + len(sizes) * asked.settings.resamples
    if work > MAX_WORK:
        raise RequestError(f"{len(sizes)} questions are too many for so many draws and resamples; ask for fewer of either")


def _check(name: str, reader: Mapping[str, Any], margin: float | None, number: int, readers: int) -> Check:
    """Without a margin: False where a test rejects calibration, otherwise undecided. With one: what the interval of the debiased
    error says of it, and False only where the test agrees."""
    at = f"{number} {name[:40]}"
    if not reader["answered"]:
        return Check(at, None, "the reader found no answer in any text")
    said = (
        f"accuracy {reader['accuracy']:.3f}, ECE {reader['ece']:.3f} beside a noise floor of {reader['noise_floor']['mean']:.3f}"
    )
    tests = reader["tests"]
    # Every reader must pass: each has its share of the level, as each of its tests has of that.
    rejected = [test for test in tests["rejected"] if tests[test]["p_value"] * readers * TESTS <= tests["level"]]
    if margin is None:
        found = f"calibration is rejected: {', '.join(rejected)}" if rejected else "no test rejects calibration"
        return Check(at, False if rejected else None, f"{said}; {found}")
    if reader["intervals"] is None:
        return Check(at, None, f"{said}; one text gives no interval")
    low, high = reader["intervals"]["debiased_ece"]
    silent = reader["non_answers"]["rate"]
    beyond = low > margin and "top_label" in rejected  # intervals are approximate, the test is not
    ok = True if high <= margin and silent <= MOST_SILENT else False if beyond else None
    return Check(
        at, ok, f"{said}; {silent:.0%} not answered; debiased error {low:.3f} to {high:.3f} (95 %), claimed at most {margin:g}"
    )


def _figure(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Reliability: how often the answers were right, against the confidence stated."""
    panels = []
    for name, reader in sorted(result["readers"].items()):
        if not reader["answered"]:
            continue
        points = [[row["confidence"], row["accuracy"], row["low"], row["high"]] for row in reader["diagram"]]
        lines = [{"label": "answers, 95 %", "points": points}, {"label": "calibrated", "points": [[0.0, 0.0], [1.0, 1.0]]}]
        panels.append(
            {
                "title": f"Reader: {name[:60]}", "x": "confidence", "y": "share right", "x_range": [0.0, 1.0],
                "y_range": [0.0, 1.0], "marks": [], "lines": lines,
            }
        )  # fmt: skip
    return panels
