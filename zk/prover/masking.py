"""Masked scalars: what the transcript sees is value minus pad (PROTOCOL 5.1)."""

from __future__ import annotations

from zk.protocol.field import K, k_sub
from zk.protocol.transcript import Transcript


class Masker:
    """Holds the pads of one proof, sends masked values under their slots, remembers true values for the pad tableau."""

    def __init__(self, transcript: Transcript, pads: list[K]) -> None:
        self.transcript = transcript
        self._pads = pads
        self.masked: list[K | None] = [None] * len(pads)

    def send(self, label: str, slots: list[int] | tuple[int, ...], values: list[K] | tuple[K, ...]) -> None:
        """Absorb value - pad for every slot. A slot is sent exactly once."""
        out = []
        for slot, value in zip(slots, values, strict=True):
            assert self.masked[slot] is None, f"slot {slot} sent twice"
            masked = k_sub(value, self._pads[slot])
            self.masked[slot] = masked
            out.append(masked)
        self.transcript.absorb_k(label, out)

    def scalars(self) -> list[K]:
        """All masked scalars in slot order, complete."""
        out = [value for value in self.masked if value is not None]
        assert len(out) == len(self.masked), "a masked scalar was never sent"
        return out
