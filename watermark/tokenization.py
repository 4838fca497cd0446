"""Text to token ids with a `tokenizer.json`, by the `tokenizers` package and without torch.

Long texts are encoded in overlapping windows, so that memory stays bounded; two windows are joined where both have cut the same
stretch into the same tokens, which gives what one pass would have given.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from watermark.errors import TokenError

MAX_TOKENIZER_BYTES = 1 << 28
# Characters encoded at once, how far two windows overlap, and how many equal tokens in a row make a join.
WINDOW = 1 << 18
OVERLAP = 1 << 12
AGREEMENT = 8
# A logits layer is often padded beyond the tokenizer (50257 -> 51200, 100000 -> 102400); further apart they do not belong.
MAX_GAP_SHARE = 1 / 16
INSTALL = "pip install 'assay-audit[models]'"


@dataclass(frozen=True)
class Encoded:
    """`ids` int64 (n,), `offsets` int64 (n, 2): the characters [start, end) each token stands for, in the text that was encoded.

    `rough_joins` counts windows that never agreed (a text without word boundaries): there a few tokens may differ from one pass.
    """

    ids: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    rough_joins: int = 0


class TextTokenizer:
    """A tokenizer file. `digest` is the SHA-256 of its bytes, `vocab_size` its number of entries, added tokens included."""

    def __init__(self, tokenizer: Any, digest: str) -> None:
        self._tokenizer = tokenizer
        self.digest = digest
        self.vocab_size = int(tokenizer.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> Encoded:
        """Token ids without special tokens. Raises TokenError."""
        parts = [self._encode_window(text, 0, WINDOW + OVERLAP)]
        rough = 0
        start = WINDOW
        while start + OVERLAP < len(text):
            right = self._encode_window(text, start, start + WINDOW + OVERLAP)
            cut = find_join(parts[-1], right)
            if cut is None:
                rough += 1
                middle = start + OVERLAP // 2
                cut = int((parts[-1].offsets[:, 1] <= middle).sum()), int((right.offsets[:, 0] < middle).sum())
            parts[-1] = Encoded(parts[-1].ids[: cut[0]], parts[-1].offsets[: cut[0]])
            parts.append(Encoded(right.ids[cut[1] :], right.offsets[cut[1] :]))
            start += WINDOW
        return Encoded(np.concatenate([part.ids for part in parts]), np.concatenate([part.offsets for part in parts]), rough)

    def _encode_window(self, text: str, start: int, end: int) -> Encoded:
        try:
            found = self._tokenizer.encode(text[start:end], add_special_tokens=False)
        except BaseException as error:  # the package raises plain Exception and TypeError
            _pass_on_interrupts(error)
            raise TokenError(f"the text cannot be tokenised: {str(error)[:120]}") from None
        ids = np.array(found.ids, dtype=np.int64)
        return Encoded(ids, np.array(found.offsets, dtype=np.int64).reshape(-1, 2) + start)

    def decode(self, ids: Sequence[int] | npt.NDArray[np.int64]) -> str:
        """The text of token ids, special tokens left out. Raises TokenError for an id the tokenizer does not have."""
        numbers = [int(token) for token in ids]
        for position, token in enumerate(numbers):
            if not 0 <= token < self.vocab_size:
                raise TokenError(f"token {position} is {token}, outside the tokenizer's {self.vocab_size} entries")
        try:
            return str(self._tokenizer.decode(numbers, skip_special_tokens=True))
        except BaseException as error:
            _pass_on_interrupts(error)
            raise TokenError(f"the tokens cannot be decoded: {str(error)[:120]}") from None

    def piece(self, token: int) -> str:
        """One token as people read it, with the white space that byte-level and SentencePiece vocabularies spell otherwise."""
        entry = self._tokenizer.id_to_token(int(token))
        if entry is None:
            return f"<{token}>"
        return str(entry).replace("\u0120", " ").replace("\u2581", " ").replace("\u010a", "\n").replace("\u0109", "\t")

    def drift(self, ids: npt.NDArray[np.int64]) -> int:
        """How many of the tokens change when the ids are decoded and encoded again (as a multiset, hence without alignment).

        A detector that gets text sees the second encoding; a drift of 0 means it sees what was written.
        """
        again = self.encode(self.decode(ids)).ids
        common = Counter(ids.tolist()) & Counter(again.tolist())
        return max(len(ids), len(again)) - sum(common.values())

    def check_vocabulary(self, vocab_size: int | None) -> str | None:
        """Compare with the vocabulary size of a key. None when they agree or the key has none, a sentence when they differ as
        padded logits do. Raises TokenError when they cannot belong together."""
        if vocab_size is None or vocab_size == self.vocab_size:
            return None
        both = f"the tokenizer has {self.vocab_size} entries, the key is for a vocabulary of {vocab_size}"
        if abs(vocab_size - self.vocab_size) > MAX_GAP_SHARE * vocab_size:
            raise TokenError(f"{both}: this is another model's tokenizer; give the one the marked model used")
        if self.vocab_size < vocab_size:
            return f"{both}; models often pad their logits, so this is expected if the key was made for the padded size"
        return f"{both}; if the marked model has {self.vocab_size} logits, this key does not fit it"


def load_tokenizer(path: Path) -> TextTokenizer:
    """Read a `tokenizer.json`, or the one in a model directory. Raises TokenError that says what to do."""
    file = path / "tokenizer.json" if path.is_dir() else path
    if not file.is_file():
        advice = f"{path} holds no tokenizer.json; " if path.is_dir() else f"{path} is no file; "
        raise TokenError(
            advice + "give a tokenizer.json or a model directory that has one (AutoTokenizer(...).save_pretrained writes it)"
        )
    try:
        import tokenizers
    except ModuleNotFoundError:
        raise TokenError(f"text input needs the package tokenizers. Install it with: {INSTALL}") from None
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_TOKENIZER_BYTES + 1)
    except OSError as error:
        raise TokenError(f"{file}: {error.strerror}") from None
    if len(data) > MAX_TOKENIZER_BYTES:
        raise TokenError(f"{file} is larger than {MAX_TOKENIZER_BYTES} bytes; it is no tokenizer")
    try:
        tokenizer = tokenizers.Tokenizer.from_buffer(data)
    except BaseException as error:  # the package raises plain Exception
        _pass_on_interrupts(error)
        raise TokenError(f"{file} is no tokenizer the package tokenizers can read: {str(error)[:120]}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return TextTokenizer(tokenizer, hashlib.sha256(data).hexdigest())


def _pass_on_interrupts(error: BaseException) -> None:
    """Raise what is not the package's own: where its Rust code panics, as on a damaged file, the exception is no Exception."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error


