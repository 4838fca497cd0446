"""Soft prompts on another model than they were tuned on (ProPILE, arXiv 2307.01881, section 4.3, transfer).

Directly, between models of one embedding width; or through the shared vocabulary: the linear map that best takes the first
model's token embeddings to the second's (least squares over tokens that both spell alike), applied to the prompt. A transferred
prompt is measured as any other; what it adds is reported for the pair of models.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import numpy as np

from privacy.errors import PlanError
from privacy.probes.white_box.model import Soft, WhiteBoxModel
from privacy.probes.white_box.run import PromptPair, check_weights
from privacy.probes.white_box.soft_prompt import SoftPrompt

MAX_SHARED_TOKENS = 20_000
LEAST_TOKENS_A_DIMENSION = 2


class Transfer(StrEnum):
    """How a soft prompt is moved."""

    DIRECT = "direct"
    VOCABULARY = "shared vocabulary"


def transfer_prompts(pair: PromptPair, source: WhiteBoxModel, target: WhiteBoxModel, how: Transfer) -> PromptPair:
    """Both prompts, moved alike. Raises PlanError: other widths at a direct transfer, too few shared tokens, another source."""
    check_weights(target)
    facts = source.facts()
    if any(prompt.model != (facts.digest or facts.name) for prompt in (pair.real, pair.control)):
        raise PlanError("these soft prompts were tuned on another model than the one they are moved from")
    mapping = _vocabulary_map(source, target) if how is Transfer.VOCABULARY else None
    return PromptPair(_moved(pair.real, target, how, mapping), _moved(pair.control, target, how, mapping))


def _moved(prompt: SoftPrompt, target: WhiteBoxModel, how: Transfer, mapping: Soft | None) -> SoftPrompt:
    width = int(target.embed(target.tokenize("a")[:1]).shape[1])
    if mapping is None and prompt.array.shape[1] != width:
        raise PlanError(
            f"the soft prompt has width {prompt.array.shape[1]}, the other model's embeddings have width {width}; a direct "
            f"transfer needs one width, transfer by {Transfer.VOCABULARY.value} does not"
        )
    array = prompt.array if mapping is None else np.asarray(prompt.array @ mapping, dtype=np.float32)
    facts = target.facts()
    return replace(prompt, array=array, model=facts.digest or facts.name, moved=f"{how.value} from {prompt.model}")


def _vocabulary_map(source: WhiteBoxModel, target: WhiteBoxModel) -> Soft:
    """W (d_source x d_target) that minimises |E_source W - E_target| over shared tokens."""
    ours, theirs = source.vocabulary(), target.vocabulary()
    shared = sorted(set(ours) & set(theirs))
    if len(shared) > MAX_SHARED_TOKENS:
        chosen = np.random.default_rng(0).choice(len(shared), MAX_SHARED_TOKENS, replace=False)
        shared = [shared[i] for i in sorted(chosen)]
    width = int(source.embed(source.tokenize("a")[:1]).shape[1])
    if len(shared) < LEAST_TOKENS_A_DIMENSION * width:
        raise PlanError(f"the two models share {len(shared)} tokens, too few for a map from {width} dimensions")
    rows = source.embed([ours[token] for token in shared]), target.embed([theirs[token] for token in shared])
    mapping, *_ = np.linalg.lstsq(rows[0].astype(np.float64), rows[1].astype(np.float64), rcond=None)
    return np.asarray(mapping, dtype=np.float32)
