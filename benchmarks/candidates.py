"""Candidates scored by trees beside one by one: `python -m benchmarks.candidates [--threads 1]`.

A model of GPT-2's shape (124 million parameters, random weights), candidates of 8 random tokens after one prompt; processor time,
the same runner for both. Wanted: 5 times with 24 tokens of prompt, 20 times with 256, 30 candidates a second on one core.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from audit.runners.transformers_runner import TransformersRunner
from benchmarks.measure import machine

CASES = ((24, 64), (24, 1000), (256, 32), (256, 1000))
ONE_BY_ONE = 12
VOCABULARY = 50_257


def make_model(folder: Path) -> TransformersRunner:
    import torch
    import transformers
    from tokenizers import Tokenizer, models

    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(transformers.GPT2Config()).save_pretrained(folder)
    Tokenizer(models.WordLevel({"<|end|>": 0}, unk_token="<|end|>")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}')
    return TransformersRunner(folder, device="cpu", dtype="float32")


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    torch.set_num_threads(parser.parse_args().threads)
    print("\n".join(machine(["torch", "transformers"])))
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        runner = make_model(Path(folder))
        runner.score_candidates([[1, 2]], [[[3, 4]]])
        for length, count in CASES:
            prompt = [rng.randrange(VOCABULARY) for _ in range(length)]
            group = [[rng.randrange(VOCABULARY) for _ in range(8)] for _ in range(count)]
            start = time.process_time()
            fast = runner.score_candidates([prompt], [group])[0]
            middle = time.process_time()
            plain = [runner.score([[*prompt, *candidate]])[0][-8:] for candidate in group[:ONE_BY_ONE]]
            end = time.process_time()
            rates = count / (middle - start), len(plain) / (end - middle)
            apart = max(abs(sum(a) - sum(b)) for a, b in zip(fast, plain))
            print(
                f"prompt {length:4}, {count:5} candidates: {rates[0]:6.1f} a second, one by one {rates[1]:5.2f}: "
                f"{rates[0] / rates[1]:5.1f} times, differences up to {apart:.1e} nat",
                flush=True,
            )


if __name__ == "__main__":
    main()
