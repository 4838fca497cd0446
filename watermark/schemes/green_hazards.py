"""What is wrong with a green-list key, as sentences for people."""

from __future__ import annotations

PUBLIC_KEYS = (15485863,)
_WEAK_PRFS = {
    "minfunc_prf": "minfunc takes the least token id of the context, which is nearly always the same: few lists are in use",
    "multiplicative_prf": "products of token ids lose their low bits: many contexts share a list",
}


def list_hazards(key: int, prf: str, vocab_size: int, gamma: float) -> tuple[str, ...]:
    """Sentences; empty when nothing is known to be wrong."""
    found = []
    if key in PUBLIC_KEYS:
        found.append("this is the public default key of lm-watermarking: anybody can write text that carries the mark")
    if key % 2 == 0:
        found.append("the key is even: its products with token ids lose low bits, which are all the generator sees")
    if key < 1 << 31:
        found.append("the key has fewer than 31 bits and can be found by trying all")
    if prf in _WEAK_PRFS:
        found.append(_WEAK_PRFS[prf])
    return tuple(found)
