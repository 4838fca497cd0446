"""The processor for vLLM's v1 interface, driven by a stand-in for its persistent batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.unit.watermark.markov_model import VOCABULARY, chain  # noqa: E402
from watermark.detection import DetectOptions  # noqa: E402
from watermark.errors import ConfigError, KeyFileError  # noqa: E402
from watermark.families import open_scheme  # noqa: E402
from watermark.generation import vllm  # noqa: E402
from watermark.generation.marks import open_mark  # noqa: E402
from watermark.keys import WatermarkKey, new_key, save_key  # noqa: E402
from watermark.presets import find_preset  # noqa: E402


class Direction(Enum):
    UNIDIRECTIONAL = auto()
    SWAP = auto()


@dataclass(frozen=True)
class Update:
    batch_size: int
    removed: list[int] = field(default_factory=list)
    added: list[Any] = field(default_factory=list)
    moved: list[Any] = field(default_factory=list)


@dataclass
class Params:
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int | None = None
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    extra_args: dict[str, Any] | None = None


class Batch:
    """Requests in slots, as vLLM keeps them: a finished one leaves a hole that the last one is moved into."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.slots: list[tuple[Params, list[int], list[int]]] = []
        self.draws = torch.Generator().manual_seed(3)

    def add(self, params: Params, prompt: list[int]) -> list[int]:
        output: list[int] = []
        self.processor.validate_params(params)
        self.slots.append((params, prompt, output))
        self.processor.update_state(Update(len(self.slots), added=[(len(self.slots) - 1, params, prompt, output)]))
        return output

    def finish(self, index: int) -> None:
        last = len(self.slots) - 1
        moved = [(last, index, Direction.UNIDIRECTIONAL)] if index != last else []
        self.slots[index] = self.slots[last]
        self.slots.pop()
        self.processor.update_state(Update(len(self.slots), removed=[index], moved=moved))

    def swap(self, first: int, second: int) -> None:
        self.slots[first], self.slots[second] = self.slots[second], self.slots[first]
        self.processor.update_state(Update(len(self.slots), moved=[(first, second, Direction.SWAP)]))

    def step(self) -> None:
        self.processor.update_state(None)
        last = [(prompt + output)[-1] for _, prompt, output in self.slots]
        logits = self.processor.apply(chain()[torch.tensor(last)].clone())
        for row, (params, _, output) in enumerate(self.slots):
            if params.temperature == 0:
                output.append(int(logits[row].argmax()))
            else:
                drawn = torch.multinomial(torch.softmax(logits[row] / params.temperature, 0), 1, generator=self.draws)
                output.append(int(drawn))


Opened = tuple[WatermarkKey, Any]


