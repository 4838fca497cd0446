"""Readers as the commands of the group name them: `extractive`, `options:MODEL`, `sampled:MODEL`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.exits import CommandError, Exit
from api.cli.progress import Progress

if TYPE_CHECKING:
    from audit.runners.protocol import Runner
    from conformal.linguistic.generator import ModelTexts
    from conformal.linguistic.readers.protocol import Reader

Readers = Annotated[
    list[str] | None,
    typer.Option(
        "--reader",
        help="extractive (no model), options:MODEL (its probabilities of the options) or sampled:MODEL; repeat for several.",
    ),
]
Plain = Annotated[
    str, typer.Option("--plain", help="extractive: what an answer asserted without a confidence counts as; 0 to 1, or none.")
]
Samples = Annotated[int, typer.Option("--samples", min=1, max=256, help="sampled: replies a question.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]


@contextmanager
def open_readers(
    specs: Sequence[str], plain: str, samples: int, seed: int, device: str, progress: Progress | None = None
) -> Iterator[list[Reader]]:
    """The readers by name; models are open inside the block, one runner a model. Raises CommandError, RunnerError, ModelError."""
    from conformal.linguistic.readers.extractive import ExtractiveReader
    from conformal.linguistic.readers.model import OptionReader, SampledReader

    with ExitStack() as stack:
        opened: dict[str, ModelTexts] = {}
        readers: list[Reader] = []
        for spec in specs:
            kind, _, model = spec.partition(":")
            if kind == "extractive" and not model:
                readers.append(ExtractiveReader(_plain(plain)))
                continue
            if kind not in ("options", "sampled") or not model:
                raise CommandError(
                    f"there is no reader {spec[:60]!r}; name extractive, options:MODEL or sampled:MODEL", Exit.USAGE
                )
            if model not in opened:
                opened[model] = stack.enter_context(open_texts(model, device, progress))
            texts = opened[model]
            readers.append(
                OptionReader(texts, texts.name) if kind == "options" else SampledReader(texts, texts.name, samples, seed=seed)
            )
        yield readers


@contextmanager
def open_texts(model: str, device: str, progress: Progress | None = None) -> Iterator[ModelTexts]:
    """A model as texts in, texts out. Raises RunnerError, ModelError."""
    from audit.runners.opening import open_runner
    from audit.runners.text_model import RunnerGenerator
    from conformal.linguistic.generator import ModelTexts

    runner: Runner = open_runner(model, device=device, allow_private=True, progress=progress)
    try:
        yield ModelTexts(RunnerGenerator(runner))
    finally:
        runner.close()


def _plain(text: str) -> float | None:
    if text == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise CommandError(f"--plain is a number from 0 to 1, or none, not {text[:20]!r}", Exit.USAGE)
    return value
