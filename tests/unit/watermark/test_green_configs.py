"""Configurations of the green-list family: defaults, secrets, hazards, and a ConfigError for everything else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.watermark.green_texts import KEY, VOCABULARY, green_scheme, marked_text, zipf_text
from watermark.detection import DetectOptions
from watermark.errors import ConfigError, NotDecidableError, TokenError
from watermark.families import as_tokens, detect, find_dialect, open_scheme
from watermark.schemes import kgw_transformers
from watermark.schemes.config_fields import shown
from watermark.schemes.kgw_lm_extended import read_scheme

FAMILIES = ("kgw-lm-extended", "kgw-lm-basic", "kgw-transformers", "unigram")
SHARE = {"kgw-transformers": "greenlist_ratio", "unigram": "fraction"}
KEYS = {"kgw-transformers": "hashing_key", "unigram": "watermark_key"}


def valid(family: str, **change: Any) -> dict[str, Any]:
    return {"vocab_size": 500, KEYS.get(family, "hash_key"): KEY, **change}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vocab_size", None), ("vocab_size", True), ("vocab_size", 1), ("vocab_size", 1 << 23), ("vocab_size", "500"),
        ("vocab_size", 500.0), ("vocab_size", 10**5000), ("share", math.nan), ("share", math.inf), ("share", 0), ("share", 1),
        ("share", -0.25), ("share", True), ("share", "0.25"), ("share", 1e-9), ("share", 10**400), ("share", [0.25]),
        ("key", 1 << 64), ("key", 10**5000), ("key", -1), ("key", 1.5), ("key", "abc"), ("key", True), ("key", []),
        ("z_threshold", math.nan), ("z_threshold", "4"), ("bos_token_id", -1), ("bos_token_id", True), ("unknown", 1), (7, 1),
        ("bos_token_id", 1 << 40),
    ],
    ids=shown,
)  # fmt: skip
def test_bad_members_are_named(family: str, name: Any, value: Any) -> None:
    member = {"share": SHARE.get(family, "gamma"), "key": KEYS.get(family, "hash_key")}.get(name, name)
    with pytest.raises(ConfigError) as caught:
        open_scheme(family, valid(family, **{member: value}) if isinstance(member, str) else {**valid(family), member: value})
    assert str(member) in str(caught.value) and str(KEY) not in str(caught.value)
    if name == "key":
        assert str(caught.value).endswith("it is out of range")


@pytest.mark.parametrize(
    ("family", "change", "word"),
    [
        ("kgw-lm-extended", {"seeding_scheme": "sumhash"}, "seeding_scheme"),
        ("kgw-lm-extended", {"seeding_scheme": []}, "seeding"),
        ("kgw-lm-extended", {"seeding_scheme": "ff-minhash_prf-²-False-5"}, "seeding"),
        ("kgw-lm-extended", {"seeding_scheme": "ff-minhash_prf-17-False"}, "seeding"),
        ("kgw-lm-extended", {"seeding_scheme": "ff-minhash_prf-4-false"}, "seeding"),
        ("kgw-lm-extended", {"seeding_scheme": "ff-minhash_prf-4-True-٣"}, "seeding"),
        ("kgw-lm-extended", {"seeding_scheme": "ff-minhash_prf-4-True-0"}, "hash_key"),
        ("kgw-lm-extended", {"seeding_scheme": "ff-minhash_prf-4-True-9999999999999999999"}, "hash_key"),
        ("kgw-lm-extended", {"seeding_scheme": "ff-minhash_prf-4-True-5"}, "hash_key"),
        ("kgw-lm-extended", {"seeding_scheme": f"ff-minskipgram_prf-1-False-{KEY}"}, "minskipgram"),
        ("kgw-lm-extended", {"self_salt": 1}, "self_salt"), ("kgw-lm-extended", {"context_width": 3}, "context_width"),
        ("kgw-lm-extended", {"prf_type": "minhash_prf"}, "prf_type"), ("kgw-lm-extended", {"delta": -1}, "delta"),
        ("kgw-lm-extended", {"delta": math.nan}, "delta"), ("kgw-lm-extended", {"delta": [1]}, "delta"),
        ("kgw-lm-extended", {"window_size": ""}, "window_size"), ("kgw-lm-extended", {"window_size": 0}, "window_size"),
        ("kgw-lm-extended", {"window_size": [20]}, "window_size"), ("kgw-lm-extended", {"window_size": True}, "window_size"),
        ("kgw-lm-extended", {"window_size": 10**5000}, "window_size"), ("kgw-lm-extended", {"window_size": "²"}, "window_size"),
        ("kgw-lm-extended", {"window_size": "max", "window_stride": 0}, "window_stride"),
        ("kgw-lm-extended", {"select_green_tokens": 1}, "select_green_tokens"),
        ("kgw-lm-basic", {"seeding_scheme": "selfhash"}, "simple_1"),
        ("kgw-lm-basic", {"ignore_repeated_bigrams": "yes"}, "ignore"),
        ("kgw-transformers", {"seeding_scheme": "minhash"}, "seeding"), ("kgw-transformers", {"seeding_scheme": {}}, "seeding"),
        ("kgw-transformers", {"context_width": 0}, "context_width"), ("kgw-transformers", {"device": 0}, "device"),
        ("kgw-transformers", {"transformers_version": "5"}, "version"),
        ("kgw-transformers", {"transformers_version": "5.2.²"}, "version"),
        ("kgw-transformers", {"transformers_version": 5.22}, "version"), ("unigram", {"num_keys": 0}, "num_keys"),
        ("unigram", {"num_keys": 65}, "num_keys"), ("unigram", {"strength": 0}, "strength"),
    ],
    ids=shown,
)  # fmt: skip
def test_bad_combinations(family: str, change: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_scheme(family, valid(family, **change))
    assert word in str(caught.value) and str(KEY) not in str(caught.value)


ANY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.lists(st.integers(), max_size=2),
    st.sampled_from(["max", "20,40", "selfhash", "ff-minhash_prf-4-True-15485863", "5.22.2", "Infinity",
                     10**400, 15485863, 0.25, 500]),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=1),
)  # fmt: skip
MEMBERS = {
    "kgw-lm-extended": ["vocab_size", "gamma", "delta", "seeding_scheme", "prf_type", "context_width", "self_salt", "hash_key",
                        "select_green_tokens", "ignore_repeated_ngrams", "bos_token_id", "z_threshold", "window_size",
                        "window_stride"],
    "kgw-lm-basic": ["vocab_size", "gamma", "delta", "seeding_scheme", "hash_key", "ignore_repeated_bigrams", "bos_token_id"],
    "kgw-transformers": ["vocab_size", "greenlist_ratio", "bias", "hashing_key", "context_width", "transformers_version",
                         "device",                       "ignore_repeated_ngrams"],
    "unigram": ["vocab_size", "fraction", "strength", "watermark_key", "num_keys", "bos_token_id"],
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_nothing_but_config_errors(family: str, data: Any) -> None:
    drawn = data.draw(st.dictionaries(st.sampled_from(MEMBERS[family]), ANY, max_size=4))
    config = {**valid(family), **drawn}
    try:
        scheme = open_scheme(family, config)
    except (ConfigError, NotDecidableError) as problem:
        assert len(str(problem)) < 600
        return
    size = min(config["vocab_size"], 500)
    found = scheme.detect(np.arange(60) % size, DetectOptions(tokens=True, spans=True))
    assert found.log_p is None or found.log_p <= 0
    try:
        made = find_dialect(family).new_config({name: value for name, value in drawn.items() if "key" not in name})
    except (ConfigError, NotDecidableError):
        return
    open_scheme(family, made)


def test_shown_values_are_short() -> None:
    class Rude:
        def __str__(self) -> str:
            raise RuntimeError

    assert shown("x" * 100) == repr("x" * 40) and shown(10**5000) == "a very large integer"
    assert shown([10**5000]) == "a list" and shown(Rude()) == "a Rude"


@pytest.mark.parametrize("family", FAMILIES)
def test_new_configurations(family: str) -> None:
    dialect = find_dialect(family)
    first, second = (dialect.new_config({"vocab_size": 500}) for _ in range(2))
    secret = dialect.secrets()
    assert any(first.get(name) != second.get(name) for name in secret)
    assert {k: v for k, v in first.items() if k not in secret} == {k: v for k, v in second.items() if k not in secret}
    scheme: Any = dialect.open(first)
    assert not any("public" in text or "even" in text or "31 bits" in text for text in scheme.hazards())
    shown_text = repr(scheme) + repr(getattr(scheme, "config", ""))
    numbers = [str(scheme.config.key if hasattr(scheme, "config") else scheme.key)]
    assert not any(number in shown_text for number in numbers)
    with pytest.raises(ConfigError):
        dialect.new_config({})
    with pytest.raises(ConfigError):
        dialect.new_config({"vocab_size": 500, "nonsense": 1})


def test_new_configurations_of_the_extended_processor() -> None:
    dialect = find_dialect("kgw-lm-extended")
    made = dialect.new_config({"vocab_size": 500, "seeding_scheme": "ff-skipgram_prf-3-False", "gamma": 0.5})
    prf, width, salt, key = read_scheme(made["seeding_scheme"])
    assert (prf, width, salt) == ("skipgram_prf", 3, False) and key is not None and key % 2 == 1
    with pytest.raises(ConfigError, match="random"):
        dialect.new_config({"vocab_size": 500, "seeding_scheme": "ff-skipgram_prf-3-False-5"})
    with pytest.raises(ConfigError, match="hash_key"):
        dialect.new_config({"vocab_size": 500, "hash_key": 5})


def test_hazards() -> None:
    assert green_scheme("kgw-lm-extended", seeding_scheme="selfhash").hazards() == ()
    for family in ("kgw-lm-extended", "kgw-lm-basic", "kgw-transformers"):
        assert any("public" in text for text in open_scheme(family, {"vocab_size": 500}).hazards())
    assert any("even" in text for text in green_scheme("kgw-lm-basic", hash_key=KEY + 1).hazards())
    assert any("31 bits" in text for text in green_scheme("kgw-lm-basic", hash_key=12345).hazards())
    for prf in ("minfunc_prf", "multiplicative_prf"):
        assert len(green_scheme("kgw-lm-extended", seeding_scheme=f"ff-{prf}-4-False-{KEY}").hazards()) == 1
    one, three = (open_scheme("unigram", {"vocab_size": 500, "watermark_key": KEY, "num_keys": n}).hazards() for n in (1, 3))
    assert len(one) == len(three) + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_texts_that_are_too_short(family: str) -> None:
    for text in ([], [5]):
        found = detect(family, valid(family), text)
        assert found.decision == "inconclusive" and found.num_tokens == len(text)
        if family != "unigram" or not text:
            assert (found.log_p, found.p_value, found.z_score, found.reference_p_value, found.num_green) == (None,) * 5
            assert found.num_tokens_scored == 0 and found.sufficient_tokens >= 16
    selfhash = green_scheme("kgw-lm-extended", seeding_scheme="selfhash")
    assert selfhash.detect(np.arange(3), DetectOptions()).log_p is None
    assert selfhash.detect(np.arange(4), DetectOptions()).num_tokens_scored == 1
    windowed = green_scheme("kgw-lm-extended", seeding_scheme="selfhash", window_size="50")
    assert windowed.detect(np.arange(40), DetectOptions()).decision == "inconclusive"
    assert windowed.detect(np.arange(40), DetectOptions()).p_value is None


@pytest.mark.parametrize("stride", [1, 5])
@pytest.mark.parametrize("size", ["max", "20,40", 148, 149, 1000])
def test_windows(size: Any, stride: int) -> None:
    """Stride 5 and windows as long as the text work, where the reference raises or never looks."""
    plain = green_scheme("kgw-lm-extended", seeding_scheme="lefthash")
    text = marked_text(plain, 150, seed=1)
    scheme = green_scheme("kgw-lm-extended", seeding_scheme="lefthash", window_size=size, window_stride=stride)
    found, whole = scheme.detect(text, DetectOptions()), plain.detect(text, DetectOptions())
    assert found.num_distinct == whole.num_distinct and whole.log_p is not None
    if size == 1000 or (size == 149 and whole.num_distinct < 149):
        assert found.log_p is None and found.test["windows"] == 0
        return
    assert found.log_p is not None and found.decision == "watermarked" and found.test["windows"] >= 1
    if size == "max":  # the whole text is one of the windows
        assert found.log_p <= whole.log_p + math.log(found.test["windows"]) + 1e-9
    clean = scheme.detect(zipf_text(150, seed=2), DetectOptions())
    assert clean.decision != "watermarked"
    # a scan needs longer texts than one test, and windows of 40 tokens are never long enough for "not detected"
    assert clean.sufficient_tokens > whole.sufficient_tokens or size == 148 or size == 149
    assert (clean.sufficient_tokens == 1 << 30) == (size == "20,40")


def test_wrong_readings_are_never_silent() -> None:
    """Another vocabulary size reads as unmarked, with a warning; another green share still finds the mark."""
    written = green_scheme("kgw-lm-extended", vocab_size=50272, seeding_scheme="lefthash", gamma=0.5)
    text = marked_text(written, 150, seed=3, tries=6)
    read = green_scheme("kgw-lm-extended", vocab_size=50265, seeding_scheme="lefthash", gamma=0.5)
    found = read.detect(text % 50265, DetectOptions())
    assert (
        found.decision == "not_detected"
        and "vocabulary size" in found.warnings[0]
        and written.detect(text, DetectOptions()).warnings == ()
    )
    with pytest.raises(TokenError, match="another tokenizer"):
        as_tokens([50270], 50265)
    quarter = green_scheme("kgw-lm-extended", vocab_size=50272, seeding_scheme="lefthash", gamma=0.25)
    assert quarter.detect(text, DetectOptions()).decision == "watermarked"  # half of what was green is green
    halves = marked_text(quarter, 150, seed=4)
    assert written.detect(halves, DetectOptions()).decision == "watermarked"  # all that was green is green


def test_selfhash_of_transformers_is_another_dialect() -> None:
    theirs = green_scheme("kgw-transformers", seeding_scheme="selfhash", context_width=4)
    ours = green_scheme("kgw-lm-extended", seeding_scheme="selfhash")
    for writer, reader in ((theirs, ours), (ours, theirs)):
        text = marked_text(writer, 200, seed=5)
        found = reader.detect(text, DetectOptions())
        assert found.decision == "not_detected" and "dialect" in found.warnings[0]
        assert writer.detect(text, DetectOptions()).decision == "watermarked"


def test_lists_of_a_gpu_are_refused() -> None:
    for device in ("cuda", "cuda:0", "gpu"):
        with pytest.raises(NotDecidableError, match="not decidable with this dialect"):
            open_scheme("kgw-transformers", valid("kgw-transformers", device=device))
    assert green_scheme("kgw-transformers", device="cpu").config.vocab_size == VOCABULARY


def test_reference_p_values_of_older_transformers() -> None:
    z_to_p = {1.0: 0.265, 3.0: 0.00162, 4.0: 1.9e-5, 6.0: 5.6e-11}
    for z, p in z_to_p.items():
        assert kgw_transformers.approximate_tail(z) == pytest.approx(p, rel=0.05)
    assert kgw_transformers.approximate_tail(9.0) == 0.0
    text = marked_text(green_scheme("kgw-transformers"), 200, seed=6)
    old = green_scheme("kgw-transformers", transformers_version="5.22.2").detect(text, DetectOptions())
    new = green_scheme("kgw-transformers").detect(text, DetectOptions())
    assert (
        old.reference_p_value == 0.0 and new.reference_p_value and old.log_p == new.log_p and old.dialect == "transformers@5.22.2"
    )
