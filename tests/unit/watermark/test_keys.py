"""Key files: what they keep, what they refuse, what their commitments bind and hide."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from watermark import families
from watermark.errors import ConfigError, KeyFileError
from watermark.keys import (
    MAX_DRAWS,
    WatermarkKey,
    canonical_json,
    commit,
    from_json,
    load_key,
    new_key,
    save_key,
    to_json,
    verify_commitment,
)
from watermark.presets import ALIASES, PRESETS, find_preset

BLINDING = bytes(range(32))
SECRET = 0xDEADBEEFCAFEF00D
KEY = WatermarkKey("vllm-gumbel", {"scheme": "gumbel", "key": SECRET, "context_width": 4}, BLINDING)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    save_key(KEY, tmp_path / "key.json")
    return tmp_path / "key.json"


def test_a_key_file_comes_back_as_it_was(key_file: Path) -> None:
    assert load_key(key_file) == KEY
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key_file.parent.iterdir()] == ["key.json"]  # no temporary file stays


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        save_key(KEY, tmp_path / "key.json")
    finally:
        os.umask(before)
    assert (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600


def test_keys_are_never_overwritten(key_file: Path) -> None:
    before = key_file.read_bytes()
    with pytest.raises(KeyFileError, match="never overwritten"):
        save_key(WatermarkKey("vllm-gumbel", {"key": 1}, BLINDING), key_file)
    assert key_file.read_bytes() == before
    with pytest.raises(KeyFileError, match="No such file"):
        save_key(KEY, key_file.parent / "missing" / "key.json")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o611])
def test_a_key_open_to_others_is_refused_with_the_remedy(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {key_file}"):
        load_key(key_file)


def test_files_that_are_no_key_files(key_file: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        load_key(tmp_path / "none")
    with pytest.raises(KeyFileError, match="regular file"):
        load_key(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(KeyFileError, match="regular file"):  # and does not wait for a writer
        load_key(pipe)
    key_file.write_bytes(b"[" * 70_000)
    with pytest.raises(KeyFileError, match="larger than"):
        load_key(key_file)
    for content in (b"", b"\xff\xfe", b"[" * 60_000, b"3", b'{"format": "other"}'):
        key_file.write_bytes(content)
        with pytest.raises(KeyFileError, match="no watermark key"):
            load_key(key_file)


@pytest.mark.parametrize(
    ("member", "value", "complaint"),
    [
        ("family", 3, "family"),
        ("config", [1], "config"),
        ("config", {"key": SECRET + 1}, "does not match its commitment"),
        ("family", "unigram", "does not match its commitment"),
        ("blinding", "00" * 32, "does not match its commitment"),
        ("blinding", "00" * 31, "blinding"),
        ("blinding", "zz" * 32, "blinding"),
        ("blinding", None, "blinding"),
        ("commitment", "00" * 32, "does not match its commitment"),
        ("commitment", "é", "does not match its commitment"),
        ("created", 5, "created"),
        ("extra", 5, "members"),
    ],
)
def test_altered_key_files_are_refused_without_repeating_them(member: str, value: Any, complaint: str) -> None:
    content = {**to_json(KEY), member: value}
    with pytest.raises(KeyFileError, match=complaint) as refused:
        from_json(content, "key.json")
    assert str(SECRET) not in str(refused.value) and BLINDING.hex() not in str(refused.value)


def test_the_commitment_is_what_the_format_says() -> None:
    opening = b'{"config":{"context_width":4,"key":%d,"scheme":"gumbel"},"family":"vllm-gumbel"}' % SECRET
    expected = hashlib.sha256(b"assay-watermark-key-commitment/1\x00" + BLINDING + opening).hexdigest()
    assert KEY.commitment == expected


def test_openings_verify_and_others_do_not() -> None:
    config = dict(KEY.config)
    assert verify_commitment(KEY.commitment, KEY.family, config, BLINDING)
    assert not verify_commitment(KEY.commitment, KEY.family, {**config, "key": SECRET + 1}, BLINDING)
    assert not verify_commitment(KEY.commitment, "unigram", config, BLINDING)
    assert not verify_commitment(KEY.commitment, KEY.family, config, bytes(32))
    assert not verify_commitment(KEY.commitment, KEY.family, config, BLINDING[:31])
    for malformed in ("", "zz", KEY.commitment[:62], KEY.commitment + "00"):
        assert not verify_commitment(malformed, KEY.family, config, BLINDING)


def test_the_same_key_has_different_commitments() -> None:
    assert commit(KEY.family, KEY.config, os.urandom(32)) != commit(KEY.family, KEY.config, os.urandom(32))


def test_canonical_json_keeps_integers_and_refuses_what_json_has_not() -> None:
    assert canonical_json({"b": 2**64 - 1, "a": [0.1, "é", None, True]}) == (
        '{"a":[0.1,"\\u00e9",null,true],"b":18446744073709551615}'
    )
    for value in (float("nan"), float("inf"), {1, 2}, b"x"):
        with pytest.raises(KeyFileError):
            canonical_json({"a": value})


def test_nothing_shown_holds_the_secret(key_file: Path) -> None:
    for shown in (repr(KEY), str(KEY), json.dumps(KEY.public), f"{KEY!r}"):
        assert str(SECRET) not in shown and BLINDING.hex() not in shown
    assert KEY.public == {"scheme": "gumbel", "context_width": 4}
    assert KEY.commitment[:16] in repr(KEY)


class _Scheme:
    def __init__(self, hazards: tuple[str, ...]) -> None:
        self._hazards = hazards

    def hazards(self) -> tuple[str, ...]:
        return self._hazards


class _Dialect:
    """Draws keys 0, 1, 2, ...; the hazards of each are given."""

    id, defects = "fake/1", ()

    def __init__(self, hazards: Mapping[int, tuple[str, ...]]) -> None:
        self.drawn = 0
        self._found = hazards

    def new_config(self, options: Mapping[str, Any]) -> dict[str, Any]:
        self.drawn += 1
        return {**options, "key": self.drawn - 1}

    def open(self, config: Mapping[str, Any]) -> _Scheme:
        return _Scheme(self._found.get(config["key"], ()))

    def secrets(self) -> tuple[str, ...]:
        return ("key",)


def test_keys_with_hazards_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = _Dialect({0: ("poison entry",), 1: ("poison entry", "another")})
    monkeypatch.setattr("watermark.keys.find_dialect", lambda family: dialect)
    key, hazards = new_key("fake", {"n": 1})
    assert key.config == {"n": 1, "key": 2} and hazards == () and dialect.drawn == 3


def test_hazards_of_every_key_remain_and_the_least_hazardous_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = _Dialect({draw: ("short context", "poison entry")[: 1 if draw == 3 else 2] for draw in range(100)})
    monkeypatch.setattr("watermark.keys.find_dialect", lambda family: dialect)
    key, hazards = new_key("fake", {})
    assert key.config["key"] == 3 and hazards == ("short context",) and dialect.drawn == MAX_DRAWS


def test_new_keys_differ() -> None:
    first, second = new_key("vllm-gumbel", {})[0], new_key("vllm-gumbel", {})[0]
    assert first.config["key"] != second.config["key"] and first.blinding != second.blinding
    with pytest.raises(ConfigError, match="known families"):
        new_key("no-such", {})


@pytest.mark.parametrize("name", [*PRESETS, *ALIASES])
def test_every_preset_makes_a_key_that_opens_and_shows_no_secret(name: str) -> None:
    preset = find_preset(name)
    try:
        families.find_dialect(preset.family)
    except ModuleNotFoundError:
        pytest.skip(f"{preset.family} is not part of this build")
    options = {**preset.options, **({"vocab_size": 1000} if preset.needs_vocabulary else {})}
    key, _ = new_key(preset.family, options)
    other, _ = new_key(preset.family, options)
    assert key.open().hazards() is not None
    secrets = families.find_dialect(preset.family).secrets()
    assert set(secrets) & set(key.config)
    shown = json.dumps(key.public)
    for secret in secrets:
        if secret in key.config:
            for value in key.config[secret] if isinstance(key.config[secret], list) else [key.config[secret]]:
                assert str(value) not in shown
    # Whatever differs between two keys of the same options is secret: the public half must not.
    assert key.public == other.public and key.config != other.config
    if preset.needs_vocabulary:
        with pytest.raises(ConfigError):
            new_key(preset.family, dict(preset.options))


def test_unknown_presets_name_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"exp-edit.*kgw"):
        find_preset("nonsense")
