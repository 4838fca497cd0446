"""An audit states what it needs of a model before it begins; where less was found it is refused, never scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from audit.runners.protocol import Capabilities, CapabilityError, Tier

Need = Literal[
    "token_prompts",
    "returns_token_ids",
    "top_logprobs",
    "prompt_logprobs",
    "deterministic",
    "order_independent",
    "logits_processors",
]
_WORDS: dict[Need, str] = {
    "token_prompts": "prompts as token ids",
    "returns_token_ids": "the token ids of its answers",
    "top_logprobs": "log-probabilities of the likeliest tokens",
    "prompt_logprobs": "log-probabilities of a prompt",
    "deterministic": "the same answer for the same seed",
    "order_independent": "log-probabilities that do not depend on the order of a batch",
    "logits_processors": "logits processors",
}


def require(found: Capabilities, what: str, *, tier: Tier = Tier.CHAT, needs: Sequence[Need] = ()) -> None:
    """Raises CapabilityError, naming everything that `what` (an audit, in words) needs and that was not found."""
    missing = [_WORDS[need] for need in needs if not getattr(found, need)]
    if found.tier < tier:
        missing.insert(0, f"tier T{int(tier)} ({tier.name.lower().replace('_', ' ')}), the probe found T{int(found.tier)}")
    if missing:
        raise CapabilityError(f"{what} needs of the model what it does not offer: {'; '.join(missing)}")
