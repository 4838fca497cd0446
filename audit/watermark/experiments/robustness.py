"""The run half of `watermark.robustness`: write texts, attack them, test them. Works with any runner, in the service or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audit.canonical import canonical_bytes
from audit.params import derive_seed
from audit.runners.protocol import Runner
from audit.watermark.context import RunContext
from audit.watermark.model_params import REPORT_FILE
from audit.watermark.robustness import FORMAT, RobustnessParams
from audit.watermark.writing import Tokens, Writer, describe_run, exchanges_of, open_codec, open_mark_for
from watermark.attacks.protocol import AttackResources, TokenDistribution
from watermark.attacks.registry import build_attack
from watermark.detection import DetectOptions
from watermark.keys import WatermarkKey
from watermark.robustness.experiment import Experiment, measure_robustness


def run_robustness(
    params: RobustnessParams, key: WatermarkKey, runner: Runner, context: RunContext, tokenizer: Path | None = None
) -> dict[str, bytes]:
    """The evidence: one file with every p-value. `tokenizer` is the folder of the marked model's tokenizer, where the runner does
    not tell token ids. Raises RunnerError, WatermarkError, CancelledError."""
    codec = open_codec(runner, tokenizer)
    writer = Writer(runner, codec, params.model, context)
    length = max(params.lengths)
    mark = open_mark_for(key, runner) if params.embed == "runner" else None
    marked = writer.write(params.texts, length, "marked", mark, context.part(0.0, 0.4), exact=mark is not None)
    clean = _clean_texts(params, writer, length, context)
    background = clean or writer.passages(max(8, params.texts), length, "background")
    given = AttackResources(replacement=_replacement(background, runner), clean=tuple(background))
    vocab_size = key.config.get("vocab_size")
    experiment = Experiment(
        label=key.family,
        attacks=[build_attack(name, given) for name in params.attacks],
        lengths=params.lengths,
        rates=params.rates,
        options=DetectOptions(params.alpha, params.runs),
        seed=derive_seed(context.entropy, "edits"),
        codec=codec,
        vocab_size=vocab_size if isinstance(vocab_size, int) else None,
    )
    report = measure_robustness(key.open(), marked, clean, experiment, context.part(0.6, 1.0), context.cancelled)
    content = {"format": FORMAT, "request": context.request, **describe_run(runner, key), "report": report.to_json()}
    return {REPORT_FILE: canonical_bytes(content), **exchanges_of(runner)}


def _clean_texts(params: RobustnessParams, writer: Writer, length: int, context: RunContext) -> list[Tokens]:
    """Texts without the mark: the model's own where the runner puts the mark in, people's where the model always marks."""
    if not params.clean:
        return []
    if params.embed == "runner":
        return writer.write(params.clean, length, "clean", None, context.part(0.4, 0.6))
    return writer.passages(params.clean, length, "clean")


def _replacement(texts: Sequence[Tokens], runner: Runner) -> TokenDistribution:
    """Tokens that substitutions and insertions draw from: as frequent as in texts without the mark."""
    size = runner.capabilities().vocab_size
    if size is None:
        return TokenDistribution.of_texts(texts)
    return TokenDistribution(np.bincount(np.concatenate(list(texts)), minlength=size).astype(np.float64))
