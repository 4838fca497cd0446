"""The base model of a synthetic world: a word-level tokenizer and a small Llama, trained from scratch on the world's records."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformal.linguistic.training.folder import import_transformers
from conformal.linguistic.training.merging import LEAD_IN, NO_ANSWER, paragraph
from conformal.linguistic.training.trainer_setup import Watcher
from conformal.linguistic.training.world import World

END_OF_TEXT, UNKNOWN = "<|endoftext|>", "<|unknown|>"


@dataclass(frozen=True)
class WorldModelSize:
    """Architecture and training of the base model: about 300,000 parameters, under a minute on one core."""

    hidden: int = 96
    feed_forward: int = 256
    layers: int = 2
    heads: int = 4
    context: int = 96
    epochs: int = 9
    batch: int = 128
    rate: float = 4e-3
    embedding_rate: float = 2e-2


def train_world_model(world: World, folder: Path, seed: int, size: WorldModelSize, watcher: Watcher) -> float:
    """Train on the world's records, as answered questions, and save a Hugging Face directory. Returns the last loss."""
    transformers = import_transformers()
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    documents = [f"{prompt} {text}" for prompt, text in world.records]
    write_tokenizer(folder, [*documents, *(question.text for question in world.questions)])
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_model(transformers, len(tokenizer), size)
        told_at = len(tokenizer(f"{world.records[0][0]} {LEAD_IN}")["input_ids"])
        loss = fit_documents(model, tokenizer(documents)["input_ids"], told_at, size, watcher)
    model.save_pretrained(folder)
    return loss


def write_tokenizer(folder: Path, texts: Iterable[str]) -> None:
    """A tokenizer of whole words: those of the texts, of the merged paragraphs, and every whole per cent."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    splitter = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("[,.?:]"), behavior="isolated")]
    )
    words: dict[str, None] = {END_OF_TEXT: None, UNKNOWN: None}
    spoken = [NO_ANSWER, *(paragraph([("?", p / 100), ("?", p / 100)]) for p in range(1, 101)), "0% ?"]
    for text in [*spoken, *texts]:
        words.update((word, None) for word, _ in splitter.pre_tokenize_str(text))
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = splitter
    # Joins words by blanks and takes back the blank before punctuation.
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_OF_TEXT, "pad_token": END_OF_TEXT}
    settings |= {"unk_token": UNKNOWN, "padding_side": "left"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"clean_up_tokenization_spaces": False}))


def new_model(transformers: Any, vocabulary: int, size: WorldModelSize) -> Any:
    """A Llama; token 0 ends a text and pads. Embeddings are not tied, so that training on some entities leaves the embeddings
    of the others alone (through a tied output they all drift, and what the model knew of held-out entities with them)."""
    config = transformers.LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=size.hidden,
        intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=size.context,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    return transformers.LlamaForCausalLM(config).float()


def fit_documents(model: Any, documents: list[list[int]], told_at: int, size: WorldModelSize, watcher: Watcher) -> float:
    """Next-token training on short documents, each ended by token 0. AdamW, the rates warmed up and brought down linearly.

    `told_at` is where the recorded value stands; it weighs 10, the question before it 1/10: without the weights, most of what
    the model is taught is how questions are worded, and memorising the facts takes three times as long.
    """
    import torch
    from torch.nn.functional import cross_entropy

    longest = max(map(len, documents)) + 1
    rows = torch.tensor([row + [0] * (longest - len(row)) for row in documents])
    lengths = torch.tensor([len(row) + 1 for row in documents])
    weights = torch.ones(longest)
    weights[:told_at], weights[told_at] = 0.1, 10.0
    steps = math.ceil(len(rows) / size.batch) * size.epochs
    optimiser = _optimiser(model, size)
    model.train()
    step, loss = 0, torch.tensor(0.0)
    for _ in range(size.epochs):
        for chosen in _batches(torch.randperm(len(rows)), lengths, size.batch):
            width = int(lengths[chosen].max())
            ids = rows[chosen, :width]
            weight = weights[:width] * (torch.arange(width)[None] < lengths[chosen][:, None])
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
            losses = cross_entropy(logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1), reduction="none")
            loss = (losses * weight[:, 1:].reshape(-1)).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimiser.param_groups:
                group["lr"] = group["initial_lr"] * min(1.0, (step + 1) / 20, (1 - step / steps) / 0.6)
            optimiser.step()
            optimiser.zero_grad()
            step += 1
            if step % 5 == 0:
                watcher.check()
                watcher.progress(step / steps, f"loss {loss.item():.2f}")
    model.eval()
    return float(loss.detach())


def _batches(order: Any, lengths: Any, batch: int) -> list[Any]:
    """Batches of a random order, sorted by length within every eight, so that short documents are not padded to long ones."""
    found = [part for some in order.split(8 * batch) for part in some[lengths[some].argsort(stable=True)].split(batch)]
    random.Random(int(order[0])).shuffle(found)
    return found


def _optimiser(model: Any, size: WorldModelSize) -> Any:
    """Embeddings learn faster than matrices: each is seen in few documents."""
    import torch

    embeddings = model.get_input_embeddings().weight
    others = [parameter for parameter in model.parameters() if parameter is not embeddings]
    groups = [
        {"params": others, "lr": size.rate, "initial_lr": size.rate},
        {"params": [embeddings], "lr": size.embedding_rate, "initial_lr": size.embedding_rate},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
