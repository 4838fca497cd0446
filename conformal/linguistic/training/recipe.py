"""The two stages, from a model directory and questions to a calibrated model and a before/after table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conformal.linguistic.readers.extractive import ExtractiveReader
from conformal.linguistic.readers.protocol import Case
from conformal.linguistic.training.evaluation import Judge, compare, judge
from conformal.linguistic.training.folder import open_folder, require_packages
from conformal.linguistic.training.questions import Question, digest_of, normal_form, prompt_of, split_questions
from conformal.linguistic.training.reading import MAX_TEXT_CHARACTERS, read_stated
from conformal.linguistic.training.reinforcement import Read, reinforce
from conformal.linguistic.training.reward import RewardRule
from conformal.linguistic.training.run_folder import RunFolder, digest_of_folder
from conformal.linguistic.training.sampling import complete
from conformal.linguistic.training.settings import Settings
from conformal.linguistic.training.supervised import fine_tune, sample_paragraphs
from conformal.linguistic.training.trainer_setup import Watcher

ANOTHER = "(another answer)"
PACKAGES = ("torch", "transformers", "trl")


@dataclass(frozen=True)
class Readers:
    """`train` rewards; `judges` (name to reader) only evaluate. `options` holds the closed answer set of each question id;
    None leaves the questions open, and the options are then the answers that any of the compared models' paragraphs name."""

    train: Read
    judges: Mapping[str, Judge]
    options: Mapping[str, tuple[str, ...]] | None = None


def stated_reader(question: Question, text: str) -> Mapping[str, float]:
    """The stated numbers at their word: the reader that trains."""
    return read_stated(text)


def open_readers() -> Readers:
    """For any model: stated numbers reward; the extractive reader, which reads words and numbers clause by clause, judges."""
    return Readers(train=stated_reader, judges={ExtractiveReader().name: extractive_judge()})


def extractive_judge() -> Judge:
    """The extractive reader in the form the recipe calls: a text it cannot read has no answer."""
    reader = ExtractiveReader()

    def read(question: Question, text: str, options: Sequence[str]) -> Mapping[str, float]:
        (reading,) = reader.read([Case(question.id, text[:MAX_TEXT_CHARACTERS], question.text, tuple(options))])
        return {} if reading.distribution is None else dict(zip(options, reading.distribution))

    return read


def named_options(question: Question, paragraphs: Sequence[str]) -> tuple[str, ...]:
    """What an open question may be answered by, here: the true answer, the answers the paragraphs name, and any other."""
    forms = {normal_form(answer): answer for answer in question.answers[:1]}
    for text in paragraphs:
        for answer in read_stated(text):
            forms.setdefault(answer, answer)
    return (*forms.values(), ANOTHER)


def train(
    model: Path,
    questions: Sequence[Question],
    out: Path,
    readers: Readers,
    *,
    settings: Settings | None = None,
    rule: RewardRule | None = None,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Run what is not done yet and return the report; `out/reinforced` is the trained model.

    The same call after a kill or a stop goes on from the last checkpoint; a finished run returns its report.
    Raises TrainingError, TrainingStopped, OSError.
    """
    settings, rule, watcher = settings or Settings(), rule or RewardRule(), watcher or Watcher()
    require_packages()
    taught, asked = split_questions(questions, settings.held_out, settings.seed)
    folder = RunFolder(out)
    identity = {
        "model": digest_of_folder(model),
        "train_questions": digest_of(taught),
        "held_out_questions": digest_of(asked),
        "settings": asdict(settings),
        "reward": asdict(rule),
        "judges": sorted(readers.judges),
        "versions": {name: version(name) for name in PACKAGES},
    }
    with folder.opened(identity):
        if folder.done("report"):
            return folder.report()
        paragraphs = _paragraphs(folder, model, taught, settings, watcher.part(0.0, 0.1, "sampling"))
        if not folder.done("supervised"):
            examples = [(question.text, paragraphs[question.id]) for question in taught]
            part = watcher.part(0.1, 0.25, "supervised fine-tuning")
            log = fine_tune(model, examples, folder.supervised, folder.checkpoints("supervised"), settings, part)
            folder.write("supervised-log.json", _log_text(log))
            folder.finish("supervised")
        if not folder.done("reinforced"):
            part = watcher.part(0.25, 0.9, "reinforcement learning")
            checkpoints = folder.checkpoints("reinforced")
            log = reinforce(folder.supervised, taught, readers.train, rule, folder.reinforced, checkpoints, settings, part)
            folder.write("reinforced-log.json", _log_text(log))
            folder.finish("reinforced")
        models = {"base": model, "supervised": folder.supervised, "reinforced": folder.reinforced}
        report = identity | _evaluate(models, asked, readers, rule, settings, watcher.part(0.9, 1.0, "evaluation"))
        folder.write("report.json", json.dumps(report, indent=1))
        folder.finish("report")
    return report


def _log_text(log: Sequence[Mapping[str, Any]]) -> str:
    """The trainer's own figures by step; what is not finite is left out."""
    rows = [{k: v for k, v in row.items() if isinstance(v, int | float) and math.isfinite(v)} for row in log]
    return json.dumps(rows, indent=1, sort_keys=True)


def _paragraphs(
    folder: RunFolder, model: Path, questions: Sequence[Question], settings: Settings, watcher: Watcher
) -> dict[str, str]:
    """Question id to merged paragraph: sampled now, or as an earlier call left them."""
    if not folder.done("paragraphs"):
        texts = sample_paragraphs(model, questions, settings, watcher)
        rows = [json.dumps({"id": question.id, "paragraph": text}) for question, text in zip(questions, texts)]
        folder.write("paragraphs.jsonl", "\n".join(rows) + "\n")
        folder.finish("paragraphs")
    return {str(row.get("id")): str(row.get("paragraph")) for row in folder.read_lines(folder.paragraphs)}


def _evaluate(
    models: Mapping[str, Path],
    questions: Sequence[Question],
    readers: Readers,
    rule: RewardRule,
    settings: Settings,
    watcher: Watcher,
) -> dict[str, Any]:
    """One paragraph a held-out question from every model, judged by every judge and, for comparison, by the training reader."""
    paragraphs: dict[str, list[str]] = {}
    for at, (name, folder) in enumerate(models.items()):
        watcher.check()
        tokenizer, model = open_folder(folder)
        texts = complete(
            tokenizer,
            model,
            [prompt_of(question.text) for question in questions],
            tokens=settings.paragraph_tokens,
            temperature=settings.evaluation_temperature,
            seed=settings.seed,
            batch=settings.sampling_batch,
        )
        paragraphs[name] = [text for (text,) in texts]
        watcher.progress((at + 1) / len(models), f"{name} model")
    options = readers.options or {
        question.id: named_options(question, written) for question, *written in zip(questions, *paragraphs.values())
    }

    def trained_on(question: Question, text: str, options: Sequence[str]) -> Mapping[str, float]:
        return readers.train(question, text)

    tables = {}
    for judge_name, read in [*readers.judges.items(), ("stated (trained on)", trained_on)]:
        judged = {name: judge(questions, texts, read, options, rule) for name, texts in paragraphs.items()}
        tables[judge_name] = compare(judged, questions, settings.seed)
    return {"held_out": len(questions), "tables": tables, "examples": {name: texts[:3] for name, texts in paragraphs.items()}}
