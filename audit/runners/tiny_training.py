"""How the tiny model is trained: byte-level BPE, a Llama of three layers, Muon for its matrices and AdamW for the rest.

Muon (K. Jordan, 2024; `torch.optim.Muon`) reaches in 450 steps what AdamW does not in 1,200, which is what makes a useful
model possible in a minute on one core. One thread on purpose: two threads on a shared machine spend their time waiting for
one another, and one thread gives the same bits whatever the machine's number of cores.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

from audit.runners.model_folder import import_libraries
from audit.runners.protocol import Progress
from audit.runners.tiny import END_OF_TEXT, Recipe, heldout_text, training_text

MATRIX_RATE, OTHER_RATE, WEIGHT_DECAY = 0.03, 8e-3, 0.05
WARM_UP_STEPS, COOL_DOWN_SHARE = 20, 0.6
MEASURED_WINDOWS = 16


def train(folder: Path, recipe: Recipe, seed: int, progress: Progress) -> dict[str, float]:
    """Train tokeniser and model, save both into `folder`, and say what was measured. Everything random comes from `seed`."""
    torch, _ = import_libraries()
    started, threads = time.monotonic(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            tokenizer = _train_tokenizer(folder, recipe)
            model = _train_model(recipe, torch.tensor(tokenizer.encode(training_text()).ids), progress)
            perplexity, entropy = _measure(model, torch.tensor(tokenizer.encode(heldout_text()).ids), recipe.sequence)
            sampled = _sample(model, recipe.sequence)
            _, own_entropy = _measure(model, sampled.flatten(), recipe.sequence)
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


def _train_tokenizer(folder: Path, recipe: Recipe) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(training_text().split("\n\n"), trainer)
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


def _train_model(recipe: Recipe, data: Any, progress: Progress) -> Any:
    """Random windows of the text; the rate is warmed up, held, and brought down linearly."""
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
    for step in range(recipe.steps):
        rate = min(1.0, (step + 1) / WARM_UP_STEPS, (1 - step / recipe.steps) / COOL_DOWN_SHARE)
        starts = torch.randint(0, len(data) - recipe.sequence, (recipe.batch,)).tolist()
        batch = torch.stack([data[start : start + recipe.sequence] for start in starts])
        logits = model(input_ids=batch).logits[:, :-1]
        loss = cross_entropy(logits.reshape(-1, recipe.vocab_size), batch[:, 1:].reshape(-1))
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


def _measure(model: Any, ids: Any, length: int) -> tuple[float, float]:
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
