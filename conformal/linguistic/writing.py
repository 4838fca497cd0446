"""Paragraphs written by a model, batch by batch, so that a run that was killed goes on where it stopped and ends the same.

The file of paragraphs grows by whole batches; `FILE.run.json` beside it names the model, the questions and the sampling. A file
of another run is refused, and what an interrupted batch left is written again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from conformal.errors import LedgerError
from conformal.linguistic.generator import Generator
from conformal.linguistic.paragraphs import MAX_TEXT, Paragraph, parse_paragraphs
from conformal.pipeline.model import derive_seed

Progress = Callable[[float, str], None]
TEMPLATE = """Write a short paragraph that answers the question. Say in the text how sure you are of every answer you name, \
as a percentage.
Question: {question}
Paragraph:"""


@dataclass(frozen=True)
class Writing:
    """How paragraphs are sampled. `batch` prompts are asked at once; it is part of the run's identity."""

    max_tokens: int = 300
    temperature: float = 0.3
    seed: int = 0
    batch: int = 16


def prompt_for(paragraph: Paragraph) -> str:
    """The prompt the file names, otherwise the template around the first question."""
    if paragraph.prompt is not None:
        return paragraph.prompt
    return TEMPLATE.format(question=" ".join(paragraph.questions[0].question.split()))


def write_paragraphs(
    generator: Generator, model: str, tasks: Sequence[Paragraph], out: Path, settings: Writing, progress: Progress | None = None
) -> tuple[Paragraph, ...]:
    """The tasks with the model's texts, in order, written to `out` as they come. Existing texts of the tasks are replaced.

    Raises LedgerError where `out` belongs to another run, ModelError, OSError.
    """
    identity = {
        "model": model,
        "settings": asdict(settings),
        "template_sha256": hashlib.sha256(TEMPLATE.encode()).hexdigest(),
        "questions_sha256": hashlib.sha256(
            json.dumps([{**task.to_json(), "text": None} for task in tasks]).encode()
        ).hexdigest(),
    }  # fmt: skip
    done = _resume(out, identity, settings.batch, len(tasks))
    with out.open("a", encoding="utf-8") as stream:
        for start in range(done, len(tasks), settings.batch):
            batch = tasks[start : start + settings.batch]
            seed = derive_seed(settings.seed, "paragraphs", start)
            texts = generator.generate(
                [prompt_for(task) for task in batch], max_tokens=settings.max_tokens, temperature=settings.temperature, seed=seed
            )
            if len(texts) != len(batch):
                raise LedgerError(f"the model gave {len(texts)} texts for {len(batch)} prompts")
            rows = [replace(task, text=_storable(text)).to_json() for task, text in zip(batch, texts)]
            stream.write("".join(json.dumps(row) + "\n" for row in rows))
            stream.flush()
            os.fsync(stream.fileno())
            if progress is not None:
                progress((start + len(batch)) / len(tasks), f"{start + len(batch)} of {len(tasks)} paragraphs")
    return parse_paragraphs(out.read_text(encoding="utf-8").split("\n"), out.name)


def _storable(text: str) -> str:
    """The text as UTF-8 can hold it, at most as long as the format allows."""
    return text.encode("utf-8", "replace").decode("utf-8")[:MAX_TEXT]


def _resume(out: Path, identity: Mapping[str, Any], batch: int, total: int) -> int:
    """How many paragraphs of this very run the file holds, cut back to whole batches. Raises LedgerError."""
    note = out.with_name(out.name + ".run.json")
    if not out.exists() or not note.exists():
        if out.exists():
            raise LedgerError(f"{out} exists and was not written by such a run; name another file")
        note.write_text(json.dumps(identity, indent=2) + "\n", encoding="utf-8")
        out.touch()
        return 0
    try:
        same = json.loads(note.read_text(encoding="utf-8")) == identity
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise LedgerError(f"{out} belongs to a run of another model, other questions or settings; name another file")
    lines = out.read_bytes().split(b"\n")[:-1]
    whole = len(lines) if len(lines) >= total else len(lines) // batch * batch
    kept = b"".join(line + b"\n" for line in lines[:whole])
    if len(kept) != out.stat().st_size:
        with out.open("r+b") as stream:
            stream.truncate(len(kept))
    return whole
