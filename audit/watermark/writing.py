"""Texts for experiments: prompts, marked and unmarked answers of a model, all as token ids. Runs only; checks never import it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from audit.errors import CancelledError
from audit.params import derive_seed
from audit.runners.protocol import CapabilityError, Generation, Mark, Prompt, Runner, Sampling
from audit.watermark.context import RunContext
from audit.watermark.model_params import EXCHANGES_FILE, ModelParams
from watermark.attacks.protocol import Codec
from watermark.errors import ConfigError, TokenError
from watermark.keys import WatermarkKey

Tokens = npt.NDArray[np.int64]
BATCH = 32
CHARS_A_TOKEN = 4


def open_mark_for(key: WatermarkKey, runner: Runner) -> Mark:
    """The mark of a key, for this model. Raises CapabilityError, ConfigError for a key of another vocabulary."""
    offered = runner.capabilities()
    if not offered.logits_processors:
        raise CapabilityError("this model takes no logits processors, so that no mark can be embedded in its text")
    size = key.config.get("vocab_size")
    if size is not None and offered.vocab_size is not None and size != offered.vocab_size:
        raise ConfigError(f"the key is for a vocabulary of {size} tokens, the model has {offered.vocab_size} logits")
    from watermark.generation.marks import open_mark

    mark: Mark = open_mark(key.family, key.config)
    return mark


@dataclass
class Writer:
    """Writes texts of a model, by purpose: the same purpose gives the same texts. Prompts are passages of the corpus."""

    runner: Runner
    codec: Codec
    params: ModelParams
    context: RunContext
    _ids: Tokens | None = field(default=None, repr=False)

    def passages(self, count: int, length: int, purpose: str) -> list[Tokens]:
        """Token ids of `count` stretches of the corpus, each of `length` tokens."""
        ids = self._corpus_ids()
        if len(ids) <= length:
            raise TokenError(f"the prompts have {len(ids)} tokens together; stretches of {length} are needed")
        rng = np.random.default_rng(derive_seed(self.context.entropy, f"passages {purpose}"))
        starts = rng.integers(0, len(ids) - length, size=count)
        return [ids[start : start + length] for start in starts.tolist()]

    def _corpus_ids(self) -> Tokens:
        if self._ids is None:
            self._ids = np.array(list(self.codec.encode(self._corpus())), dtype=np.int64)
        return self._ids

    def _corpus(self) -> str:
        return self.params.corpus or built_in_corpus()

    def prompts(self, count: int, purpose: str) -> list[Prompt]:
        """Passages as prompts: token ids where the model takes them, text otherwise."""
        if self.runner.capabilities().token_prompts:
            return [Prompt(token_ids=tuple(ids.tolist())) for ids in self.passages(count, self.params.prompt_tokens, purpose)]
        rng = np.random.default_rng(derive_seed(self.context.entropy, f"passages {purpose}"))
        corpus, width = self._corpus(), self.params.prompt_tokens * CHARS_A_TOKEN
        starts = rng.integers(0, max(1, len(corpus) - width), size=count)
        return [Prompt(text=corpus[start : start + width]) for start in starts.tolist()]

    def write(
        self, count: int, length: int, purpose: str, mark: Mark | None, progress: Callable[[float, str], None], exact: bool = True
    ) -> list[Tokens]:
        """`count` answers of at most `length` tokens; with `exact`, the end of text is ruled out before. Kept batch by batch."""
        prompts, texts = self.prompts(count, purpose), []
        for first in range(0, count, BATCH):
            if self.context.cancelled():
                raise CancelledError("writing texts was cancelled")
            progress(first / count, f"writing {purpose} texts, {first} of {count}")
            part = prompts[first : first + BATCH]
            name = f"{purpose.replace(' ', '-')}-{first}"
            data = self.context.keep(name, lambda part=part, name=name: self._batch(part, length, name, mark, exact))  # type: ignore[misc]
            texts += [np.array(ids, dtype=np.int64) for ids in json.loads(data)]
        return texts

    def _batch(self, prompts: Sequence[Prompt], length: int, name: str, mark: Mark | None, exact: bool) -> bytes:
        sampling = Sampling(
            max_new_tokens=length,
            min_new_tokens=length if exact else 0,
            temperature=self.params.temperature,
            seed=derive_seed(self.context.entropy, f"texts {name}"),
            mark=mark,
        )
        answers = self.runner.generate(prompts, sampling, None, self.context.cancelled)
        return json.dumps([self._ids_of(answer) for answer in answers]).encode()

    def _ids_of(self, answer: Generation) -> list[int]:
        if answer.token_ids is not None:
            return list(answer.token_ids)
        return [int(token) for token in self.codec.encode(answer.text)]


def open_codec(runner: Runner, tokenizer: Path | None = None) -> Codec:
    """Text to token ids and back: by the runner, or by the tokenizer of a folder."""
    if tokenizer is None:
        return Codec(runner.tokenize, runner.detokenize)
    from watermark.tokenization import load_tokenizer

    loaded = load_tokenizer(tokenizer)
    return Codec(lambda text: [int(token) for token in loaded.encode(text).ids], loaded.decode)


def describe_run(runner: Runner, key: WatermarkKey) -> dict[str, Any]:
    """What evidence says about model and key: who answered, with what, and the key's commitment."""
    capabilities = runner.capabilities().to_json()
    return {
        "key": key.commitment,
        "family": key.family,
        "attestation": runner.attestation().to_json(),
        "tier": capabilities["tier"],
        "deterministic": capabilities["deterministic"],
    }


def exchanges_of(runner: Runner) -> dict[str, bytes]:
    """The raw exchanges with an endpoint since it was opened, as a file of the evidence; nothing for a model in process."""
    log = getattr(runner, "exchanges", None)
    return {} if log is None else {EXCHANGES_FILE: log.read()}


def built_in_corpus() -> str:
    """Prose written by people: the documentation topics of CPython that the tiny model never saw."""
    from audit.runners.tiny import heldout_text

    return heldout_text()


def fresh_key(key: WatermarkKey, seed: int) -> Mapping[str, Any]:
    """The configuration of a key of the same family and settings, drawn from `seed` instead of from fresh entropy."""
    from watermark.families import find_dialect

    rng = np.random.default_rng(seed)

    def draw(value: Any) -> Any:
        if isinstance(value, list):
            return [draw(item) for item in value]
        if type(value) is not int:
            raise ConfigError("a secret of this family is no number; no fresh key can be drawn for it")
        return int(rng.integers(1, 1 << 62 if value >= 1 << 32 else 1 << 31))

    hidden = find_dialect(key.family).secrets()
    return {name: draw(value) if name in hidden else value for name, value in key.config.items()}
