"""The generator of jthickstun/watermark's demo: MT19937 `init_genrand`, 32-bit words, u = w / 2^32.

The JavaScript one keeps 32 bits of the key, the Python one does not: keys from 2^32 on give another stream there.
"""

from __future__ import annotations

import numpy as np

from watermark.primitives.mersenne import MASK32

_N = 624


def demo_generator(key: int, keep_high_bits: bool) -> np.random.RandomState:
    """The word stream of a demo key; `keep_high_bits` is the Python demo's reading."""
    state = np.random.RandomState(0)
    words = [key if keep_high_bits else key & MASK32]
    for i in range(1, _N):
        last = words[-1]
        words.append((1812433253 * (last ^ (last >> 30)) + i) & MASK32)
    state.set_state(("MT19937", np.array([word & MASK32 for word in words], dtype=np.uint32), _N, 0, 0.0))
    return state
