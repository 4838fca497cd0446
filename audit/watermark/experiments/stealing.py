"""The run half of `watermark.stealing`: marked and natural texts, every attack at every budget, scrubbing and spoofing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audit.canonical import canonical_bytes
from audit.params import derive_seed
from audit.runners.protocol import Runner
from audit.watermark.context import RunContext
from audit.watermark.model_params import REPORT_FILE
from audit.watermark.stealing import FORMAT, StealingParams
from audit.watermark.writing import Tokens, Writer, describe_run, open_codec, open_mark_for
from watermark.attacks.stealing.audit import StealingExperiment, run_stealing
from watermark.detection import DetectOptions
from watermark.keys import WatermarkKey

_WRITING = 0.5
MAX_BYTES = 512 * 1024 * 1024


class RememberedLogits:
    """Logits of the next token after contexts (n x vocabulary), of one runner. Up to MAX_BYTES of what was asked before are
    remembered: every trial asks about the same held-out texts again."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._known: dict[bytes, npt.NDArray[np.float32]] = {}
        self._bytes = 0

    def __call__(self, contexts: Sequence[Tokens]) -> npt.NDArray[np.float32]:
        names = [np.asarray(context, dtype=np.int64).tobytes() for context in contexts]
        missing = {name: context for name, context in zip(names, contexts) if name not in self._known}
        fresh: dict[bytes, npt.NDArray[np.float32]] = {}
        if missing:
            rows = self._runner.next_token_logprobs([context.tolist() for context in missing.values()])
            fresh = dict(zip(missing, np.asarray(rows, dtype=np.float32)))
            for name, row in fresh.items():
                if self._bytes < MAX_BYTES:
                    self._known[name] = row
                    self._bytes += row.nbytes
        return np.stack([fresh[name] if name in fresh else self._known[name] for name in names])


def run_stealing_audit(params: StealingParams, key: WatermarkKey, runner: Runner, context: RunContext) -> dict[str, bytes]:
    """The evidence: one file, in the public form that names no stolen token. Raises RunnerError, WatermarkError, CancelledError.

    The trials are timed, so that two runs differ in `seconds`; the service keeps the first complete one.
    """
    writer = Writer(runner, open_codec(runner), params.model, context)
    mark = open_mark_for(key, runner)
    need = max(params.budgets) + params.judged
    marked = writer.write(need, params.length, "marked", mark, context.part(0.0, _WRITING / 2))
    natural = writer.write(need, params.length, "natural", None, context.part(_WRITING / 2, _WRITING))

    experiment = StealingExperiment(
        label=key.family,
        attacks=params.attacks,
        budgets=params.budgets,
        judged=params.judged,
        next_logits=RememberedLogits(runner),
        contexts=params.contexts,
        time_limit=params.time_limit,
        options=DetectOptions(params.alpha, params.runs, seed=derive_seed(context.entropy, "tests")),
        seed=derive_seed(context.entropy, "stealing") >> 22,
    )

    def steal() -> bytes:
        report = run_stealing(marked, natural, key.open(), experiment, context.part(_WRITING, 1.0), context.cancelled)
        content = {"format": FORMAT, "request": context.request, **describe_run(runner, key), "report": report.to_json()}
        return canonical_bytes(content)

    return {REPORT_FILE: context.keep("report", steal)}