@pytest.fixture
def opened(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """The key of a preset, and a processor that found it in the environment."""
    preset = find_preset(request.param)
    needed = {"vocab_size": VOCABULARY} if preset.needs_vocabulary else {}
    key = new_key(preset.family, {**preset.options, **needed})[0]
    save_key(key, tmp_path / "key.json")
    monkeypatch.setenv(vllm.KEY_VARIABLE, str(tmp_path / "key.json"))
    yield key, vllm.WatermarkLogitsProcessor(None, torch.device("cpu"), False)
    vllm.configured_writer.cache_clear()


def p_value(key: WatermarkKey, output: list[int]) -> float:
    found = open_scheme(key.family, key.config).detect(np.array(output), DetectOptions(seed=1, runs=999))
    return float(found.p_value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "opened", ["lefthash", "selfhash", "unigram", "exp", "its", "gumbel", "gumbel-dual", "synthid"], indirect=True
)
def test_marks_follow_their_requests_through_the_batch(opened: Opened) -> None:
    """Requests come, go, and change places; every one that did not opt out carries the mark, wherever it went."""
    key, processor = opened
    batch = Batch(processor)
    first = batch.add(Params(temperature=0.9), [1, 2, 3, 4, 5])
    free, spared = (batch.add(Params(extra_args={"watermark": False}), prompt) for prompt in ([9, 8, 7, 6, 5], [9, 8, 7, 6, 4]))
    gone = batch.add(Params(), [4, 4, 4, 4, 4])
    late: list[int] = []
    for step in range(220):
        batch.step()
        if step == 10:
            late = batch.add(Params(temperature=0.9, seed=5), [6, 6, 6, 6, 6])
        if step == 20:
            batch.swap(0, 1)
        if step == 30:
            batch.finish([slot[2] for slot in batch.slots].index(gone))
        if step == 40:
            batch.swap(0, len(batch.slots) - 1)
    assert len(gone) == 31 and len(late) == 209 and len(first) == len(free) == len(spared) == 220
    assert p_value(key, first) <= 0.0011 and p_value(key, late) <= 0.0011  # the least of 999 draws
    # One key in a million: an exact p-value so small, or both of two drawn ones the least.
    chance = 0.0011 if key.family == "kuditipudi-library" else 1e-6
    assert max(p_value(key, free), p_value(key, spared)) > chance


@pytest.mark.parametrize("opened", ["exp", "gumbel", "its"], indirect=True)
def test_the_same_token_as_with_transformers(opened: Opened) -> None:
    """Whatever filters: what is drawn is what the mark draws from the filtered scores."""
    key, processor = opened
    batch = Batch(processor)
    params = Params(temperature=0.7, top_k=20, top_p=0.9, seed=11)
    output = batch.add(params, [5, 6])
    there = open_mark(key.family, key.config).logits_processor(2, [11])
    ids = torch.tensor([[5, 6]])
    for _ in range(20):
        warped = vllm.warp(chain()[ids[:, -1]].clone(), [params])
        assert 1 <= int(torch.isfinite(warped).sum()) <= 20
        wanted = there(ids, warped)
        batch.step()
        if torch.isfinite(wanted).sum() == 1:
            assert output[-1] == int(wanted.argmax())
        ids = torch.cat([ids, torch.tensor([[output[-1]]])], dim=1)


@pytest.mark.parametrize("opened", ["lefthash", "gumbel"], indirect=True)
def test_greedy_requests_are_marked_by_green_lists_only(opened: Opened) -> None:
    key, processor = opened
    batch = Batch(processor)
    output = batch.add(Params(temperature=0), [3])
    batch.step()
    plain = int(chain()[3].argmax())
    logits = processor.apply(chain()[torch.tensor([plain])].clone())
    assert torch.equal(logits[0], chain()[plain]) == (key.family == "vllm-gumbel")
    assert len(output) == 1 and not processor.is_argmax_invariant()


@pytest.mark.parametrize("opened", ["lefthash", "synthid"], indirect=True)
def test_settings_that_come_too_late_are_refused(opened: Opened) -> None:
    key, processor = opened
    for name, value in (("min_p", 0.1), ("repetition_penalty", 1.2), ("presence_penalty", 0.5), ("frequency_penalty", -0.5)):
        if key.family == "synthid":
            with pytest.raises(ValueError, match=name):
                processor.validate_params(Params(**{name: value}))  # type: ignore[arg-type]
        else:
            processor.validate_params(Params(**{name: value}))  # type: ignore[arg-type]
        processor.validate_params(Params(**{name: value}, extra_args={"watermark": False}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="true or false"):
        processor.validate_params(Params(extra_args={"watermark": "no"}))


@pytest.mark.parametrize("opened", ["lefthash"], indirect=True)
def test_wrong_vocabularies_and_unknown_tokens_are_refused(opened: Opened) -> None:
    _, processor = opened
    assert processor.apply(torch.zeros(1, 4)).shape == (1, 4)  # nobody to mark
    processor.update_state(Update(1, added=[(0, Params(), [1], [2, -1])]))
    with pytest.raises(ConfigError, match="512"):
        processor.apply(torch.zeros(1, 40))
    with pytest.raises(ConfigError, match="asynchronous"):
        processor.apply(torch.zeros(1, VOCABULARY))


def test_the_key_comes_from_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(vllm.KEY_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=vllm.KEY_VARIABLE):
        vllm.WatermarkLogitsProcessor(None, None, False)
    path = tmp_path / "key.json"
    save_key(new_key("vllm-gumbel", {})[0], path)
    path.chmod(0o644)
    monkeypatch.setenv(vllm.KEY_VARIABLE, str(path))
    with pytest.raises(KeyFileError):
        vllm.WatermarkLogitsProcessor(None, None, False)
