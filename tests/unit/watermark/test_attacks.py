"""Edit attacks do what their rate says, repeat by seed, and never change what they were given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from watermark.attacks.characters import HOMOGLYPHS, SPACES, ZERO_WIDTH
from watermark.attacks.copy_paste import CopyPaste
from watermark.attacks.protocol import AttackResources, Codec, TextAttack, TokenAttack, TokenDistribution, apply_attack
from watermark.attacks.regeneration import Regeneration, split_sentences
from watermark.attacks.registry import ATTACKS, TEXT_ATTACKS, build_attack
from watermark.attacks.synonyms import Synonyms, bundled_synonyms
from watermark.attacks.truncation import Truncation
from watermark.errors import AttackError

TEXT = "The big house stood near the road. People often said it was strange! Nobody knew why?\nThen a child found the reason."
IDS = np.arange(1000, 1200)
CLEAN = tuple(np.full(150, 5 + i) for i in range(3))


def everything() -> AttackResources:
    return AttackResources(TokenDistribution.uniform(500), CLEAN, None, lambda texts: [text.upper() for text in texts])


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack(name: str) -> None:
    attack = build_attack(name, everything())
    assert attack.name == name and isinstance(attack, TextAttack) == (name in TEXT_ATTACKS)
    edit: Callable[[Any, float, np.random.Generator], Any]
    edit, given = (attack.edit_text, TEXT) if isinstance(attack, TextAttack) else (attack.edit_tokens, IDS.copy())
    assert np.array_equal(edit(given, 0.0, rng()), given)
    assert np.array_equal(edit(given, 0.5, rng()), edit(given, 0.5, rng()))
    assert not np.array_equal(edit(given, 0.5, rng()), given)
    edit(given, 1.0, rng())
    edit(given[:0], 0.5, rng())
    edit(given[:1], 1.0, rng())
    assert np.array_equal(given, TEXT if isinstance(given, str) else IDS)
    for wrong in (-0.1, 1.1, float("nan"), "x", True):
        with pytest.raises(AttackError):
            edit(given, wrong, rng())  # type: ignore[arg-type]


def test_token_edits_touch_exactly_their_share() -> None:
    def edited(name: str, rate: float) -> Any:
        attack = build_attack(name, everything())
        assert isinstance(attack, TokenAttack)
        return attack.edit_tokens(IDS, rate, rng())

    assert (edited("substitution", 0.4) != IDS).sum() == 80
    inserted = edited("insertion", 0.4)
    assert inserted.size == 280 and np.array_equal(inserted[inserted >= 1000], IDS)
    deleted = edited("deletion", 0.25)
    assert deleted.size == 150 and np.array_equal(deleted, np.sort(deleted))
    swapped = edited("swap", 0.3)
    assert (swapped != IDS).sum() == 60 and np.array_equal(np.sort(swapped), IDS) and np.abs(swapped - IDS).max() == 1
    assert (edited("swap", 1.0) != IDS).all()


def test_substitution_never_keeps_the_token() -> None:
    attack = build_attack("substitution", AttackResources(TokenDistribution([0.7, 0.3])))
    assert isinstance(attack, TokenAttack)
    assert (attack.edit_tokens(np.zeros(50, dtype=np.int64), 1.0, rng()) == 1).mean() > 0.95


def test_distribution() -> None:
    drawn = TokenDistribution.of_texts([np.array([3, 3, 3, 1])]).draw(4000, rng())
    assert set(drawn.tolist()) == {1, 3} and 0.72 < (drawn == 3).mean() < 0.78
    assert set(TokenDistribution.uniform(4).draw(200, rng()).tolist()) == {0, 1, 2, 3}
    for wrong in ([], [0.0], [-1.0, 2.0], [float("nan")], [[1.0]]):
        with pytest.raises(AttackError):
            TokenDistribution(wrong)
    with pytest.raises(AttackError):
        TokenDistribution.of_texts([])


def test_truncation() -> None:
    assert np.array_equal(Truncation("start").edit_tokens(IDS, 0.9, rng()), IDS[180:])
    assert np.array_equal(Truncation("end").edit_tokens(IDS, 0.9, rng()), IDS[:20])
    around = Truncation().edit_tokens(IDS, 0.9, rng())
    assert around.size == 20 and np.array_equal(around, np.arange(around[0], around[0] + 20))


@pytest.mark.parametrize("segments", [1, 3, 20])
def test_copy_paste(segments: int) -> None:
    for seed in range(20):
        mixed = CopyPaste(CLEAN, segments).edit_tokens(IDS, 0.8, rng(seed))
        marked = mixed >= 1000
        assert mixed.size == 200 and marked.sum() == 40 and np.array_equal(mixed[marked], IDS[:40])
        pieces = int((np.diff(np.r_[0, marked.astype(int)]) == 1).sum())
        assert 1 <= pieces <= segments
    assert CopyPaste(CLEAN).edit_tokens(np.arange(1000, 2000), 1.0, rng()).max() < 1000  # longer than any clean text
    for wrong in ((CLEAN, 0), ((), 1), ((IDS[:0],), 1)):
        with pytest.raises(AttackError):
            CopyPaste(*wrong)


def test_characters_are_restored_by_normalisation() -> None:
    back = {look: letter for letter, look in HOMOGLYPHS.items()}
    assert len(HOMOGLYPHS) == 26 and not set(back) & set(HOMOGLYPHS)

    def edited(name: str) -> str:
        attack = build_attack(name)
        assert isinstance(attack, TextAttack)
        return attack.edit_text(TEXT, 0.5, rng())

    assert "".join(back.get(letter, letter) for letter in edited("homoglyphs")) == TEXT
    hidden = edited("zero-width")
    assert len(hidden) == len(TEXT) + round(len(TEXT) / 2)
    assert "".join(letter for letter in hidden if letter not in ZERO_WIDTH) == TEXT
    spaced = edited("white-space")
    assert spaced.split() == TEXT.split() and any(space in spaced for space in SPACES)


def test_synonyms() -> None:
    table = bundled_synonyms()
    assert len(table) > 300 and all(word not in others for word, others in table.items())
    words = [word for others in table.values() for word in others]
    assert set(words) == set(table), "each word stands in one group"
    text = Synonyms({"big": ["vast"], "the": ["a"]}).edit_text("The BIG, big thing", 1.0, rng())
    assert text == "A VAST, vast thing"
    changed = Synonyms().edit_text(TEXT, 1.0, rng())
    assert changed != TEXT and len(changed.split()) == len(TEXT.split())
    with pytest.raises(AttackError):
        Synonyms({"big": []})


def test_regeneration() -> None:
    assert "".join(split_sentences(TEXT)) == TEXT and len(split_sentences(TEXT)) == 4
    asked: list[list[str]] = []

    def rewrite(texts: Any) -> list[str]:
        asked.append(list(texts))
        return ["<new>" for _ in texts]

    assert Regeneration(rewrite).edit_text(TEXT, 1.0, rng()) == "<new>" and asked == [[TEXT]]
    half = Regeneration(rewrite).edit_text(TEXT, 0.5, rng(3))
    assert "<new>" in half and any(sentence in half for sentence in split_sentences(TEXT))
    for broken in (lambda texts: [], lambda texts: [1 for _ in texts]):
        with pytest.raises(AttackError):
            Regeneration(broken).edit_text(TEXT, 1.0, rng())


def test_text_attacks_on_token_ids_go_through_the_tokenizer() -> None:
    codec = Codec(lambda text: [ord(letter) for letter in text], lambda ids: "".join(map(chr, ids)))
    ids = np.array([ord(letter) for letter in TEXT])
    edited = apply_attack(build_attack("homoglyphs"), ids, 1.0, rng(), codec)
    assert edited.size == ids.size and (edited > 0x370).sum() == sum(letter in HOMOGLYPHS for letter in TEXT)
    with pytest.raises(AttackError, match="tokenizer"):
        apply_attack(build_attack("homoglyphs"), ids, 1.0, rng())


def test_missing_resources_are_named() -> None:
    for name in ("substitution", "insertion", "copy-paste", "regeneration", "unheard"):
        with pytest.raises(AttackError):
            build_attack(name)
