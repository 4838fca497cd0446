"""Shift-keyed detection: kernels and twins, exact tails, Monte Carlo, and the texts that must not be accused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tests.unit.watermark.shift_texts import VOCABULARY, marked_text, substitute
from watermark.detection import DetectOptions
from watermark.detectors.alignment import exact_block_test
from watermark.errors import CancelledError, ConfigError, TokenError
from watermark.families import find_dialect, open_scheme
from watermark.kernels.alignment import block_minima, edit_minima_plain, running_costs, total_costs
from watermark.kernels.alignment_numba import edit_minima_numba
from watermark.nulls.permutation import permutation_test
from watermark.schemes.shift_keyed import ShiftScheme
from watermark.schemes.shift_keys import ExpKey, ItsKey


def scheme(name: str = "EXP", seed: int = 11, n: int = 64, **more: object) -> ShiftScheme:
    config = {"scheme": name, "vocab_size": VOCABULARY, "n": n, "key_seed": seed, **more}
    opened = open_scheme("kuditipudi-library", config)
    assert isinstance(opened, ShiftScheme)
    return opened


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "m", "k", "gap", "stride"), [(5, 7, 4, 0.0, 1), (70, 9, 9, 0.4, 1), (16, 90, 70, 0.5, 7), (64, 12, 1, 1.0, 2)]
)
def test_kernel_equals_its_twin(kind: type, n: int, m: int, k: int, gap: float, stride: int) -> None:
    costs = np.log(1 - np.random.default_rng(n).random((n, m))).astype(kind)
    assert (edit_minima_plain(costs, k, gap, stride) == edit_minima_numba(costs, k, gap, stride)).all()


def test_block_costs_against_the_definition() -> None:
    n, m, k = 7, 10, 4
    costs = np.random.default_rng(0).random((n, m))
    table = [[sum(costs[(j + i) % n, b + i] for i in range(k)) for j in range(n)] for b in range(m - k + 1)]
    minima, offsets = block_minima(costs, k)
    assert minima == pytest.approx([min(row) for row in table])
    assert offsets.tolist() == [int(np.argmin(row)) for row in table]


@pytest.mark.parametrize(("n", "m"), [(1, 300), (3, 700), (300, 10), (256, 600), (200, 401)])
def test_running_costs_against_the_definition(n: int, m: int) -> None:
    """Texts longer than the stretches that are laid out at once, and keys longer than the text."""
    costs = np.random.default_rng(n).random((n, m))
    places = np.arange(m)
    lines = np.array([costs[(shift + places) % n, places] for shift in range(n)])
    assert running_costs(costs)[:, 1:] == pytest.approx(lines.cumsum(axis=1))
    assert running_costs(costs)[:, 0].tolist() == [0.0] * n
    assert total_costs(np.asfortranarray(costs)) == pytest.approx(lines.sum(axis=1))


def test_edit_distance_against_the_textbook() -> None:
    rng = np.random.default_rng(1)
    costs = np.abs(rng.normal(size=(5, 6)))
    best = []
    for j in range(5):
        table = np.zeros((7, 7))
        table[0], table[:, 0] = np.arange(7) * 0.3, np.arange(7) * 0.3
        for i in range(1, 7):
            for c in range(1, 7):
                own = table[i - 1, c - 1] + costs[(j + c - 1) % 5, i - 1]
                table[i, c] = min(table[i - 1, c] + 0.3, table[i, c - 1] + 0.3, own)
        best.append(table[6, 6])
    assert edit_minima_plain(costs, 6, 0.3) == pytest.approx([min(best)])


@pytest.mark.parametrize(("n", "k"), [(64, 20), (16, 40)])
def test_exact_tail_is_the_union_bound(n: int, k: int) -> None:
    """Rows come round again with n = 16: every (row, token) pair counts once, as the definition says."""
    opened, tokens = scheme(n=n, k=k), np.random.default_rng(2).integers(0, 5, 40)
    costs = opened.costs(tokens, opened.key)
    found = exact_block_test(costs, tokens, k)
    tails = []
    for start in range(40 - k + 1):
        for offset in range(n):
            pairs = {((offset + i) % n, int(tokens[start + i])): costs[(offset + i) % n, start + i] for i in range(k)}
            tails.append(stats.gamma.logsf(-sum(float(c) for c in pairs.values()), len(pairs)))
    looked = n * (40 - k + 1)
    assert found.looked == looked
    assert found.log_p == pytest.approx(min(0.0, min(tails) + math.log(looked)), abs=1e-4)


@pytest.mark.parametrize("name", ["EXP", "EXP-edit", "ITS", "ITS-edit"])
def test_own_key_is_found_and_another_is_not(name: str) -> None:
    own = scheme(name)
    tokens = marked_text(own, 80 if name.startswith("EXP") else 160, seed=5)
    options = DetectOptions(alpha=0.02, runs=99, seed=1)
    assert own.detect(tokens, options).decision == "watermarked"
    assert scheme(name, seed=12).detect(tokens, options).decision != "watermarked"


def test_forty_percent_substitutions_at_35_tokens() -> None:
    """A slice of the guarantee: the median p-value of EXP-edit stays at or below 0.01."""
    own = scheme("EXP-edit", n=256)
    options = DetectOptions(runs=199, seed=1)
    found = [own.detect(substitute(marked_text(own, 35, i, sigma=3.3), 0.4, i), options).p_value for i in range(7)]
    assert float(np.median([p for p in found if p is not None])) <= 0.01


@pytest.mark.parametrize("name", ["EXP", "EXP-edit", "ITS", "ITS-edit"])
@pytest.mark.parametrize("tokens", [np.zeros(100, dtype=np.int64), np.tile([3, 4], 50), np.tile(np.arange(10), 10)])
def test_repetition_is_not_accused(name: str, tokens: np.ndarray) -> None:
    found = [scheme(name, seed=s).detect(tokens, DetectOptions(runs=99, seed=s)).p_value for s in range(4)]
    assert all(p is not None and p > 0.005 for p in found)


def test_p_values_never_reach_zero_and_say_so() -> None:
    own = scheme("EXP-edit")
    found = own.detect(marked_text(own, 60, seed=3), DetectOptions(runs=19, seed=1, alpha=0.001))
    assert found.p_value == pytest.approx(1 / 20) and found.num_distinct >= found.sufficient_tokens
    assert found.decision == "inconclusive" and any("runs" in sentence for sentence in found.warnings)
    for runs in (0, -1):
        assert own.detect(np.arange(60), DetectOptions(runs=runs)).p_value == 1.0


def test_short_and_empty_texts_are_not_scored() -> None:
    for tokens in (np.zeros(0, dtype=np.int64), np.arange(5)):
        found = scheme(k=20).detect(tokens, DetectOptions())
        assert found.log_p is None and found.decision == "inconclusive" and found.num_tokens_scored == 0


def test_threads_and_early_stop_do_not_change_the_result() -> None:
    own, tokens = scheme("ITS"), np.random.default_rng(8).integers(0, VOCABULARY, 60)
    one = own.detect(tokens, DetectOptions(runs=400, seed=4))
    two = own.detect(tokens, DetectOptions(runs=400, seed=4, threads=2))
    assert one.test == two.test and one.test["stopped"] and one.p_value == 10 / one.test["draws"]


def test_a_long_test_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watermark.nulls.permutation.ASK_EVERY", 0.0)
    asked = iter([False, False, True])
    with pytest.raises(CancelledError):
        scheme("EXP-edit").detect(np.arange(60), DetectOptions(runs=50, cancelled=lambda: next(asked)))


class RealKey:
    """A generator that draws the numbers of a given key."""

    def __init__(self, key: ExpKey | ItsKey, vocab_size: int) -> None:
        self.key, self.vocab_size = key, vocab_size

    def integers(self, *_: object, **__: object) -> np.ndarray:
        if isinstance(self.key, ExpKey):
            return self.key.columns_as_words(np.arange(self.vocab_size))
        return np.asarray(self.key.xi * 2.0**24).astype(np.uint32)

    def choice(self, *_: object, **__: object) -> np.ndarray:
        assert isinstance(self.key, ItsKey)
        return self.key.ranks


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("kuditipudi-library", {"scheme": "EXP", "key_seed": 3}),
        ("kuditipudi-library", {"scheme": "ITS", "key_seed": 3}),
        ("kuditipudi-demo-python", {"key": 3}),
        ("kuditipudi-demo-js", {"key": 3}),
    ],
)
def test_fresh_keys_become_costs_as_the_real_one_does(family: str, config: dict[str, object]) -> None:
    """What makes the Monte-Carlo p-value exact: from the same draws come the same costs, bit for bit."""
    opened = open_scheme(family, {"vocab_size": 300, "n": 40, **config})
    assert isinstance(opened, ShiftScheme)
    null: object = opened._null_costs(RealKey(opened.key, 300), 300)  # type: ignore[arg-type]
    real = opened.costs(np.arange(300), opened.key)
    assert isinstance(null, np.ndarray) and null.dtype == real.dtype and np.array_equal(null, real)


def test_early_stopping_is_valid() -> None:
    """P(p <= a) <= a for p = h / L under the null."""
    found = [
        permutation_test(float(np.random.default_rng([7, i]).random()), lambda rng: float(rng.random()), 199, i).p_value
        for i in range(1500)
    ]
    for level in (0.05, 0.1, 0.3):
        assert sum(p <= level for p in found) <= level * 1500 + 3.5 * math.sqrt(level * 1500)


def test_spans_show_the_marked_part() -> None:
    own = scheme("EXP", n=256)
    clean = np.random.default_rng(9).integers(0, VOCABULARY, 120)
    mixed = np.concatenate([clean, marked_text(own, 80, seed=2), clean])
    spans = own.detect(mixed, DetectOptions(spans=True)).spans
    assert spans and all(span.start >= 90 and span.end <= 230 for span in spans)
    assert own.detect(clean, DetectOptions(spans=True)).spans == ()


def test_poisoned_entry_of_the_python_demo() -> None:
    """Key 0, row 130, token 7087: the reference finds any text with it; the test must not."""
    poisoned = open_scheme("kuditipudi-demo-python", {"key": 0, "n": 256, "vocab_size": 50265})
    tokens = np.random.default_rng(0).integers(0, 50265, 40)
    tokens[7] = 7087
    found = poisoned.detect(tokens, DetectOptions(runs=99, seed=1))
    assert found.statistic == -math.inf and found.p_value is not None and found.p_value > 0.01
    assert "round to 1" in poisoned.hazards()[1]


def test_demo_keys_beyond_32_bits() -> None:
    """The Python demo seeds with all bits of the key, the JavaScript one with 32: two streams, as MT19937's recurrences say."""
    key, size = (1 << 33) + 5, 300
    streams = {}
    for family, start in (("kuditipudi-demo-python", key), ("kuditipudi-demo-js", key % (1 << 32))):
        opened = open_scheme(family, {"key": key, "n": 3, "vocab_size": size})
        assert isinstance(opened, ShiftScheme) and isinstance(opened.key, ExpKey)
        streams[family] = opened.key.columns_as_words(np.arange(size)).ravel().tolist()
        assert streams[family] == textbook_twister(start, 3 * size)
    assert streams["kuditipudi-demo-python"] != streams["kuditipudi-demo-js"]


