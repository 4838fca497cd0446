"""The relearning attack: a little training on a part of what should be forgotten brings hidden memory of the rest back.

After Hu et al. (arXiv 2406.13356) and Lynch et al. (arXiv 2402.16835). The unlearned model and the reference get the same texts,
steps and rates, so that what any model would learn from them is learnt by both. Trains a copy in memory: neither the model that
was handed in nor any file is changed. Needs torch.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from privacy.errors import ModelAccessError, PlanError
from privacy.probes.model import ProbedModel
from privacy.probes.unlearning_plan import Relearning

IGNORED = -100
MAX_TOKENS = 4096


class TunableModel(ProbedModel, Protocol):
    """A model in process whose weights can be copied. Both raise ModelAccessError for another model."""

    def network(self) -> Any:
        """The torch module, called with `input_ids` and `attention_mask`; it must be left as it is."""
        ...

    def with_network(self, network: Any) -> ProbedModel:
        """The same model over another network of the same shape."""
        ...


def relearn(model: ProbedModel, texts: Sequence[tuple[int, ...]], budget: Relearning) -> ProbedModel:
    """A copy of the model, trained on the texts: AdamW without weight decay at a constant rate, in float32, no dropout.

    The order of texts follows from the budget's seed and from nothing else. Raises ModelAccessError, PlanError.
    """
    if not (hasattr(model, "network") and hasattr(model, "with_network")):
        raise ModelAccessError("the relearning attack trains a copy of the model; it needs a model in process")
    if not texts or any(not 2 <= len(text) <= MAX_TOKENS for text in texts):
        raise PlanError(f"texts to relearn have 2 to {MAX_TOKENS} tokens, and there is at least one")
    import torch

    source = model.network()
    with torch.inference_mode(False), torch.enable_grad():
        network = copy.deepcopy(source).float().eval()
        for parameter in network.parameters():
            parameter.requires_grad_(True)
        optimiser = torch.optim.AdamW(network.parameters(), lr=budget.rate, weight_decay=0.0)
        for rows in _batches(texts, budget):
            loss = _loss(torch, network, rows)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if not bool(torch.isfinite(loss.detach())):
            raise ModelAccessError("relearning diverged: the loss is no number any more; take a smaller rate")
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    found: ProbedModel = model.with_network(network.to(next(source.parameters()).dtype))
    return found


def _batches(texts: Sequence[tuple[int, ...]], budget: Relearning) -> Iterator[list[tuple[int, ...]]]:
    """Passes over the texts in a new order each, cut into batches; exactly `steps` of them."""
    rng, order = random.Random(f"relearning-order/{budget.seed}"), list[int]()
    for _ in range(budget.steps):
        if not order:
            order = rng.sample(range(len(texts)), len(texts))
        taken, order = order[: budget.batch], order[budget.batch :]
        yield [texts[i] for i in taken]


def _loss(torch: Any, network: Any, rows: Sequence[tuple[int, ...]]) -> Any:
    """Mean cross-entropy (nats) over the tokens of the rows, padded on the right."""
    width, device = max(map(len, rows)), next(network.parameters()).device
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    targets = torch.where(mask[:, 1:] == 1, ids[:, 1:], IGNORED)
    logits = network(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)
