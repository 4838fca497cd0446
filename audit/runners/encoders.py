"""Hugging Face encoders in process: entailment between two texts, and texts as vectors. Directories with safetensors only.

Nothing is downloaded, no code from a directory runs, and nothing is cut to fit: a text that is too long is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from audit.runners.model_folder import ModelFolder, choose_device, digest_of, import_libraries
from audit.runners.protocol import RunnerError
from conformal.pipeline.errors import ModelError
from conformal.pipeline.model import Floats, Verdict

BATCH = 32
MAX_TEXT_CHARS = 1_000_000
FALLBACK_LENGTH = 512
_MARKS: dict[str, Verdict] = {"entail": "entails", "neutral": "neutral", "contradict": "contradicts"}


class _Encoder:
    """A tokenizer and a model of one directory. Raises RunnerError when it cannot be loaded."""

    def __init__(self, folder: Path, model_class: str, device: str) -> None:
        self._files = ModelFolder.open(folder)
        self._torch, transformers = import_libraries()
        self._device = choose_device(self._torch, device)
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
            kind = getattr(transformers, model_class)
            model, found = kind.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **local)
        except Exception as error:  # every library on the way has errors of its own
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
            raise RunnerError(f"{folder} cannot be loaded as an encoder: {reason}") from error
        missing = [name for name in sorted(found["missing_keys"]) if "pooler" not in name]
        if missing:
            raise RunnerError(f"{folder} lacks weights that an encoder of this kind needs: {', '.join(missing)[:200]}")
        self._model = model.to(self._device).eval()
        self._digest = digest_of(self._files.digests())
        self._takes = set(getattr(self._tokenizer, "model_input_names", ()))
        limits = (getattr(model.config, "max_position_embeddings", None), self._tokenizer.model_max_length)
        self._longest = min([limit for limit in limits if isinstance(limit, int) and 0 < limit < 1 << 20] or [FALLBACK_LENGTH])
        if getattr(model.config, "model_type", "") in ("roberta", "xlm-roberta", "camembert", "mpnet"):
            self._longest -= 2  # their positions begin after the padding index
        if self._tokenizer.pad_token_id is None:
            raise RunnerError(f"{folder} has a tokenizer without a padding token; an encoder needs one")

    def describe(self) -> dict[str, Any]:
        """Name and digest over the files that were loaded."""
        return {"encoder": self._files.path.resolve().name, "encoder_digest": self._digest}

    def _lengths(self, rows: Sequence[Sequence[str]]) -> list[int]:
        if any(len(text) > MAX_TEXT_CHARS for row in rows for text in row):
            raise ModelError(f"a text has more than {MAX_TEXT_CHARS} characters")
        return [len(self._tokenizer(*row, verbose=False)["input_ids"]) for row in rows]

    def _forward(self, rows: Sequence[Sequence[str]]) -> tuple[Any, Any]:
        """The model's answer for a batch and its attention mask."""
        inputs = self._tokenizer(*(list(column) for column in zip(*rows, strict=True)), padding=True, return_tensors="pt")
        inputs = {name: value.to(self._device) for name, value in inputs.items() if name in self._takes}
        with self._torch.inference_mode():
            return self._model(**inputs), inputs["attention_mask"]


class NliEncoder(_Encoder):
    """A cross-encoder for natural language inference: a sequence classifier whose labels are named entailment, neutral (may be
    missing) and contradiction. The verdict is its likeliest label. Raises RunnerError for a folder with other labels."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        super().__init__(folder, "AutoModelForSequenceClassification", device)
        names = {int(place): str(name).lower() for place, name in self._model.config.id2label.items()}
        self._labels: list[Verdict] = []
        for place in range(len(names)):
            fitting: list[Verdict] = [verdict for mark, verdict in _MARKS.items() if mark in names.get(place, "")]
            if len(fitting) != 1 or "not" in names[place] or fitting[0] in self._labels:
                shown = ", ".join(names.values())[:200]
                raise RunnerError(f"{folder} has the labels {shown}; entailment, neutral and contradiction are needed")
            self._labels.append(fitting[0])
        if "entails" not in self._labels or "contradicts" not in self._labels:
            raise RunnerError(f"{folder} has no label for entailment or none for contradiction")

    def verdicts(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict | None]:
        """One a pair; None where the pair is too long for the model. Raises ModelError for scores that are no numbers."""
        out: list[Verdict | None] = [None] * len(pairs)
        lengths = self._lengths(pairs)
        fitting = [place for place, length in enumerate(lengths) if length <= self._longest]
        for first in range(0, len(fitting), BATCH):
            places = fitting[first : first + BATCH]
            logits = self._forward([pairs[place] for place in places])[0].logits.float()
            if not bool(self._torch.isfinite(logits).all()):
                raise ModelError("the entailment model's scores are not finite numbers")
            for place, label in zip(places, logits.argmax(dim=-1).tolist(), strict=True):
                out[place] = self._labels[label]
        return out


class TextEmbedder(_Encoder):
    """Sentence vectors: the mean of the last hidden states over the text's tokens, scaled to length 1."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        super().__init__(folder, "AutoModel", device)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "pooling": "mean"}

    def embed(self, texts: Sequence[str]) -> Floats:
        """(n x d). Raises ModelError for a text that is too long, and for vectors that are no numbers."""
        rows = [(text,) for text in texts]
        if any(length > self._longest for length in self._lengths(rows)):
            raise ModelError(f"a text has more than the {self._longest} tokens that the embedding model takes")
        parts = [self._pooled(rows[first : first + BATCH]) for first in range(0, len(rows), BATCH)]
        return np.concatenate(parts) if parts else np.zeros((0, 0))

    def _pooled(self, rows: Sequence[tuple[str]]) -> Floats:
        answer, mask = self._forward(rows)
        weights = mask[:, :, None].double()
        mean = (answer.last_hidden_state.double() * weights).sum(1) / weights.sum(1).clamp(min=1)
        vectors = np.asarray((mean / mean.norm(dim=-1, keepdim=True).clamp(min=1e-12)).cpu().numpy(), dtype=np.float64)
        if not np.isfinite(vectors).all():
            raise ModelError("the embedding model's vectors are not finite numbers")
        return vectors
