"""A small neural reader, for judging: it learns from examples how far to trust a sentence, and shares nothing with the parser.

Every mention of a candidate in a text gets a weight from the words around it; a candidate's logit is the log of the summed
weights of its mentions, "none of them" has a learnt logit of its own. Trained on random paragraphs, never on a policy's text,
so no policy can have been trained against it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from conformal.linguistic.training.merging import paragraph
from conformal.linguistic.training.questions import normal_form

_BEFORE, _AFTER, _EMBEDDING, _HIDDEN, _RATE = 4, 6, 16, 64, 4e-3


class NeuralReader:
    """Reads a text as a distribution over the candidates it names; what is left is "none of them".

    `encode` turns texts into lists of token ids (a candidate must be one token, `token_of` says which); everything random comes
    from `seed`.
    """

    def __init__(self, encode: Any, token_of: Mapping[str, int], vocabulary: int, seed: int = 0) -> None:
        import torch

        self._encode, self._token_of, self._seed = encode, dict(token_of), seed
        self._name_of = {token: name for name, token in token_of.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._words = torch.nn.Embedding(vocabulary, _EMBEDDING)
            width = (_BEFORE + _AFTER) * _EMBEDDING
            self._weigh = torch.nn.Sequential(
                torch.nn.Linear(width, _HIDDEN), torch.nn.GELU(), torch.nn.Linear(_HIDDEN, _HIDDEN), torch.nn.GELU()
            )
            self._out = torch.nn.Linear(_HIDDEN, 1)
        self._parameters = [*self._words.parameters(), *self._weigh.parameters(), *self._out.parameters()]

    def learn(self, steps: int = 300, batch: int = 256) -> float:
        """Learn from random paragraphs; the target is the rate at which such a paragraph's answers come true.

        Returns the last loss (nats).
        """
        import torch

        rng = random.Random(f"reader/{self._seed}")
        optimiser = torch.optim.AdamW(self._parameters, lr=_RATE, weight_decay=0.0)
        loss = torch.tensor(0.0)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = _RATE * min(1.0, 2 * (1 - step / steps))
            stated = [dict(_random_statement(rng, list(self._token_of))) for _ in range(batch)]
            named, logs, log_none = self._log_forecasts([paragraph(list(row.items())) for row in stated])
            target = torch.tensor([stated[text][name] for text, name in named])
            none = torch.tensor([1.0 - sum(row.values()) for row in stated])
            loss = -((target * logs).sum() + (none * log_none).sum()) / batch
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return float(loss.detach())

    def read(self, text: str) -> dict[str, float]:
        """Candidate (normal form) to probability, those the text names; they sum to less than 1."""
        import torch

        with torch.inference_mode():
            named, logs, _ = self._log_forecasts([text])
            return {normal_form(name): float(p) for (_, name), p in zip(named, logs.exp())}

    def _log_forecasts(self, texts: Sequence[str]) -> tuple[list[tuple[int, str]], Any, Any]:
        """(text, candidate named in it) pairs, the log probability of each, and for each text that of "none"."""
        import torch

        windows: list[list[int]] = []
        groups: dict[tuple[int, str], int] = {}
        group_of: list[int] = []
        for text, ids in enumerate(self._encode(list(texts))):
            padded = [0] * _BEFORE + list(ids) + [0] * _AFTER
            for at in range(_BEFORE, len(padded) - _AFTER):
                name = self._name_of.get(padded[at])
                if name is not None:
                    windows.append(padded[at - _BEFORE : at] + padded[at + 1 : at + 1 + _AFTER])
                    group_of.append(groups.setdefault((text, name), len(groups)))
        totals = torch.ones(len(texts))
        if not windows:
            return [], torch.zeros(0), totals.log()
        weights = self._out(self._weigh(self._words(torch.tensor(windows)).flatten(1))).squeeze(1).clamp(-12.0, 12.0).exp()
        sums = torch.zeros(len(groups)).index_add(0, torch.tensor(group_of), weights)
        text_of = torch.tensor([text for text, _ in groups])
        totals = totals.index_add(0, text_of, sums)
        return list(groups), sums.log() - totals.log()[text_of], -totals.log()


def _random_statement(rng: random.Random, candidates: Sequence[str]) -> list[tuple[str, float]]:
    """One to three candidates with whole per cents that sum to 100 at most."""
    left, stated = 100, []
    for name in rng.sample(candidates, rng.randint(1, min(3, len(candidates)))):
        percent = rng.randint(1, left) if rng.random() < 0.7 else min(left, rng.randint(1, 10) * 10)
        stated.append((name, percent / 100))
        left -= percent
        if left < 1:
            break
    return stated