def textbook_twister(seed: int, count: int) -> list[int]:
    state = [seed]
    for i in range(1, 624):
        state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + i) & 0xFFFFFFFF)
    state[0] &= 0xFFFFFFFF
    out: list[int] = []
    while len(out) < count:
        for i in range(624):
            y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7FFFFFFF)
            state[i] = state[(i + 397) % 624] ^ (y >> 1) ^ (0x9908B0DF if y & 1 else 0)
        for y in state:
            y ^= y >> 11
            y ^= (y << 7) & 0x9D2C5680
            y ^= (y << 15) & 0xEFC60000
            out.append(y ^ (y >> 18))
    return out[:count]


@pytest.mark.parametrize("family", ["kuditipudi-library", "kuditipudi-demo-python", "kuditipudi-demo-js"])
def test_ids_outside_the_vocabulary_are_named(family: str) -> None:
    secret = "key_seed" if family == "kuditipudi-library" else "key"
    opened = open_scheme(family, {secret: 1, "n": 4, "vocab_size": 100})
    for wrong in (100, -1):
        with pytest.raises(TokenError, match="token 2"):
            opened.detect(np.array([1, 2, wrong, 3]), DetectOptions(runs=1))


@pytest.mark.parametrize(
    "config",
    [
        {"scheme": "EXPO"}, {"scheme": []}, {"scheme": None}, {"n": 0}, {"vocab_size": None}, {"k": 0},
        {"gamma": 0.1, "scheme": "EXP"}, {"gamma": float("nan")},
        {"key_seed": -1}, {"key_seed": "1"}, {"n": 65536, "vocab_size": 1 << 20}, {"extra": 1}, {"n": True},
    ],
)  # fmt: skip
def test_bad_configurations_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        open_scheme("kuditipudi-library", {"scheme": "EXP-edit", "vocab_size": 50, "n": 8, "key_seed": 1, **config})


def test_too_much_work_is_refused_not_begun() -> None:
    with pytest.raises(TokenError, match="too much work"):
        scheme("EXP-edit", n=256, k=5000).detect(np.zeros(6000, dtype=np.int64), DetectOptions())
    with pytest.raises(TokenError, match="too many at once"):
        scheme("EXP", n=256).detect(np.zeros(2_500_000, dtype=np.int64), DetectOptions())


@pytest.mark.parametrize("family", ["kuditipudi-library", "kuditipudi-demo-python", "kuditipudi-demo-js"])
def test_new_keys_are_fresh_and_open(family: str) -> None:
    dialect = find_dialect(family)
    first, second = (dialect.new_config({"vocab_size": 500}) for _ in range(2))
    (secret,) = dialect.secrets()
    assert first[secret] != second[secret]
    assert str(first[secret]) not in repr(dialect.open(first))
