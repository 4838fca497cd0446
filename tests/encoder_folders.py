"""Small encoders for tests as Hugging Face directories: random vectors, and a cross-encoder trained on "not" and "and"."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

SUBJECTS = ("rome", "oslo", "paris")
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *SUBJECTS, "is", "not", "old", "big", "and", ".", ",")
NLI_LABELS = ("contradiction", "neutral", "entailment")
LONGEST = 64


def _tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names: dict[str, Any] = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=LONGEST,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names,
    ).save_pretrained(folder)


def _config(**more: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=LONGEST, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **more,
    )  # fmt: skip


def embedder_folder(folder: Path) -> Path:
    """Random weights: vectors that mean nothing, but are the same every time."""
    import torch
    from transformers import BertModel

    torch.set_num_threads(1)
    torch.manual_seed(3)
    BertModel(_config()).save_pretrained(folder)
    _tokenizer(folder)
    return folder


def nli_folder(folder: Path) -> Path:
    """Trained here in seconds until it knows every pair of its small world."""
    import torch
    from transformers import AutoTokenizer, BertForSequenceClassification

    torch.set_num_threads(1)
    torch.manual_seed(5)
    model = BertForSequenceClassification(
        _config(num_labels=3, id2label=dict(enumerate(NLI_LABELS)), label2id={name: i for i, name in enumerate(NLI_LABELS)})
    )
    _tokenizer(folder)
    pairs, labels = zip(*_world(), strict=True)
    batch = AutoTokenizer.from_pretrained(folder)([a for a, _ in pairs], [b for _, b in pairs], padding=True, return_tensors="pt")
    target = torch.tensor(labels)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        answer = model(**batch, labels=target)
        answer.loss.backward()
        optimiser.step()
        if bool((answer.logits.argmax(-1) == target).all()) and answer.loss.item() < 0.1:
            break
    model.save_pretrained(folder)
    return folder


def _world() -> list[tuple[tuple[str, str], int]]:
    """A premise with "not" contradicts, one with "and" is neutral, any other entails: all that a few steps can teach."""
    rows = []
    for subject, quality, other in itertools.product(SUBJECTS, ("old", "big"), SUBJECTS):
        for label, premise in ((0, f"{subject} is not {quality}"), (1, f"{subject} and {other}"), (2, f"{subject} is {quality}")):
            rows.append(((premise, f"{subject} is {quality}"), label))
    return rows