def find_join(left: Encoded, right: Encoded) -> tuple[int, int] | None:
    """Where two overlapping encodings agree: counts (of left's tokens to keep, of right's to drop), or None.

    The join lies where AGREEMENT tokens in a row have equal ids and offsets in both, in the middle of the overlap if possible.
    """
    if not left.ids.size or not right.ids.size:
        return None
    low, high = right.offsets[0, 0], left.offsets[-1, 1]
    first = int(np.searchsorted(left.offsets[:, 0], low))
    places = {(int(s), int(e), int(t)): i for i, ((s, e), t) in enumerate(zip(right.offsets, right.ids)) if s < high}
    runs: list[tuple[int, int, int]] = []  # distance from the middle, index left, index right
    length = 0
    previous = -2
    for index in range(first, left.ids.size):
        key = int(left.offsets[index, 0]), int(left.offsets[index, 1]), int(left.ids[index])
        place = places.get(key, -2)
        length = length + 1 if place >= 0 and place == previous + 1 else int(place >= 0)
        previous = place
        if length >= AGREEMENT:
            cut = index - AGREEMENT // 2
            runs.append((abs(int(left.offsets[cut, 0]) - (low + high) // 2), cut, place - AGREEMENT // 2))
    return min(runs)[1:] if runs else None
