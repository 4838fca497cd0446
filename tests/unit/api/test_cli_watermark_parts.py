"""Parts of `assay watermark`: options, model folders, colours on a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from api.cli.exits import CommandError
from api.cli.watermark import terminal
from api.cli.watermark.key_options import parse_options, read_object
from api.cli.watermark.model_options import logits_width, tokenizer_path
from audit.runners.protocol import RunnerError
from watermark.detection import Detection, Span, TokenScore
from watermark.examination import Examination
from watermark.tokenization import Encoded


def test_options_are_json_where_they_can_be() -> None:
    found = parse_options(["a=1", "b=0.5", "c=true", "d=EXP-edit", "e=[1, 2]", "f=x=y", "g="])
    assert found == {"a": 1, "b": 0.5, "c": True, "d": "EXP-edit", "e": [1, 2], "f": "x=y", "g": ""}
    for bad in ("a", "=1", ""):
        with pytest.raises(CommandError, match="name=value"):
            parse_options([bad])


def test_configurations_keep_integers_and_are_never_repeated(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"key": 18446744073709551615}')
    assert read_object(f"@{tmp_path / 'c.json'}", "--config") == {"key": 2**64 - 1}
    for bad in ('{"key": 31337', "[31337]", '{"a":' * 50_000):
        with pytest.raises(CommandError) as refused:
            read_object(bad, "--config")
        assert "31337" not in refused.value.message
    with (tmp_path / "large").open("wb") as stream:
        stream.truncate((1 << 20) + 1)
    with pytest.raises(CommandError, match="larger than"):
        read_object(f"@{tmp_path / 'large'}", "--config")


@pytest.mark.parametrize(
    ("content", "width"),
    [('{"vocab_size": 50272}', 50272), ('{"vocab_size": "9"}', None), ("{}", None), ("[", None), ("[]", None), (None, None)],
)
def test_the_width_of_the_logits_comes_from_the_model(tmp_path: Path, content: str | None, width: int | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    assert logits_width(tmp_path) == width


def test_names_that_are_paths_stay_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tokenizer_path(None) is None
    for name in ("model", "tinyer", "a/tiny"):
        assert tokenizer_path(Path(name)) == Path(name)
    with pytest.raises(RunnerError, match="whole number"):
        tokenizer_path(Path("tiny:x"))
    (tmp_path / "tiny").mkdir()  # what lies there was meant
    assert tokenizer_path(Path("tiny")) == Path("tiny")


def test_a_terminal_shows_verdict_and_colours_and_obeys_nobody() -> None:
    text = "one \x1b[2Jtwo"
    scores = (TokenScore(0, 1.0, True, True), TokenScore(1, 0.0, False, True))
    found = Detection(
        "green-list", "lm/1", 2, 2, 0.001, -20.0, {"method": "binomial"}, 100, 50, tokens=scores, spans=(Span(1, 2, 1e-5),)
    )
    encoded = Encoded(np.array([4, 5]), np.array([[0, 3], [4, len(text)]]))
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=200, highlight=False)
    terminal.print_examination(Examination("a", found, np.array([4, 5]), "c" * 64, (), text, encoded), console)
    shown = out.getvalue()
    assert "watermarked: p = 2.1e-9" in shown and "c" * 64 in shown
    assert "\x1b[30;42mone" in shown and "\\x1b[2Jtwo" in shown and "\x1b[2J" not in shown
    assert "\x1b[4;30;41m" in shown
