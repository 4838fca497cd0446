"""The run half of `watermark.distortion`: samples of a model with and without its mark, under fresh keys and the audited one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.canonical import canonical_bytes
from audit.errors import CancelledError
from audit.params import derive_seed
from audit.runners.protocol import Mark, Prompt, Runner, RunnerError, Sampling
from audit.watermark.context import RunContext
from audit.watermark.distortion import FORMAT, DistortionParams
from audit.watermark.model_params import REPORT_FILE
from audit.watermark.writing import Writer, describe_run, fresh_key, open_codec, open_mark_for
from watermark.distortion.experiment import Plan, run_distortion
from watermark.distortion.report import Text
from watermark.keys import WatermarkKey

BATCH = 32


def run_distortion_audit(params: DistortionParams, key: WatermarkKey, runner: Runner, context: RunContext) -> dict[str, bytes]:
    """The evidence: one file with every sample. Raises RunnerError, WatermarkError, CancelledError."""
    sampler = RunnerSampler(params, key, runner, context)
    plan = Plan(
        label=key.family,
        token_prompts=params.token_prompts,
        text_prompts=params.text_prompts,
        repeated_prompts=params.repeated_prompts,
        repeats=params.repeats,
        limit=params.length,
        alpha=params.alpha,
        runs=params.runs,
        seed=derive_seed(context.entropy, "distortion") >> 8,
    )
    report = run_distortion(sampler, plan, context.progress, context.cancelled)
    content = {"format": FORMAT, "request": context.request, **describe_run(runner, key), "report": report.to_json()}
    return {REPORT_FILE: canonical_bytes(content)}


class RunnerSampler:
    """`watermark.distortion.experiment.Sampler` on a runner. A fresh key for a text is a fresh mark, hence a batch of one."""

    def __init__(self, params: DistortionParams, key: WatermarkKey, runner: Runner, context: RunContext) -> None:
        self._params, self._key, self._runner, self._context = params, key, runner, context
        self._mark = open_mark_for(key, runner)
        self._writer = Writer(runner, open_codec(runner), params.model, context)

    def next_tokens(self, prompts: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """See `watermark.distortion.experiment.Sampler`. Tokens that end an answer are ruled out on both sides."""
        asked = self._prompts(prompts, "tokens")
        distributions = np.concatenate(
            [
                self._distributions([prompt.token_ids or () for prompt in asked[first : first + BATCH]])
                for first in range(0, prompts, BATCH)
            ]
        )
        tokens = [answer[0] for answer in self._fresh("tokens", asked, seed, length=1, least=1)]
        return distributions, np.array(tokens, dtype=np.int64)

    def _distributions(self, prompts: Sequence[Sequence[int]]) -> npt.NDArray[np.float64]:
        """What sampling draws from (prompts x vocabulary): at the temperature, without tokens that end an answer."""
        logs = np.asarray(self._runner.next_token_logprobs(prompts), dtype=np.float64) / self._params.model.temperature
        ends = [token for token in self._runner.capabilities().end_tokens if token < logs.shape[1]]
        logs[:, ends] = -np.inf
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def marked(self, prompts: int, seed: int, fresh_keys: bool) -> list[Text]:
        """See `watermark.distortion.experiment.Sampler`."""
        asked = self._prompts(prompts, "texts")
        if fresh_keys:
            return self._fresh("texts", asked, seed, self._params.length, 0)
        return self._together(f"marked-{seed}", asked, seed, self._mark)

    def plain(self, prompts: int, seed: int) -> list[Text]:
        """See `watermark.distortion.experiment.Sampler`."""
        return self._together(f"plain-{seed}", self._prompts(prompts, "texts"), seed, None)

    def _prompts(self, count: int, purpose: str) -> list[Prompt]:
        return self._writer.prompts(count, f"distortion {purpose}")

    def _fresh(self, purpose: str, prompts: Sequence[Prompt], seed: int, length: int, least: int) -> list[Text]:
        texts: list[Text] = []
        for first in range(0, len(prompts), BATCH):
            part = prompts[first : first + BATCH]

            def make(first: int = first, part: Sequence[Prompt] = part) -> list[Text]:
                return [self._one(prompt, seed, first + i, length, least) for i, prompt in enumerate(part)]

            texts += self._kept(f"fresh-{purpose}-{first}", make)
        return texts

    def _one(self, prompt: Prompt, seed: int, index: int, length: int, least: int) -> Text:
        """One text under a key of its own."""
        if self._context.cancelled():
            raise CancelledError("the distortion experiment was cancelled")
        mark = self._open(fresh_key(self._key, derive_seed(self._context.entropy, f"fresh key {seed} {index}")))
        own = derive_seed(self._context.entropy, f"fresh text {seed} {index}")
        return self._generate([prompt], own, length, least, mark)[0]

    def _open(self, config: Mapping[str, Any]) -> Mark:
        from watermark.generation.marks import open_mark

        mark: Mark = open_mark(self._key.family, config)
        return mark

    def _together(self, name: str, prompts: Sequence[Prompt], seed: int, mark: Mark | None) -> list[Text]:
        own = derive_seed(self._context.entropy, f"texts {name} {seed}")
        return self._kept(name, lambda: self._generate(prompts, own, self._params.length, 0, mark))

    def _generate(self, prompts: Sequence[Prompt], seed: int, length: int, least: int, mark: Mark | None) -> list[Text]:
        sampling = Sampling(
            max_new_tokens=length, min_new_tokens=least, temperature=self._params.model.temperature, seed=seed, mark=mark
        )
        answers = self._runner.generate(list(prompts), sampling, None, self._context.cancelled)
        if any(answer.token_ids is None for answer in answers):
            raise RunnerError("the model does not tell the token ids of its answers; distortion is measured on those")
        return [tuple(answer.token_ids or ()) for answer in answers]

    def _kept(self, name: str, make: Callable[[], list[Text]]) -> list[Text]:
        data = self._context.keep(name, lambda: json.dumps(make()).encode())
        return [tuple(ids) for ids in json.loads(data)]
