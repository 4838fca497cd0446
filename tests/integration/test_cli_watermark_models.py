"""Text written by a model through the command line: found under its key and no other; audits of the mark."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from tests.unit.watermark.small_tokenizer import TEXT, train_tokenizer
from watermark.families import find_dialect
from watermark.keys import load_key, save_key
from watermark.presets import PRESETS

torch = pytest.importorskip("torch")
transformers: Any = pytest.importorskip("transformers")
Capture = pytest.CaptureFixture[str]
LOGITS = 416  # more than the tokenizer's 400 entries, as in many published models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory with random weights: its text has no sense and much entropy."""
    folder = tmp_path_factory.mktemp("model")
    train_tokenizer(folder / "tokenizer.json")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"})
    )
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=LOGITS, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=512, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    made = transformers.LlamaForCausalLM(config)
    with torch.no_grad():
        made.lm_head.weight *= 25  # about 3 nats a token: selfhash boosts the 41 likeliest candidates only
    made.save_pretrained(folder)
    return folder


@pytest.fixture
def run(capsys: Capture) -> Any:
    """Run `assay watermark` in this process: exit code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["watermark", *arguments])
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return call


def make_key(run: Any, path: Path, model: Path, scheme: str) -> Path:
    code, _, err = run("keygen", "--scheme", scheme, "--tokenizer", str(model), "-o", str(path))
    assert code == 0, err
    return path


@pytest.mark.parametrize("scheme", sorted(PRESETS))
def test_every_scheme_is_written_and_read(run: Any, model: Path, tmp_path: Path, scheme: str) -> None:
    key = make_key(run, tmp_path / "key.json", model, scheme)
    other = make_key(run, tmp_path / "other.json", model, scheme)
    assert load_key(key).config["vocab_size"] == LOGITS  # the width of the logits, not the tokenizer's size
    asked = ["generate", "--model", str(model), "--device", "cpu", "--prompt", "A watermark"]
    asked += ["--max-new-tokens", "120", "--min-new-tokens", "120"]
    code, out, err = run(*asked, "--key", str(key), "-o", str(tmp_path / "out.jsonl"), "--json")
    assert code == 0 and (tmp_path / "out.jsonl").read_text() == out, err
    row = json.loads(out)
    assert row["marked_with"] == load_key(key).commitment and len(row["input_ids"]) == 120
    opened = load_key(key)
    for name in set(find_dialect(opened.family).secrets()) & set(opened.config):
        assert json.dumps(opened.config[name]) not in out
    detect = ["detect", "--batch", str(tmp_path / "out.jsonl"), "--jobs", "1", "--seed", "1", "--json"]
    code, out, err = run(*detect, "--key", str(key))
    assert code == 0 and json.loads(out)["decision"] == "watermarked", (out, err)
    code, out, _ = run(*detect, "--key", str(other), "--alpha", "1e-6")  # keys are random, and the test must not be
    assert code == 0 and json.loads(out)["decision"] != "watermarked"


def test_prompts_seeds_and_unmarked_text(run: Any, model: Path, tmp_path: Path) -> None:
    prompts = [{"id": "a", "prompt": "Tokens and keys"}, {"id": 7, "input_ids": [5, 6, 7]}]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    asked = [
        "generate",
        "--model",
        str(model),
        "--prompts",
        str(tmp_path / "prompts.jsonl"),
        "--no-mark",
        "--max-new-tokens",
        "20",
    ]
    first = [json.loads(line) for line in run(*asked, "--json")[1].splitlines()]
    again = [json.loads(line) for line in run(*asked, "--json")[1].splitlines()]
    other = [json.loads(line) for line in run(*asked, "--json", "--seed", "5")[1].splitlines()]
    assert first == again and [row["id"] for row in first] == ["a", 7]
    assert first[0]["input_ids"] != other[0]["input_ids"] and first[0]["marked_with"] is None
    assert first[0]["sampling"]["max_new_tokens"] == 20 and len(first[0]["model_digest"]) == 64
    text = [json.loads(line) for line in run(*asked, "--json", "--text")[1].splitlines()]
    assert [row["text"] for row in text] == [row["generated_text"] for row in first]
    assert [row["generated_ids"] for row in text] == [row["input_ids"] for row in first]


def test_one_answer_as_bare_text(run: Any, model: Path, tmp_path: Path) -> None:
    key = make_key(run, tmp_path / "key.json", model, "gumbel")
    out = tmp_path / "out.txt"
    code, printed, err = run("generate", "--model", str(model), "--key", str(key), "--prompt", TEXT[:40], "-o", str(out))
    assert code == 0 and printed == "" and "wrote" in err and out.read_text()
    code, printed, err = run("detect", str(out), "--key", str(key), "--tokenizer", str(model), "--json")
    assert code in (0, 3, 5) and json.loads(printed)["text"]["characters"] == len(out.read_text())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--prompt", "x"], 2, "--no-mark without a key"),
        (["--prompt", "x", "--key", "k", "--no-mark"], 2, "--no-mark without a key"),
        (["--no-mark"], 2, "give --prompt"),
        (["--no-mark", "--prompt", "x", "--prompts", "y"], 2, "give --prompt"),
        (["--no-mark", "--prompt", "x", "--prompt", "y", "-o", "z.txt"], 2, "takes one answer"),
        (["--no-mark", "--prompts", "none.jsonl"], 1, "none.jsonl"),
        (["--no-mark", "--prompts", "bad.jsonl"], 1, "line 2: this line is not JSON"),
        (["--no-mark", "--prompts", "ids.jsonl"], 1, "line 1: token 1 is 'x'"),
        (["--prompt", "x", "--key", "none.json"], 1, "none.json"),
        (["--prompt", "x", "--key", "narrow.json"], 1, "make a key with --vocab-size 416"),
        (["--no-mark", "--prompt", "x", "--max-new-tokens", "5000"], 1, "exceed the model's context"),
    ],
)
def test_bad_calls_are_one_clear_line(
    run: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text('{"id": 1, "prompt": "x"}\n{')
    (tmp_path / "ids.jsonl").write_text('{"id": 1, "input_ids": [1, "x"]}')
    assert run("keygen", "--scheme", "unigram", "--vocab-size", "400", "-o", "narrow.json")[0] == 0
    found, out, err = run("generate", "--model", str(model), *arguments)
    assert found == code and message in " ".join(err.replace("│", " ").split()) and out == "", err
    assert not (tmp_path / "z.txt").exists()


def test_a_folder_without_a_model_is_named(run: Any, tmp_path: Path) -> None:
    code, _, err = run("generate", "--model", str(tmp_path), "--no-mark", "--prompt", "x")
    assert code == 1 and "config.json" in err and len(err.splitlines()) == 1


@pytest.mark.slow
def test_robustness_is_audited_here_and_repeats(run: Any, model: Path, tmp_path: Path) -> None:
    key = make_key(run, tmp_path / "key.json", model, "gumbel")
    drawn = load_key(key)
    key.unlink()
    save_key(
        replace(drawn, config={**drawn.config, "key": 8675309867530986}), key
    )  # another key may detect one of five by chance
    asked = ["robustness", "--key", str(key), "--model", str(model), "--device", "cpu", "--seed", "4", "--json"]
    for param in ("texts=5", "lengths=[40]", 'attacks=["substitution"]', "rates=[0.9]", "prompt_tokens=4"):
        asked += ["--param", param]
    code, out, err = run(*asked, "-o", str(tmp_path / "audit"))
    found = json.loads(out)
    assert code == 5 and found["verdict"] == "inconclusive", err  # five texts cannot show a power of 0.8
    cells = {(cell["attack"], cell["detected"]) for cell in found["outputs"]["cells"]}
    assert cells == {("none", 5), ("substitution", 0)} and found["key"] == load_key(key).commitment
    assert (tmp_path / "audit/figure.svg").read_text().startswith("<svg") and (tmp_path / "audit/evidence/report.json").is_file()
    kept = "".join(path.read_text() for path in (tmp_path / "audit").rglob("*") if path.is_file())
    assert str(load_key(key).config["key"]) not in kept + out + err
    assert run(*asked)[1] == out
    again, _, err = run(*asked, "-o", str(tmp_path / "audit"))
    assert again == 2 and "not empty" in err


@pytest.mark.parametrize("command", ["robustness", "distortion", "steal"])
def test_audits_refuse_unknown_parameters(run: Any, model: Path, tmp_path: Path, command: str) -> None:
    key = make_key(run, tmp_path / "key.json", model, "gumbel")
    code, out, err = run(command, "--key", str(key), "--model", str(model), "--param", "nonsense=1")
    assert code == 1 and out == "" and len(err.splitlines()) == 1 and "nonsense" in err
