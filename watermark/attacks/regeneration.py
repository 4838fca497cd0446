"""Re-generation: another model rewrites the text (paraphrase, round-trip translation, "say it again")."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from watermark.attacks.protocol import Rewrite, check_rate
from watermark.errors import AttackError

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


@dataclass(frozen=True)
class Regeneration:
    """A share `rate` of the sentences goes through `rewrite(texts) -> texts`, in one call; neighbours go together.

    `rewrite` answers one text for each; AttackError otherwise. Its own errors pass through.
    """

    rewrite: Rewrite
    name: str = "regeneration"

    def edit_text(self, text: str, rate: float, rng: np.random.Generator) -> str:
        pieces = split_sentences(text)
        count = round(check_rate(rate) * len(pieces))
        if not count:
            return text
        chosen = set(rng.permutation(len(pieces))[:count].tolist())
        runs: list[tuple[bool, str]] = []
        for index, piece in enumerate(pieces):
            rewritten = index in chosen
            if runs and runs[-1][0] == rewritten:
                runs[-1] = (rewritten, runs[-1][1] + piece)
            else:
                runs.append((rewritten, piece))
        asked = [piece for rewritten, piece in runs if rewritten]
        answers = list(self.rewrite(asked))
        if len(answers) != len(asked) or not all(isinstance(answer, str) for answer in answers):
            raise AttackError(f"the rewriting model was given {len(asked)} texts and answered {len(answers)}, or no texts")
        spaced = iter(_respace(piece, answer) for piece, answer in zip(asked, answers))
        return "".join(next(spaced) if rewritten else piece for rewritten, piece in runs)


def split_sentences(text: str) -> list[str]:
    """Sentences with the white space that follows them; joined they are the text again."""
    pieces, start = [], 0
    for end in _SENTENCE_END.finditer(text):
        pieces.append(text[start : end.end()])
        start = end.end()
    return [piece for piece in (*pieces, text[start:]) if piece]


def _respace(piece: str, answer: str) -> str:
    """The answer with the white space of the passage it replaces."""
    return answer.strip() + piece[len(piece.rstrip()) :]
