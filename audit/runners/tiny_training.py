"""How the tiny model is trained: byte-level BPE, a Llama of three layers, Muon for its matrices and AdamW for the rest.

Muon (K. Jordan, 2024; `torch.optim.Muon`) reaches in 450 steps what AdamW does not in 1,200, which is what makes a useful
model possible in a minute on one core. One thread on purpose: two threads on a shared machine spend their time waiting for
one another, and one thread gives the same bits whatever the machine's number of cores.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from audit.runners.model_folder import import_libraries
from audit.runners.protocol import Progress
from audit.runners.tiny import END_OF_TEXT, Recipe, heldout_text, training_text

MATRIX_RATE, OTHER_RATE, WEIGHT_DECAY = 0.03, 8e-3, 0.05
WARM_UP_STEPS, COOL_DOWN_SHARE = 20, 0.6
MEASURED_WINDOWS = 16
NOTHING = -100
"""In place of a token: the end of a window that a text does not fill."""


def train(folder: Path, recipe: Recipe, seed: int, progress: Progress) -> dict[str, float]:
    """Train tokeniser and model, save both into `folder`, and say what was measured. Everything random comes from `seed`."""
    torch, _ = import_libraries()
    started, threads = time.monotonic(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tokenizer = train_tokenizer(folder, recipe.vocab_size, training_text().split("\n\n"))
            data = torch.tensor(tokenizer.encode(training_text()).ids)
            model = train_model(recipe, _random_windows(recipe, data), progress)
            perplexity, entropy = measure(model, torch.tensor(tokenizer.encode(heldout_text()).ids), recipe.sequence)
            sampled = _sample(model, recipe.sequence)
            _, own_entropy = measure(model, sampled.flatten(), recipe.sequence)
        model.save_pretrained(folder)
    finally:
        torch.set_num_threads(threads)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "parameters": sum(p.numel() for p in model.parameters()),
        "heldout_perplexity": round(perplexity, 2),
        "heldout_entropy_nats": round(entropy, 3),
        "sampled_entropy_nats": round(own_entropy, 3),
    }


def train_tokenizer(folder: Path, vocab_size: int, texts: Sequence[str], single_digits: bool = False) -> Any:
    """Byte-level BPE of these texts, saved in `folder`; with `single_digits` no token holds two digits."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)
    apart = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), to_bytes]) if single_digits else to_bytes
    tokenizer.pre_tokenizer = apart
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END_OF_TEXT,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return tokenizer


def _new_model(recipe: Recipe) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=recipe.vocab_size,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).float()


def _random_windows(recipe: Recipe, data: Any) -> Iterator[Any]:
    import torch

    while True:
        starts = torch.randint(0, len(data) - recipe.sequence, (recipe.batch,)).tolist()
        yield torch.stack([data[start : start + recipe.sequence] for start in starts])


def train_model(recipe: Recipe, batches: Iterable[Any], progress: Progress) -> Any:
    """A new model, `recipe.steps` steps of it on batches (windows x tokens; NOTHING where there is none). The rate is warmed up,
    held, and brought down linearly. Random initial weights: torch's generator."""
    import torch
    from torch.nn.functional import cross_entropy

    model = _new_model(recipe).train()
    embeddings = {id(model.get_input_embeddings().weight)}
    matrices = [p for p in model.parameters() if p.ndim == 2 and id(p) not in embeddings]
    others = [p for p in model.parameters() if p.ndim != 2 or id(p) in embeddings]
    optimisers = [
        (
            torch.optim.Muon(matrices, lr=MATRIX_RATE, momentum=0.95, weight_decay=WEIGHT_DECAY, adjust_lr_fn="original"),
            MATRIX_RATE,
        ),
        (torch.optim.AdamW(others, lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0.0), OTHER_RATE),
    ]
    for step, batch in zip(range(recipe.steps), batches):
        rate = min(1.0, (step + 1) / WARM_UP_STEPS, (1 - step / recipe.steps) / COOL_DOWN_SHARE)
        logits = model(input_ids=batch.clamp(min=0)).logits[:, :-1]
        loss = cross_entropy(logits.reshape(-1, recipe.vocab_size), batch[:, 1:].reshape(-1), ignore_index=NOTHING)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, full_rate in optimisers:
            optimiser.param_groups[0]["lr"] = full_rate * rate
            optimiser.step()
            optimiser.zero_grad()
        if step % 10 == 0:
            progress(step / recipe.steps, f"training the tiny model: loss {loss.item():.2f}")
    progress(1.0, "tiny model trained")
    return model.eval()


def measure(model: Any, ids: Any, length: int) -> tuple[float, float]:
    """Perplexity of a text under the model, and the mean entropy (nats) of its next-token distributions on it."""
    import torch

    windows = ids[: min(MEASURED_WINDOWS, len(ids) // length) * length].view(-1, length)
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(input_ids=windows).logits[:, :-1], -1)
    loss = -logprobs.gather(-1, windows[:, 1:, None]).mean().item()
    return math.exp(loss), -(logprobs.exp() * logprobs).sum(-1).mean().item()


def _sample(model: Any, length: int) -> Any:
    """Texts of the model's own (temperature 1), each from a random first token."""
    import torch

    ids = torch.randint(1, model.config.vocab_size, (MEASURED_WINDOWS, 1))
    with torch.inference_mode():
        state = model(input_ids=ids, use_cache=True)
        while ids.shape[1] < length:
            drawn = torch.multinomial(torch.softmax(state.logits[:, -1], -1), 1)
            ids = torch.cat([ids, drawn], 1)
            state = model(input_ids=drawn, past_key_values=state.past_key_values, use_cache=True)
    return ids
