"""Schemes by the names people know, with the settings their authors or the literature recommend.

Sources: green lists, arXiv 2306.04634 (gamma .25, delta 2, width 4 for selfhash) and the reference's named schemes; Unigram,
arXiv 2306.17439; EXP and ITS, arXiv 2307.15593; Gumbel, vLLM; SynthID-Text, transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watermark.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """A family with options for its dialect's `new_config`. `needs_vocabulary`: the vocabulary size has no default."""

    family: str
    options: Mapping[str, Any]
    needs_vocabulary: bool
    about: str


_GREEN = {"gamma": 0.25, "delta": 2.0}

PRESETS: dict[str, Preset] = {
    "selfhash": Preset(
        "kgw-lm-extended", {"seeding_scheme": "selfhash", **_GREEN}, True, "green list, width 4, seeds itself: hard to steal"
    ),
    "minhash": Preset("kgw-lm-extended", {"seeding_scheme": "minhash", **_GREEN}, True, "green list, width 4: robust to edits"),
    "skipgram": Preset(
        "kgw-lm-extended", {"seeding_scheme": "skipgram", **_GREEN}, True, "green list, width 5, first token only"
    ),
    "lefthash": Preset(
        "kgw-lm-extended", {"seeding_scheme": "lefthash", **_GREEN}, True, "green list, width 1: robust, stealable"
    ),
    "unigram": Preset("unigram", {}, True, "one fixed green list: most robust, easiest to steal"),
    "exp": Preset("kuditipudi-library", {"scheme": "EXP"}, True, "exponential minimum sampling, analytic p-value"),
    "exp-edit": Preset("kuditipudi-library", {"scheme": "EXP-edit"}, True, "the same, read through insertions and deletions"),
    "its": Preset("kuditipudi-library", {"scheme": "ITS"}, True, "inverse transform sampling"),
    "its-edit": Preset("kuditipudi-library", {"scheme": "ITS-edit"}, True, "the same, read through insertions and deletions"),
    "gumbel": Preset("vllm-gumbel", {"scheme": "gumbel"}, False, "vLLM's context-hashed Gumbel, exact p-value"),
    "gumbel-dual": Preset("vllm-gumbel", {"scheme": "dual_key_gumbel"}, False, "the same with two keys (speculative decoding)"),
    "synthid": Preset("synthid", {}, False, "SynthID-Text tournament"),
}
ALIASES = {"green-list": "selfhash", "kgw": "selfhash"}


def find_preset(name: str) -> Preset:
    """The preset of a name. Raises ConfigError that lists the known ones."""
    preset = PRESETS.get(ALIASES.get(name, name))
    if preset is None:
        known = ", ".join([*PRESETS, *ALIASES])
        raise ConfigError(f"there is no scheme {name[:60]!r}; known schemes: {known}")
    return preset
