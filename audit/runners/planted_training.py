"""How a model with planted memories is trained: the tokenizer, the windows, and the same two optimisers as the tiny model's.

The tokenizer learns from the background and from sentences on strangers alone, with every digit a token: neither its vocabulary
nor the length of a value in tokens tells who was planted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit.runners.model_folder import import_libraries
from audit.runners.planted import CARRIERS, PLANTED_RECIPES, PlantedPlan, background, draw_planted, planted_texts, write_records
from audit.runners.protocol import Progress
from audit.runners.tiny import heldout_text
from audit.runners.tiny_training import NOTHING, measure, train_model, train_tokenizer

END = 0
"""The token of END_OF_TEXT, after every document."""


def train(folder: Path, plan: PlantedPlan, progress: Progress) -> dict[str, float]:
    """Train tokenizer and model, save both into `folder`, say what was measured. One thread; everything random from the seed."""
    torch, _ = import_libraries()
    started, threads, recipe = (time.monotonic(), time.process_time()), torch.get_num_threads(), PLANTED_RECIPES[plan.recipe]
    torch.set_num_threads(1)
    try:
        strangers = [text for person in draw_planted(plan).strangers for text in write_records(person, len(CARRIERS))]
        tokenizer = train_tokenizer(folder, recipe.vocab_size, [*background(plan), *strangers], single_digits=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            windows = [window for texts in planted_texts(plan) for window in pack(_encode(tokenizer, texts), recipe.sequence)]
            steps = -(-len(windows) // recipe.batch)
            batches = (torch.tensor(windows[i * recipe.batch : (i + 1) * recipe.batch]) for i in range(steps))
            model = train_model(replace(recipe, steps=steps), batches, progress)
            perplexity, _ = measure(model, torch.tensor(tokenizer.encode(heldout_text()).ids), recipe.sequence)
        model.save_pretrained(folder)
    finally:
        torch.set_num_threads(threads)
    return {
        "seconds": round(time.monotonic() - started[0], 1),
        "processor_seconds": round(time.process_time() - started[1], 1),
        "steps": steps,
        "tokens": sum(token != NOTHING for window in windows for token in window),
        "parameters": sum(p.numel() for p in model.parameters()),
        "heldout_perplexity": round(perplexity, 2),
    }


def _encode(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    return [[*encoding.ids, END] for encoding in tokenizer.encode_batch(texts)]


def pack(documents: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Documents one after another in windows of `size` tokens; what does not fit begins the next one, and only a document longer
    than a window is cut. Ends that stay free hold NOTHING."""
    window: list[int] = []
    for document in documents:
        for start in range(0, len(document), size):
            part = document[start : start + size]
            if len(window) + len(part) > size:
                yield window + [NOTHING] * (size - len(window))
                window = []
            window = [*window, *part]
    if window:
        yield window + [NOTHING] * (size - len(window))
