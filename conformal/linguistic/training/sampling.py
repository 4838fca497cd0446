"""Texts sampled from a causal language model, a batch at a time, the same from a seed on the same machine and versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Progress = Callable[[float, str], None]


def complete(
    tokenizer: Any,
    model: Any,
    prompts: Sequence[str],
    *,
    tokens: int,
    temperature: float,
    samples: int = 1,
    seed: int = 0,
    batch: int = 256,
    progress: Progress | None = None,
) -> list[list[str]]:
    """`samples` completions of every prompt, special tokens removed. Temperature 0 is greedy (one sample only).

    `tokens` bounds each completion; `batch` bounds how many rows (prompts x samples) are run at once.
    """
    import torch

    if temperature < 0 or (temperature == 0 and samples != 1):
        raise ValueError("greedy decoding gives one sample; several need a temperature above 0")
    rows = max(1, batch // samples)
    drawing = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {"do_sample": False}
    found: list[list[str]] = []
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []), torch.inference_mode():
        torch.manual_seed(seed)
        for start in range(0, len(prompts), rows):
            part = list(prompts[start : start + rows])
            inputs = tokenizer(part, return_tensors="pt", padding=True, return_token_type_ids=False).to(model.device)
            ids = model.generate(
                **inputs,
                max_new_tokens=tokens,
                num_return_sequences=samples,
                pad_token_id=tokenizer.pad_token_id,
                **drawing,
            )
            texts = tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            found.extend(texts[i : i + samples] for i in range(0, len(texts), samples))
            if progress is not None:
                progress(min(1.0, (start + rows) / len(prompts)), f"sampled {len(found)} of {len(prompts)} questions")
    model.train(was_training)
    return found
