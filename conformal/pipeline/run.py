"""A run over prompts: answers, samples, claims, scores, and with a threshold the backed-off texts; kill it and call it again.

A finished item is never redone, and what is redone comes out the same as far as the model is deterministic, so the files written
at the end do not depend on how often the run was interrupted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformal.pipeline.journal import Journal, canonical_line, write_whole
from conformal.pipeline.ledger import ScoredOutput, ledger_text
from conformal.pipeline.model import Cancelled, Progress
from conformal.pipeline.plan import Plan
from conformal.pipeline.questions import Question
from conformal.pipeline.reporting import summarise, summarise_filtered
from conformal.pipeline.stages import Stages

LEDGER, FILTERED, REPORT = "ledger.jsonl", "filtered.jsonl", "report.json"


def run_pipeline(
    questions: Sequence[Question],
    plan: Plan,
    folder: Path,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> dict[str, Any]:
    """Run or resume. Writes `ledger.jsonl` (scored claims), with a threshold `filtered.jsonl`, and `report.json`, the result.

    Raises PipelineError (a setting; a folder of another run), MissingCapabilityError before any work, ModelError when the model
    fails to answer a prompt, RunCancelledError, and OSError from the disk. All leave a run that continues.
    """
    plan.validate()
    journal = Journal(folder, plan.manifest(questions))
    try:
        stages = Stages(plan, journal, len(questions), progress, cancelled)
        for first in range(0, len(questions), plan.batch):
            stages.do_batch(questions[first : first + plan.batch])
        outputs = [stages.output(question) for question in questions]
        ledger = ledger_text(outputs)
        report = {**summarise(outputs, stages.failures(questions)), "ledger_digest": _sha256(ledger)}
        report["components"] = {scorer.name: plan.components(scorer.name) for scorer in plan.scorers}
        write_whole(folder / LEDGER, ledger)
        if plan.backoff is not None:
            report |= _write_filtered(folder, stages, questions, outputs)
        write_whole(folder / REPORT, canonical_line(report))
        return report
    finally:
        journal.close()


def _write_filtered(
    folder: Path, stages: Stages, questions: Sequence[Question], outputs: Sequence[ScoredOutput]
) -> dict[str, Any]:
    rows = [stages.merged(question) for question in questions]
    named = [{"id": question.id, "prompt": question.prompt, **row} for question, row in zip(questions, rows, strict=True)]
    text = "".join(canonical_line(row) for row in named)
    write_whole(folder / FILTERED, text)
    return {"filtered": summarise_filtered(outputs, rows), "filtered_digest": _sha256(text)}


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("ascii")).hexdigest()
