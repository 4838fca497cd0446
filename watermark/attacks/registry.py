"""The edit attacks by name. To add one, write its module and add a row here."""

from __future__ import annotations

from collections.abc import Callable

from watermark.attacks.characters import Homoglyphs, WhiteSpace, ZeroWidth
from watermark.attacks.copy_paste import CopyPaste
from watermark.attacks.protocol import Attack, AttackResources, Rewrite, TokenDistribution
from watermark.attacks.regeneration import Regeneration
from watermark.attacks.synonyms import Synonyms
from watermark.attacks.token_edits import Deletion, Insertion, Substitution, Swap
from watermark.attacks.truncation import Truncation
from watermark.errors import AttackError


def _replacement(given: AttackResources) -> TokenDistribution:
    if given.replacement is None:
        raise AttackError("this attack draws tokens; give the distribution they come from (TokenDistribution)")
    return given.replacement


def _rewrite(given: AttackResources) -> Rewrite:
    if given.rewrite is None:
        raise AttackError("regeneration needs a model that rewrites texts")
    return given.rewrite


ATTACKS: dict[str, Callable[[AttackResources], Attack]] = {
    "substitution": lambda given: Substitution(_replacement(given)),
    "insertion": lambda given: Insertion(_replacement(given)),
    "deletion": lambda given: Deletion(),
    "swap": lambda given: Swap(),
    "truncation": lambda given: Truncation(),
    "copy-paste": lambda given: CopyPaste(given.clean),
    "copy-paste-3": lambda given: CopyPaste(given.clean, segments=3, name="copy-paste-3"),
    "homoglyphs": lambda given: Homoglyphs(),
    "zero-width": lambda given: ZeroWidth(),
    "white-space": lambda given: WhiteSpace(),
    "synonyms": lambda given: Synonyms(given.synonyms) if given.synonyms is not None else Synonyms(),
    "regeneration": lambda given: Regeneration(_rewrite(given)),
}
# Those that edit text, not token ids: they need a codec.
TEXT_ATTACKS = ("homoglyphs", "zero-width", "white-space", "synonyms", "regeneration")


def build_attack(name: str, resources: AttackResources | None = None) -> Attack:
    """The attack of a name. Raises AttackError for an unknown one or a missing resource."""
    if name not in ATTACKS:
        raise AttackError(f"there is no attack {str(name)[:60]!r}; known: {', '.join(sorted(ATTACKS))}")
    return ATTACKS[name](resources or AttackResources())
