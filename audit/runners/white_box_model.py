"""A TransformersRunner as the white-box probe sees it (`privacy.probes.white_box.model.WhiteBoxModel`). Leaves the runner open.

What passes through here is personal: no error quotes a text or a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from audit.errors import CancelledError
from audit.runners.protocol import Cancelled, Progress, RunnerError
from privacy.errors import ModelAccessError, ProbeCancelledError
from privacy.probes.model import Access, ModelFacts
from privacy.probes.white_box.model import Example, Soft

if TYPE_CHECKING:
    from audit.runners.transformers_runner import TransformersRunner


class InProcessWhiteBox:
    """Raises ModelAccessError where the architecture takes no embeddings, and wherever the model fails."""

    def __init__(self, runner: TransformersRunner, cancelled: Cancelled | None = None) -> None:
        self._runner, self._cancelled = runner, cancelled
        with _translated():
            self._soft = runner.soft_prompts()
        self._facts: ModelFacts | None = None

    def facts(self) -> ModelFacts:
        if self._facts is None:
            with _translated():
                attested, found = self._runner.attestation(), self._runner.capabilities()
            self._facts = ModelFacts(
                name=attested.model,
                digest=attested.model_digest,
                access=Access.WEIGHTS,
                top_k=found.top_logprobs,
                deterministic=found.deterministic,
                vocab_size=found.vocab_size,
            )
        return self._facts

    def tokenize(self, text: str) -> tuple[int, ...]:
        with _translated():
            return self._runner.tokenize(text)

    def detokenize(self, token_ids: Sequence[int]) -> str:
        with _translated():
            return self._runner.detokenize(token_ids)

    def embed(self, token_ids: Sequence[int]) -> Soft:
        with _translated():
            return self._soft.embed(token_ids)

    def vocabulary(self) -> Mapping[str, int]:
        with _translated():
            return self._runner.vocabulary()

    def prompted_loss(self, soft: Soft, examples: Sequence[Example]) -> float:
        with _translated():
            return self._soft.loss(soft, examples)

    def prompted_gradient(self, soft: Soft, examples: Sequence[Example]) -> tuple[float, Soft]:
        with _translated():
            return self._soft.gradient(soft, examples)

    def score_prompted(
        self,
        soft: Soft | None,
        prompts: Sequence[Sequence[int]],
        candidates: Sequence[Sequence[Sequence[int]]],
        progress: Progress | None = None,
    ) -> list[list[tuple[float, ...]]]:
        with _translated():
            return self._soft.score(soft, prompts, candidates, progress, self._cancelled)


@contextmanager
def _translated() -> Iterator[None]:
    """The errors of runners as those of the privacy room."""
    try:
        yield
    except CancelledError as error:
        raise ProbeCancelledError(str(error)) from None
    except RunnerError as error:
        raise ModelAccessError(str(error)) from None
