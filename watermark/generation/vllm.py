"""Marks in vLLM: a logits processor of its v1 interface, by class path.

    ASSAY_WATERMARK_KEY=key.json vllm serve MODEL --logits-processors watermark.generation.vllm:WatermarkLogitsProcessor

The key is a file of `assay watermark keygen`, mode 0600; nothing of it is logged. A request opts out with the extra argument
`watermark: false`. Interface: vllm/v1/sample/logits_processor/interface.py, 0.10.1 and later; where vLLM's second model runner
is the default, VLLM_USE_V2_MODEL_RUNNER=0. Tested against a stand-in that drives this interface, not against vLLM itself.

vLLM calls custom processors before penalties, temperature and filters. Green lists bias these logits, as lm-watermarking does
in transformers: at temperature T the bias is delta / T. The other marks need the final distribution, so temperature, top-k and
top-p of the request are applied here, the token is drawn here, and all others are ruled out; penalties and min-p would come too
late and are refused for them. Greedy requests are marked by green lists only. The v1 interface excludes speculative decoding.
"""

from __future__ import annotations

import importlib
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from watermark.errors import ConfigError
from watermark.generation.marks import NO_TOKEN, Ints, Writer, check_width, only, open_mark
from watermark.keys import load_key

KEY_VARIABLE = "ASSAY_WATERMARK_KEY"
OPT_OUT = "watermark"
GREEDY_BELOW = 1e-5


def _base() -> Any:
    """vLLM's base class, or a plain one where vLLM is not installed."""
    try:
        return importlib.import_module("vllm.v1.sample.logits_processor").LogitsProcessor
    except ImportError:
        return object


@lru_cache(maxsize=1)
def configured_writer(path: str) -> Writer:
    """The writer of a key file. Raises KeyFileError, ConfigError."""
    key = load_key(Path(path))
    return open_mark(key.family, key.config).writer


def _configured() -> Writer:
    path = os.environ.get(KEY_VARIABLE)
    if not path:
        raise ConfigError(f"set {KEY_VARIABLE} to the key file of the watermark")
    return configured_writer(path)


@dataclass
class Request:
    """One marked request. `output` is vLLM's own list, which grows with the answer."""

    params: Any
    prompt: Sequence[int]
    output: Sequence[int]
    state: Any = field(repr=False)

    def context(self, width: int, reads_prompt: bool) -> list[int]:
        """The last `width` tokens, NO_TOKEN before the beginning. Raises ConfigError for tokens that are not known yet."""
        last = list(self.output[-width:]) if width else []
        if any(token < 0 for token in last):
            raise ConfigError("the last tokens are not known when the mark is set; run vLLM without asynchronous scheduling")
        if reads_prompt and len(last) < width:
            last = [*self.prompt[-(width - len(last)) :], *last]
        return [NO_TOKEN] * (width - len(last)) + last


class WatermarkLogitsProcessor(_base()):  # type: ignore[misc]
    """The mark of the key that ASSAY_WATERMARK_KEY names, on every request that does not opt out."""

    def __init__(self, vllm_config: Any, device: Any, is_pin_memory: bool) -> None:
        self.writer = _configured()
        self._requests: dict[int, Request] = {}

    @classmethod
    def validate_params(cls, sampling_params: Any) -> None:
        """Raises ValueError (as the interface wants) for settings that the mark cannot honour."""
        extra = sampling_params.extra_args or {}
        if not isinstance(extra.get(OPT_OUT, True), bool):
            raise ValueError(f"{OPT_OUT} must be true or false")
        if not _is_marked(sampling_params) or not _configured().final:
            return
        late = [
            name
            for name, neutral in (("presence_penalty", 0), ("frequency_penalty", 0), ("repetition_penalty", 1), ("min_p", 0))
            if getattr(sampling_params, name, neutral) != neutral
        ]
        if late:
            raise ValueError(f"this server's watermark does not work with {', '.join(late)}; leave it out")

    def is_argmax_invariant(self) -> bool:
        return False

    def update_state(self, batch_update: Any) -> None:
        """Follow requests through the batch: removed, then added, then moved."""
        if batch_update is None:
            return
        requests = self._requests
        for index in batch_update.removed:
            requests.pop(index, None)
        for index, params, prompt, output in batch_update.added:
            requests.pop(index, None)
            if _is_marked(params) and not (self.writer.final and params.temperature < GREEDY_BELOW):
                seed = secrets.randbits(63) if params.seed is None else int(params.seed)
                requests[index] = Request(params, prompt or [], output, self.writer.start(seed))
        for first, second, direction in batch_update.moved:
            moving, replaced = requests.pop(first, None), requests.pop(second, None)
            if moving is not None:
                requests[second] = moving
            if replaced is not None and direction.name == "SWAP":
                requests[first] = replaced

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Mark the rows of all marked requests, in place. Raises ConfigError when the key is for another vocabulary."""
        indices = sorted(index for index in self._requests if index < len(logits))
        if not indices:
            return logits
        check_width(self.writer, logits.shape[1])
        requests = [self._requests[index] for index in indices]
        where = torch.tensor(indices, device=logits.device)
        scores = logits[where].float()
        states, looked = [request.state for request in requests], self._contexts(requests)
        if self.writer.final:
            warped = warp(scores, [request.params for request in requests])
            tokens = self.writer.draw(states, *looked, warped)
            marked = only(scores, torch.from_numpy(tokens).to(scores.device))
        else:
            marked = self.writer.step(states, *looked, scores)
        logits[where] = marked.to(logits.dtype)
        return logits

    def _contexts(self, requests: Sequence[Request]) -> tuple[Ints, Ints]:
        width = self.writer.width
        contexts = [request.context(width, self.writer.reads_prompt) for request in requests]
        shaped = np.array(contexts, dtype=np.int64).reshape(len(requests), width)
        return shaped, np.array([len(request.output) for request in requests])


def _is_marked(params: Any) -> bool:
    return bool((params.extra_args or {}).get(OPT_OUT, True))


def warp(scores: torch.Tensor, params: Sequence[Any]) -> torch.Tensor:
    """Temperature, top-k and top-p of every row's request, as vLLM applies them (top_k below 1 and top_p 1 switch off)."""
    scores = scores / torch.tensor([float(p.temperature) for p in params], device=scores.device)[:, None]
    for row, p in enumerate(params):
        line = scores[row]
        if 0 < p.top_k < len(line):
            line[line < line.topk(p.top_k).values[-1]] = -torch.inf
        if p.top_p < 1:
            ordered, order = line.sort(descending=True)
            probabilities = torch.softmax(ordered, dim=0)
            line[order[probabilities.cumsum(dim=0) - probabilities >= p.top_p]] = -torch.inf
    return scores
