"""The whole way on the tiny model: generate with a key, take the text only, encode it again, detect."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from audit.runners.protocol import Prompt, Sampling
from tests import tiny_model
from watermark.detection import DetectOptions
from watermark.families import find_dialect
from watermark.generation.marks import open_mark
from watermark.keys import new_key
from watermark.presets import PRESETS, find_preset

pytestmark = pytest.mark.slow
PROMPTS = ("The import statement", "A class definition", "The value of the expression")
TOKENS = 240


@pytest.mark.parametrize("name", PRESETS)
def test_text_written_with_a_key_is_read_with_it_and_with_no_other(name: str) -> None:
    preset, runner = find_preset(name), tiny_model.runner()
    size = runner.capabilities().vocab_size
    options: dict[str, Any] = {**preset.options, **({"vocab_size": size} if preset.needs_vocabulary else {})}
    key, other = new_key(preset.family, options)[0], new_key(preset.family, options)[0]
    sampling = Sampling(max_new_tokens=TOKENS, min_new_tokens=TOKENS, seed=3, mark=open_mark(key.family, key.config))
    answers = runner.generate([Prompt(text=text) for text in PROMPTS], sampling)
    found = []
    for which in (key, other):
        scheme = find_dialect(which.family).open(which.config)
        texts = [np.array(runner.tokenize(answer.text)) for answer in answers]
        found.append([scheme.detect(text, DetectOptions(seed=1, runs=999)).log_p for text in texts])
    right, wrong = np.array(found[0], dtype=float), np.array(found[1], dtype=float)
    drawn = name in ("its", "its-edit", "exp-edit")  # 0.001 is the least of 999 draws; one text of forty misses it
    assert np.median(right) <= math.log(0.01 if drawn else 1e-5), right
    # That another key reads one text, or with drawn p-values two of three, by chance: once in 300,000 models and keys.
    assert np.median(wrong) > math.log(0.0011) if drawn else wrong.min() > math.log(1e-6), wrong
