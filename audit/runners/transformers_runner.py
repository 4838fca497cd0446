"""Models in process: any Hugging Face directory with safetensors weights, on CPU or GPU.

Every row of a batch has its own generator, seeded from the sampling's seed and its place in the list of prompts, so a text
never depends on how prompts were batched, up to rounding: logits differ by about 1e-6 (float32) to 1e-2 (bfloat16) with the
shape of a batch, and a draw that falls into such a gap differs.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from audit.errors import CancelledError
from audit.runners.model_folder import ModelFolder, choose_device, digest_of, import_libraries, package_versions
from audit.runners.protocol import (
    Attestation,
    Cancelled,
    Capabilities,
    Generation,
    Progress,
    Prompt,
    RunnerError,
    Sampling,
    Tier,
)
from audit.runners.sampling_rules import MAX_PROMPTS, MAX_TEXT_CHARS, check_sampling, row_seed

if TYPE_CHECKING:
    from audit.runners.candidates import CandidateScorer
    from audit.runners.soft_prompts import SoftPrompts

BATCH = 16
MAX_LOGITS_BYTES = 1 << 30
UNLIMITED_CONTEXT = 1 << 20
_ROUNDING = {"float32": "1e-5", "bfloat16": "1e-1", "float16": "1e-2"}

T = TypeVar("T")


class TransformersRunner:
    """A causal language model loaded from `folder` (a Hugging Face directory). `batch` rows run at once, fewer when memory ends.

    Raises RunnerError when the folder holds no model that can be loaded, naming what is missing.
    """

    def __init__(self, folder: Path, device: str = "auto", dtype: str = "auto", batch: int = BATCH) -> None:
        self.folder, self.batch = ModelFolder.open(folder), max(1, batch)
        self._torch, _ = import_libraries()
        self._device = choose_device(self._torch, device)
        self._tokenizer, self._model = self.folder.load(dtype, self._device)
        self._dtype = str(self._model.dtype).removeprefix("torch.")
        self.context = int(getattr(self._model.config, "max_position_embeddings", None) or UNLIMITED_CONTEXT)
        head = self._model.get_output_embeddings()
        self.vocab_size = int(head.weight.shape[0] if head is not None else self._model.config.vocab_size)
        """Width of the logits, which may exceed the tokenizer's vocabulary."""
        self._takes = set(inspect.signature(self._model.forward).parameters)
        self._digests: dict[str, str] | None = None
        self._candidates: CandidateScorer | None = None
        self._tuned = False

    # ------------------------------------------------------------------ what it is

    def capabilities(self) -> Capabilities:
        rounding = _ROUNDING.get(self._dtype, "1e-1")
        return Capabilities(
            tier=Tier.IN_PROCESS,
            token_prompts=True,
            returns_token_ids=True,
            top_logprobs=self.vocab_size,
            prompt_logprobs=True,
            deterministic=True,
            order_independent=True,
            logits_processors=True,
            vocab_size=self.vocab_size,
            max_context=self.context,
            details=(
                f"in process on {self._device}, {self._dtype}",
                f"log-probabilities differ by up to about {rounding} with the shape of a batch",
            ),
            end_tokens=tuple(sorted(self._end_ids())),
        )

    def attestation(self) -> Attestation:
        """Digests of the files that were loaded, taken at the first call. Raises RunnerError when they changed since loading.

        A tuned copy comes from no files, and has none."""
        if self._tuned:
            name = f"{self.folder.path.resolve().name}, tuned"
            return Attestation(name, None, self._device, self._dtype, package_versions(), {})
        if self._digests is None:
            self._digests = self.folder.digests()
        return Attestation(
            model=self.folder.path.resolve().name,
            model_digest=digest_of(self._digests),
            device=self._device,
            dtype=self._dtype,
            versions=package_versions(),
            files=self._digests,
        )

    # ------------------------------------------------------------------ text and tokens

    def tokenize(self, text: str) -> tuple[int, ...]:
        if len(text) > MAX_TEXT_CHARS:
            raise RunnerError(f"a text of {len(text)} characters is longer than {MAX_TEXT_CHARS}")
        try:
            return tuple(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        except (UnicodeError, TypeError):
            raise RunnerError("a text holds lone surrogates, which no tokenizer takes") from None

    def detokenize(self, token_ids: Sequence[int]) -> str:
        return self._decode(self._check_ids(token_ids))

    def _decode(self, token_ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def chat_prompt(self, messages: Sequence[dict[str, str]]) -> tuple[int, ...]:
        """Token ids of a conversation by the model's chat template; without one, a line for each turn. Raises RunnerError."""
        if not getattr(self._tokenizer, "chat_template", None):
            return self.tokenize("\n".join(f"{turn['role']}: {turn['content']}" for turn in messages) + "\nassistant:")
        try:
            text = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except Exception as error:  # a template is a program of the model's author
            raise RunnerError(f"the model's chat template refuses these messages: {str(error)[:200]}") from error
        return self.tokenize(text)

    def _check_ids(self, token_ids: Sequence[int]) -> list[int]:
        ids = [int(token) for token in token_ids]
        for place, token in enumerate(ids):
            if not 0 <= token < self.vocab_size:  # the token itself may be part of a personal value
                raise RunnerError(f"a token (place {place}) lies outside the model's vocabulary of {self.vocab_size}")
        return ids

    def _ids(self, prompt: Prompt) -> list[int]:
        if (prompt.text is None) == (prompt.token_ids is None):
            raise RunnerError("a prompt is either a text or token ids")
        ids = prompt.token_ids if prompt.token_ids is not None else self.tokenize(prompt.text or "")
        return self._check_ids(ids) or [self._start()]

    def _start(self) -> int:
        """What stands before a text when there is no prompt, and fills short rows."""
        for token in (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id):
            if token is not None:
                return int(token)
        return 0

    def _end_ids(self) -> frozenset[int]:
        ends = self._model.generation_config.eos_token_id
        found = ends if isinstance(ends, list) else [ends]
        return frozenset(int(token) for token in [*found, self._tokenizer.eos_token_id] if token is not None)

    # ------------------------------------------------------------------ generation

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[Generation]:
        check_sampling(sampling)
        self._check_open(len(prompts))
        rows = [self._ids(prompt) for prompt in prompts]
        longest = max((len(row) for row in rows), default=0)
        if longest + sampling.max_new_tokens > self.context:
            raise RunnerError(
                f"a prompt of {longest} tokens and {sampling.max_new_tokens} new ones exceed the model's context of "
                f"{self.context}; shorten the prompt or ask for fewer"
            )

        def work(first: int, part: list[list[int]]) -> list[Generation]:
            return self._generate_batch(part, [row_seed(sampling.seed, first + i) for i in range(len(part))], sampling, cancelled)

        return list(self._in_batches(rows, self.batch, work, "generated", progress, cancelled))

    def _generate_batch(
        self, rows: list[list[int]], seeds: list[int], sampling: Sampling, cancelled: Cancelled | None
    ) -> list[Generation]:
        from audit.runners.sampling import Sampler

        torch = self._torch
        width = max(len(row) for row in rows)
        sampler = Sampler(sampling, seeds, width, self._end_ids(), self._decode)
        ids = torch.tensor([[self._start()] * (width - len(row)) + row for row in rows], device=self._device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=self._device)
        cache = None
        with torch.inference_mode():
            for _ in range(sampling.max_new_tokens):
                if cancelled is not None and cancelled():
                    raise CancelledError("generation was cancelled")
                new = 1 if cache is not None else ids.shape[1]
                answer = self._model(**self._inputs(ids[:, -new:], mask, cache))
                cache = getattr(answer, "past_key_values", None)
                ids = torch.cat([ids, sampler.next_tokens(ids, answer.logits[:, -1, :].float())], dim=1)
                mask = torch.cat([mask, mask.new_ones((len(rows), 1))], dim=1)
                if sampler.all_done:
                    break
        return sampler.answers()

    def _inputs(self, ids: Any, mask: Any, cache: Any) -> dict[str, Any]:
        """Arguments of the model for the last columns of left-padded rows; architectures differ in what they take."""
        inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": True, "past_key_values": cache, "logits_to_keep": 1}
        inputs["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return {name: value for name, value in inputs.items() if name in self._takes}

    # ------------------------------------------------------------------ scores

    def score(
        self, sequences: Sequence[Sequence[int]], progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> list[tuple[float, ...]]:
        return [logs for logs, _ in self._score(sequences, 0, progress, cancelled)]

    def score_top(
        self, sequences: Sequence[Sequence[int]], top: int
    ) -> list[tuple[tuple[float, ...], tuple[dict[int, float], ...]]]:
        """As `score`, with the `top` likeliest tokens at every position beside it."""
        return list(self._score(sequences, top, None, None))

    def _score(
        self, sequences: Sequence[Sequence[int]], top: int, progress: Progress | None, cancelled: Cancelled | None
    ) -> Iterator[tuple[tuple[float, ...], tuple[dict[int, float], ...]]]:
        def work(first: int, part: list[list[int]]) -> list[tuple[tuple[float, ...], tuple[dict[int, float], ...]]]:
            logits = self._right_padded_logits(part)
            return [self._score_row(row, logits[i, : len(row) - 1], top) for i, row in enumerate(part)]

        rows = self._sequences(sequences)
        return self._in_batches(rows, self._rows_at_once(rows), work, "scored", progress, cancelled)

    def _score_row(self, row: list[int], logits: Any, top: int) -> tuple[tuple[float, ...], tuple[dict[int, float], ...]]:
        torch = self._torch
        logs = torch.log_softmax(logits.float(), dim=-1)
        picked = logs.gather(1, torch.tensor(row[1:], device=logs.device, dtype=torch.long)[:, None])[:, 0]
        if not bool(torch.isfinite(logits).all()):
            raise RunnerError("the model's scores are not finite numbers; try another dtype (float32)")
        best = logs.topk(min(top, logs.shape[-1]), dim=-1)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return tuple(picked.tolist()), tuple(dict(zip(ids, values, strict=True)) for ids, values in pairs) if top else ()

    def score_candidates(
        self,
        prompts: Sequence[Sequence[int]],
        candidates: Sequence[Sequence[Sequence[int]]],
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> list[list[tuple[float, ...]]]:
        """Log-probabilities of the tokens of every candidate after its prompt (token ids, none empty), as `score` would give
        them, with the work shared that candidates share (see `audit.runners.candidates`). Raises RunnerError."""
        from audit.runners.candidates import MAX_CANDIDATES, CandidateScorer

        if len(prompts) != len(candidates) or sum(map(len, candidates)) > MAX_CANDIDATES:
            raise RunnerError(f"every prompt needs its own candidates, at most {MAX_CANDIDATES} in all")
        if any(not row for row in prompts) or any(not row for group in candidates for row in group):
            raise RunnerError("an empty prompt or candidate has no tokens to score")
        self._check_open(len(prompts))
        heads = [self._check_ids(row) for row in prompts]
        tails = [[self._check_ids(row) for row in group] for group in candidates]
        longest = max((len(h) + max(map(len, t), default=0) for h, t in zip(heads, tails)), default=0)
        if longest > self.context:
            raise RunnerError(f"a sequence of {longest} tokens exceeds the model's context of {self.context}; shorten it")
        if self._candidates is None:
            self._candidates = CandidateScorer(self, self._torch, self._model, self._takes)
        return self._candidates.score(heads, tails, progress, cancelled)

    def token_moments(self, sequences: Sequence[Sequence[int]], cancelled: Cancelled | None = None) -> list[Any]:
        """At every token but the first, mean and standard deviation of the log-probability (nats) of a token drawn there."""

        def work(first: int, part: list[list[int]]) -> list[Any]:
            logits = self._right_padded_logits(part)
            return [self._moments(logits[i, : len(row) - 1]) for i, row in enumerate(part)]

        rows = self._sequences(sequences)
        return list(self._in_batches(rows, self._rows_at_once(rows), work, "read", None, cancelled))

    def _moments(self, logits: Any) -> tuple[tuple[float, float], ...]:
        logs = self._torch.log_softmax(logits.float(), dim=-1)
        weights = logs.exp()
        logs = logs.masked_fill(weights == 0, 0.0)
        means = (weights * logs).sum(-1)
        spread = (weights * (logs - means[:, None]).square()).sum(-1).sqrt()
        return tuple(zip(means.tolist(), spread.tolist(), strict=True))

    def network(self) -> Any:
        """The torch module. It must be left as it is; what is to be trained is a deep copy."""
        self._check_open(0)
        return self._model

    def with_network(self, network: Any) -> TransformersRunner:
        """This runner over a copy of its network with other weights. Closing one leaves the other open."""
        other = copy.copy(self)
        other._model, other._candidates, other._tuned = network, None, True
        return other

    def soft_prompts(self) -> SoftPrompts:
        """Gradients of soft prompts and scores after them. Raises CapabilityError where the architecture takes no embeddings."""
        from audit.runners.soft_prompts import SoftPrompts

        self._check_open(0)
        return SoftPrompts(self, self._torch, self._model, self._takes)

    def vocabulary(self) -> dict[str, int]:
        """Token ids by the tokenizer's own spelling of a token."""
        return {str(token): int(number) for token, number in self._tokenizer.get_vocab().items()}

    def next_token_logprobs(self, prompts: Sequence[Sequence[int]]) -> Any:
        torch = self._torch

        def work(first: int, part: list[list[int]]) -> list[Any]:
            logits = self._right_padded_logits(part)
            last = torch.stack([logits[i, len(row) - 1] for i, row in enumerate(part)])
            return list(torch.log_softmax(last.double(), dim=-1).cpu().numpy())

        import numpy as np

        rows = self._sequences(prompts)
        found = list(self._in_batches(rows, self._rows_at_once(rows), work, "scored", None, None))
        return np.stack(found) if found else np.zeros((0, self.vocab_size))

    def _sequences(self, sequences: Sequence[Sequence[int]]) -> list[list[int]]:
        self._check_open(len(sequences))
        rows = [self._check_ids(row) or [self._start()] for row in sequences]
        longest = max((len(row) for row in rows), default=0)
        if longest > self.context:
            raise RunnerError(f"a sequence of {longest} tokens exceeds the model's context of {self.context}; shorten it")
        return rows

    def _rows_at_once(self, rows: list[list[int]]) -> int:
        longest = max((len(row) for row in rows), default=1)
        return max(1, min(self.batch, MAX_LOGITS_BYTES // (4 * longest * self.vocab_size)))

    def _right_padded_logits(self, rows: list[list[int]]) -> Any:
        torch = self._torch
        width = max(len(row) for row in rows)
        ids = torch.tensor([row + [self._start()] * (width - len(row)) for row in rows], device=self._device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=self._device)
        with torch.inference_mode():
            return self._model(input_ids=ids, attention_mask=mask).logits

    # ------------------------------------------------------------------ batches

    def _in_batches(
        self,
        rows: list[list[int]],
        size: int,
        work: Callable[[int, list[list[int]]], list[T]],
        did: str,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> Iterator[T]:
        """`work` on `size` rows at a time, on half as many when memory does not suffice."""
        done = 0
        while done < len(rows):
            if cancelled is not None and cancelled():
                raise CancelledError("work on the model was cancelled")
            try:
                answers = work(done, rows[done : done + size])
            except (RuntimeError, MemoryError) as error:
                if not _out_of_memory(error):
                    raise RunnerError(f"the model failed: {str(error)[:300]}") from error
                if size == 1:
                    raise RunnerError(
                        "the memory does not suffice for one text at a time; use a smaller model or dtype"
                    ) from error
                size = (min(size, len(rows) - done) + 1) // 2
                continue
            done += len(answers)
            yield from answers
            if progress is not None:
                progress(done / len(rows), f"{did} {done} of {len(rows)} texts")

    def _check_open(self, count: int) -> None:
        if self._model is None:
            raise RunnerError("this model has been closed; open it again")
        if count > MAX_PROMPTS:
            raise RunnerError(f"{count} prompts are more than {MAX_PROMPTS}; split them")

    def close(self) -> None:
        self._model = self._candidates = None


def _out_of_memory(error: BaseException) -> bool:
    """Whether torch, on whatever device, or Python ran out of memory."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
