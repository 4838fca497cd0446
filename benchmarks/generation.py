"""What a mark costs while the tiny model writes: `python -m benchmarks.generation [--rows 16] [--tokens 128] [--pairs 12]`.

Tokens a second of processor time of the in-process runner, with and without each mark, in pairs one after the other (the order
swapped from pair to pair), other prompts for every pair. The cost is the median over pairs of the ratio of both times, less one;
"first" is that of the first batch of a fresh key, in which its lists and tables are empty.
"""

from __future__ import annotations

import argparse
import statistics
import time

from audit.runners.opening import open_runner
from audit.runners.protocol import Prompt, Runner, Sampling
from audit.runners.tiny import heldout_text
from watermark.generation.marks import Mark, open_mark
from watermark.keys import new_key
from watermark.presets import PRESETS, find_preset

PROMPT = 16
SKIPPED = ("exp-edit", "its-edit")  # they are written as exp and its are


def prompts(runner: Runner, rows: int, count: int) -> list[list[Prompt]]:
    """`count` batches of held-out passages."""
    ids = runner.tokenize(heldout_text())
    starts = [(i * 977) % (len(ids) - PROMPT) for i in range(rows * count)]
    passages = [Prompt(token_ids=tuple(ids[start : start + PROMPT])) for start in starts]
    return [passages[i * rows : (i + 1) * rows] for i in range(count)]


def seconds(runner: Runner, batch: list[Prompt], tokens: int, mark: Mark | None) -> float:
    """Of processor time: other work on the machine disturbs it less than the clock."""
    sampling = Sampling(max_new_tokens=tokens, min_new_tokens=tokens, seed=1, mark=mark)
    start = time.process_time()
    runner.generate(batch, sampling)
    return time.process_time() - start


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--schemes", nargs="+", default=[name for name in PRESETS if name not in SKIPPED])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    runner = open_runner(options.model)
    batches = prompts(runner, options.rows, options.pairs + 1)
    size = runner.capabilities().vocab_size
    made = options.rows * options.tokens
    seconds(runner, batches[0], options.tokens, None)
    print(f"{options.rows} rows of {options.tokens} tokens, vocabulary {size}, {options.threads} threads")
    print("scheme        plain tokens/s   marked tokens/s   cost    first batch")
    for name in options.schemes:
        preset = find_preset(name)
        chosen = {**preset.options, **({"vocab_size": size} if preset.needs_vocabulary else {})}
        key = new_key(preset.family, chosen)[0]
        seconds(
            runner, batches[0], options.tokens, open_mark(preset.family, new_key(preset.family, chosen)[0].config)
        )  # compiles
        mark = open_mark(key.family, key.config)
        first = seconds(runner, batches[0], options.tokens, mark) / seconds(runner, batches[0], options.tokens, None)
        plain, marked = [], []
        for pair, batch in enumerate(batches[1:]):
            for which in (0, 1) if pair % 2 else (1, 0):
                (marked if which else plain).append(seconds(runner, batch, options.tokens, mark if which else None))
        cost = statistics.median(m / p for m, p in zip(marked, plain)) - 1
        rates = [made / statistics.median(times) for times in (plain, marked)]
        print(f"{name:12} {rates[0]:15.0f} {rates[1]:17.0f} {cost:8.1%} {first - 1:10.1%}", flush=True)
    runner.close()


if __name__ == "__main__":
    main()
