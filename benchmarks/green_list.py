"""Green-list detection beside the reference's algorithm: `python -m benchmarks.green_list [--repeats 7]`.

Milliseconds for 1,000 scored tokens over 50,272 entries at gamma 0.25, one thread: with a key that nothing is known about (plain
NumPy and the compiled kernel, loaded), and with a key whose lists are kept. The reference is what lm-watermarking's detector does
for every n-gram: seed a torch generator, draw a whole permutation, look for the target in its first part. Texts are Zipf tokens.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, cast

import numpy as np

from benchmarks.measure import Spread, machine
from watermark.detection import DetectOptions
from watermark.families import open_scheme
from watermark.kernels import green_list
from watermark.schemes.green_list import GreenListScheme

VOCABULARY = 50_272
GAMMA = 0.25
KEY = 0x2545F4914F6CDD1D
TARGET_COLD_MS, TARGET_KEPT_MS = 35.0, 1.0
SCHEMES = ("lefthash", "minhash", "selfhash")
OPTIONS = DetectOptions()


def zipf_texts(count: int, length: int, seed: int = 1) -> list[Any]:
    weights = 1.0 / np.arange(1, VOCABULARY + 1)
    cumulative = np.cumsum(weights / weights.sum())
    drawn = np.searchsorted(cumulative, np.random.default_rng(seed).random((count, length)))
    return list(np.minimum(drawn, VOCABULARY - 1))


def scheme_of(name: str) -> GreenListScheme:
    config = {"vocab_size": VOCABULARY, "gamma": GAMMA, "seeding_scheme": name, "hash_key": KEY}
    return cast(GreenListScheme, open_scheme("kgw-lm-extended", config))


def milliseconds(call: Callable[[Any], object], arguments: list[Any]) -> Spread:
    found = []
    for argument in arguments:
        start = time.perf_counter()
        call(argument)
        found.append((time.perf_counter() - start) * 1e3)
    return Spread(tuple(found))


def cold(name: str, texts: list[Any], compiled: bool) -> Spread:
    """A fresh scheme a text. `compiled`: the kernel is loaded; otherwise it never is."""
    green_list._answered = green_list.NUMBA_FROM if compiled else -(1 << 60)
    scheme_of(name).detect(texts[0], OPTIONS)
    return milliseconds(lambda text: scheme_of(name).detect(text, OPTIONS), texts)


def kept(name: str, texts: list[Any]) -> Spread:
    """All lists of the text were built before."""
    scheme = scheme_of(name)
    green_list._answered = green_list.NUMBA_FROM
    for text in texts:
        grams = np.lib.stride_tricks.sliding_window_view(text, scheme.config.window)
        scheme.remember(scheme.config.seeds(grams[:, :-1], KEY))
    return milliseconds(lambda text: scheme.detect(text, OPTIONS), texts)


def reference(name: str, text: Any) -> tuple[int, int]:
    """Scored and green n-grams, each once, as the reference finds them."""
    import torch

    config, device = scheme_of(name).config, torch.device("cpu")
    generator, scored, green = torch.Generator(device=device), 0, 0
    for gram in {tuple(row) for row in np.lib.stride_tricks.sliding_window_view(text, config.window).tolist()}:
        context = np.array([gram if config.self_salt else gram[:-1]])
        generator.manual_seed(int(config.seeds(context, KEY)[0]))
        permutation = torch.randperm(VOCABULARY, device=device, generator=generator)
        scored, green = scored + 1, green + int(gram[-1] in permutation[: config.list_size])
    return scored, green


def compare(name: str, repeats: int) -> None:
    texts = zipf_texts(repeats, 1000 + scheme_of(name).config.window - 1)
    rows: list[tuple[str, Spread | None]] = [
        ("cold, plain NumPy", cold(name, texts, compiled=False)),
        ("cold, compiled", cold(name, texts, compiled=True)),
        ("lists kept", kept(name, texts) if not scheme_of(name).config.self_salt else None),
    ]
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)
        for text in texts[:1]:
            found = scheme_of(name).detect(text, OPTIONS)
            if reference(name, text) != (found.num_tokens_scored, found.num_green):
                raise RuntimeError(f"{name}: the reference counts otherwise")
        rows.append(("reference, torch", milliseconds(lambda text: reference(name, text), texts[: max(2, repeats // 2)])))
    for label, spread in rows:
        print(f"{name:10} {label:20} {spread.text() + ' ms' if spread else '-'}", flush=True)


def documents(name: str, count: int = 400) -> None:
    """One key for many documents of 500 tokens, as in a batch."""
    green_list._answered = green_list.NUMBA_FROM
    scheme, texts = scheme_of(name), zipf_texts(count, 500, seed=2)
    scheme.detect(texts[0], OPTIONS)
    start = time.perf_counter()
    for text in texts:
        scheme.detect(text, OPTIONS)
    seconds = time.perf_counter() - start
    print(f"{name:10} {count} documents of 500 tokens: {count / seconds * 60:.0f} a minute on one core")


def long_text(name: str, length: int) -> None:
    """One long text under one key, the lists kept on the way."""
    [text] = zipf_texts(1, length, seed=3)
    scheme = scheme_of(name)
    start = time.perf_counter()
    scheme.detect(text, OPTIONS)
    print(f"{name:10} one text of {length} tokens: {time.perf_counter() - start:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--long", type=int, default=1_000_000, help="tokens of the long text; 0: none")
    options = parser.parse_args()
    print("\n".join(machine(["numpy", "numba", "torch"])))
    print(f"1,000 scored tokens, {VOCABULARY} entries, gamma {GAMMA}; targets {TARGET_COLD_MS} ms cold, {TARGET_KEPT_MS} ms kept")
    for name in SCHEMES:
        compare(name, options.repeats)
    for name in SCHEMES:
        documents(name)
    if options.long:
        long_text("lefthash", options.long)


if __name__ == "__main__":
    main()
