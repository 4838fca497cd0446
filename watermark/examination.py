"""One document under one key or many: text to tokens, checks against the key, detection, and the result as JSON values."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.detection import Detection, DetectOptions
from watermark.detectors.key_search import KeyResult, search_keys
from watermark.errors import ConfigError, TokenError
from watermark.families import Scheme, as_tokens, open_scheme
from watermark.keys import WatermarkKey
from watermark.normalization import count_suspects, normalise
from watermark.reading import Document
from watermark.tokenization import Encoded, TextTokenizer, load_tokenizer

# Schemes kept open at once; a key of the shift-keyed families can take 50 MB.
MAX_OPEN_SCHEMES = 8
# Longer texts are tested as they are, without evidence token by token (about 300 bytes each).
MAX_EVIDENCE_TOKENS = 500_000


@dataclass(frozen=True)
class KeyReference:
    """What to detect with. `commitment` and `tokenizer` (digest) are known for key files only."""

    family: str
    config: Mapping[str, Any] = field(repr=False)
    commitment: str | None = None
    tokenizer: str | None = None

    @classmethod
    def of(cls, key: WatermarkKey) -> KeyReference:
        return cls(key.family, key.config, key.commitment, key.tokenizer)

    @property
    def vocab_size(self) -> int | None:
        size = self.config.get("vocab_size")
        return size if type(size) is int else None


@dataclass(frozen=True)
class Examination:
    """What was found in one document. `text` and `encoded` are None where token ids were given; `keys` is a search's result."""

    id: str | int
    detection: Detection
    tokens: npt.NDArray[np.int64] = field(repr=False)
    key: str | None = None
    keys: tuple[KeyResult, ...] = ()
    text: str | None = field(default=None, repr=False)
    encoded: Encoded | None = field(default=None, repr=False)
    reading: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """One line of `--json`: the figures, the key's commitment, how text was read, spans and the other keys."""
        out: dict[str, Any] = {"id": self.id, **self.detection.to_json(), "key": self.key}
        if self.detection.details:
            out["details"] = dict(self.detection.details)
        if self.detection.spans:
            out["spans"] = [span.to_json() for span in self.detection.spans]
        if self.reading is not None:
            out["text"] = dict(self.reading)
        if self.keys:
            out["keys"] = [
                {"key": result.name, "p_value": result.detection.p_value, "decision": result.detection.decision}
                for result in self.keys
            ]
        return out


class Examiner:
    """Reads documents under keys. Keeps the last MAX_OPEN_SCHEMES schemes open, and the tokenizer once it was needed."""

    def __init__(self, options: DetectOptions, tokenizer: Path | None = None, normalisation: str = "none") -> None:
        self.options = options
        self._path = tokenizer
        self._tokenizer: TextTokenizer | None = None
        self._normalisation = normalisation
        self._schemes: OrderedDict[tuple[str, str], tuple[Scheme, tuple[str, ...]]] = OrderedDict()

    def examine(
        self, document: Document, keys: Sequence[KeyReference], cancelled: Callable[[], bool] | None = None
    ) -> Examination:
        """Test one document; several keys are searched with p-values that hold for all of them. Raises WatermarkError."""
        if not keys:
            raise ConfigError("no key: give --key, or --family and --config, or name them in the record")
        if document.text is None:
            assert document.ids is not None
            return self._test(document.id, as_tokens(document.ids, None), keys, [], cancelled)
        tokenizer = self.tokenizer()
        notes = [self._check_tokenizer(tokenizer, key) for key in keys]
        text = normalise(document.text, self._normalisation)
        encoded = tokenizer.encode(text)
        if not encoded.ids.size:
            raise TokenError("the tokenizer makes no tokens of this text")
        drift = tokenizer.drift(encoded.ids)
        found = self._test(
            document.id, encoded.ids, keys, [*dict.fromkeys(notes), *self._notes(document.text, encoded, drift)], cancelled
        )
        reading = {
            "tokenizer": tokenizer.digest,
            "normalisation": self._normalisation,
            "characters": len(text),
            "token_drift": drift,
        }
        return replace(found, text=text, encoded=encoded, reading=reading)

    def tokenizer(self) -> TextTokenizer:
        """The tokenizer, loaded once. Raises TokenError."""
        if self._tokenizer is None:
            if self._path is None:
                raise TokenError("text needs --tokenizer (a tokenizer.json or model directory); token ids do not")
            self._tokenizer = load_tokenizer(self._path)
        return self._tokenizer

    def open(self, key: KeyReference) -> tuple[Scheme, tuple[str, ...]]:
        """The scheme of a key and its hazards, from the cache where they are. Raises ConfigError."""
        try:
            name = key.family, json.dumps(key.config, sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            raise ConfigError("config must consist of JSON values") from None
        found = self._schemes.pop(name, None)
        if found is None:
            scheme = open_scheme(key.family, key.config)
            found = scheme, tuple(scheme.hazards())
        self._schemes[name] = found
        while len(self._schemes) > MAX_OPEN_SCHEMES:
            self._schemes.popitem(last=False)
        return found

    def _test(
        self,
        name: str | int,
        tokens: npt.NDArray[np.int64],
        keys: Sequence[KeyReference],
        notes: Sequence[str | None],
        cancelled: Callable[[], bool] | None,
    ) -> Examination:
        for key in keys:
            as_tokens(tokens, key.vocab_size)
        options = self.options
        if options.tokens and tokens.size > MAX_EVIDENCE_TOKENS:
            options = replace(options, tokens=False)
            notes = [*notes, f"no evidence token by token: the text has more than {MAX_EVIDENCE_TOKENS} tokens"]
        results: tuple[KeyResult, ...] = ()
        if len(keys) == 1:
            best = keys[0]
            detection = self.open(best)[0].detect(tokens, options)
        else:
            schemes = [(str(index), self.open(key)[0]) for index, key in enumerate(keys)]
            found = search_keys(schemes, tokens, options, cancelled)
            best, detection = keys[int(found.best.name)], found.best.detection
            results = tuple(replace(result, name=_label(keys, int(result.name))) for result in found.results)
        warnings = [*self.open(best)[1], *(note for note in notes if note)]
        new = [sentence for sentence in dict.fromkeys(warnings) if sentence not in detection.warnings]
        return Examination(name, detection.with_warnings(*new), tokens, best.commitment, results)

    def _check_tokenizer(self, tokenizer: TextTokenizer, key: KeyReference) -> str | None:
        if key.tokenizer is not None and key.tokenizer != tokenizer.digest:
            raise TokenError(
                f"this key was made for another tokenizer (SHA-256 {key.tokenizer[:16]}..., given {tokenizer.digest[:16]}...); "
                "give the tokenizer of the marked model"
            )
        return tokenizer.check_vocabulary(key.vocab_size)

    def _notes(self, text: str, encoded: Encoded, drift: int) -> list[str]:
        notes = []
        suspects = count_suspects(text) if self._normalisation == "none" else 0
        if suspects:
            notes.append(
                f"{suspects} characters look like others or cannot be seen; somebody may have edited the text: "
                "the normalisation 'homoglyphs' reads it without them"
            )
        if drift:
            notes.append(f"{drift} of {encoded.ids.size} tokens change when decoded and encoded again")
        if encoded.rough_joins:
            notes.append(f"the text has stretches without word boundaries; tokens near {encoded.rough_joins} joins may differ")
        return notes


def _label(keys: Sequence[KeyReference], index: int) -> str:
    return keys[index].commitment or f"key-{index + 1}"
