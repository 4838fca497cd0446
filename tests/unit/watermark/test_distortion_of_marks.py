"""What the tests of change say about real marks on a small model: which claims hold and which do not."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from tests.unit.watermark.markov_model import VOCABULARY, chain  # noqa: E402
from watermark.distortion.experiment import Plan, run_distortion  # noqa: E402
from watermark.distortion.report import DistortionReport, Text  # noqa: E402
from watermark.generation.marks import open_mark  # noqa: E402

V = {"vocab_size": VOCABULARY}
MARKS: dict[str, tuple[str, dict[str, Any], str]] = {
    # family, configuration, its key member
    "kgw": ("kgw-lm-basic", {**V, "gamma": 0.25, "delta": 2.0}, "hash_key"),
    "exp": ("kuditipudi-library", {**V, "scheme": "EXP", "n": 64}, "key_seed"),
    "exp of one offset": ("kuditipudi-library", {**V, "scheme": "EXP", "n": 1}, "key_seed"),
    "its": ("kuditipudi-library", {**V, "scheme": "ITS", "n": 64}, "key_seed"),
    "gumbel": ("vllm-gumbel", {"scheme": "gumbel"}, "key"),
    "synthid": ("synthid", {"ngram_len": 5}, "keys"),
}
LENGTH = 12
SPREAD = 3.5  # 2.4 nats a token


class Model:
    """The small chain as a `Sampler`; prompt i is the token i."""

    def __init__(self, name: str) -> None:
        self.family, self.config, self.member = MARKS[name]

    def next_tokens(self, prompts: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        starts = np.arange(prompts) % VOCABULARY
        tokens = [self._write(start, seed + i, 1000 + seed + i, 1)[0] for i, start in enumerate(starts.tolist())]
        return torch.softmax(chain(SPREAD)[torch.from_numpy(starts)].double(), dim=1).numpy(), np.array(tokens)

    def marked(self, prompts: int, seed: int, fresh_keys: bool) -> list[Text]:
        return [self._write(i, 7919 * seed + i, 31 * seed + i if fresh_keys else 77, LENGTH) for i in range(prompts)]

    def plain(self, prompts: int, seed: int) -> list[Text]:
        return [self._write(i, 7907 * seed + i, None, LENGTH) for i in range(prompts)]

    def _write(self, start: int, seed: int, key: int | None, length: int) -> Text:
        ids, draws = torch.tensor([[start]]), torch.Generator().manual_seed(seed)
        processor = None if key is None else self._mark(key).logits_processor(1, [seed])
        for _ in range(length):
            scores = chain(SPREAD)[ids[:, -1]]
            if processor is not None:
                token = processor.draw(ids, scores)
            else:
                token = torch.multinomial(torch.softmax(scores, dim=1), 1, generator=draws)[0]
            ids = torch.cat([ids, token[:, None]], dim=1)
        return tuple(ids[0, 1:].tolist())

    def _mark(self, key: int) -> Any:
        secret: Any = 2 * key + 1_000_003
        if self.member == "keys":
            secret = np.random.default_rng(key).integers(1 << 62, size=12).tolist()
        return open_mark(self.family, {**self.config, self.member: secret})


@cache
def report(name: str) -> DistortionReport:
    tokens = 2000 if name == "kgw" else 300  # delta 2 moves 7 % of the probability, averaged over keys
    return run_distortion(Model(name), Plan(name, tokens, 16, 6, 6, limit=LENGTH, runs=999, seed=5))


def test_a_green_list_changes_single_tokens() -> None:
    assert "token" in report("kgw").refuted
    assert report("kgw").effects["token_distance_at_least"] > 0


@pytest.mark.parametrize("name", ["exp", "its", "gumbel", "synthid"])
def test_distortion_free_marks_change_neither_one_token_nor_one_text(name: str) -> None:
    assert not {"token", "text"} & set(report(name).refuted)


def test_hashed_gumbel_gives_the_same_answer_to_the_same_prompt() -> None:
    found = report("gumbel")
    assert found.refuted == ("repeat",)
    assert found.effects["marked_equal_answers"] > 0.8 > 0.1 > found.effects["plain_equal_answers"]


def test_exponential_sampling_repeats_itself_as_often_as_offsets_agree() -> None:
    assert "repeat" in report("exp of one offset").refuted
    assert report("exp of one offset").effects["marked_equal_answers"] > report("exp").effects["marked_equal_answers"]
