"""`assay watermark keygen` and `detect` as people run them: figures, exit codes, one clear line for every bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.cli.main import main
from tests.integration.test_cli import ROOT, assay
from tests.unit.watermark.small_tokenizer import TEXT, train_tokenizer
from watermark.keys import load_key, new_key, save_key
from watermark.schemes.gumbel_config import read_config

PLAIN = " ".join(str(i) for i in range(300))
FAMILY = ["--family", "vllm-gumbel", "--config", '{"scheme": "gumbel", "key": 18446744073709551615}']


STRICT = ["--alpha", "1e-8"]  # no text without the mark reaches it by chance, whatever the key


def marked_ids(config: dict[str, Any], count: int, vocab_size: int = 400) -> list[int]:
    """The argmax over a uniform distribution of `vocab_size` tokens, as vLLM's Gumbel sampler draws it."""
    checked, ids = read_config(config), [-1] * 4
    for _ in range(count):
        ids.append(int(np.argmax(checked.row(np.array(ids[-4:]), vocab_size))))
    return ids[4:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """key.json (Gumbel), marked.ids, plain.ids, short.ids."""
    where = tmp_path_factory.mktemp("watermark")
    made = assay("watermark", "keygen", "--scheme", "gumbel", "-o", str(where / "made.json"), "--json")
    assert made.returncode == 0, made.stderr
    fresh = load_key(where / "made.json")
    shown = json.loads(made.stdout)
    assert shown["commitment"] == fresh.commitment and str(fresh.config["key"]) not in made.stdout + made.stderr
    key = new_key("vllm-gumbel", {})[0]  # drawn here, it is the same in every run
    save_key(key, where / "key.json")
    (where / "marked.ids").write_text(json.dumps(marked_ids(dict(key.config), 120)))
    (where / "plain.ids").write_text(PLAIN)
    (where / "short.ids").write_text("1 2 3 4 5")
    return where


@pytest.mark.parametrize(
    ("name", "decision", "code"), [("marked", "watermarked", 0), ("plain", "not_detected", 3), ("short", "inconclusive", 5)]
)
def test_verdicts_and_exit_codes(folder: Path, name: str, decision: str, code: int) -> None:
    key = ["--key", str(folder / "key.json")]
    found = assay("watermark", "detect", "--ids", str(folder / f"{name}.ids"), *key, *STRICT, "--json")
    assert found.returncode == code, found.stderr
    line = json.loads(found.stdout)
    assert line["decision"] == decision and line["key"] == load_key(folder / "key.json").commitment
    plain = assay("watermark", "detect", "--ids", str(folder / f"{name}.ids"), *key, *STRICT)
    assert plain.returncode == code and "p = " in plain.stdout
    assert ("would suffice" in plain.stdout) == (decision == "inconclusive")
    secret = str(load_key(folder / "key.json").config["key"])
    assert secret not in found.stdout + plain.stdout + found.stderr + plain.stderr


def test_keys_are_searched_and_named_by_commitment(folder: Path, tmp_path: Path) -> None:
    others = [tmp_path / f"{i}.json" for i in range(3)]
    for path in others:
        assert assay("watermark", "keygen", "--scheme", "gumbel-dual", "-o", str(path)).returncode == 0
    keys = [word for path in (*others, folder / "key.json") for word in ("--key", str(path))]
    found = json.loads(assay("watermark", "detect", "--ids", str(folder / "marked.ids"), *keys, *STRICT, "--json").stdout)
    assert found["key"] == load_key(folder / "key.json").commitment and found["decision"] == "watermarked"
    assert [row["decision"] for row in found["keys"]].count("watermarked") == 1 and found["test"]["keys"] == 4


def test_standard_input_and_inline_configuration(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from api.cli.main import main; main()",
        "watermark",
        "detect",
        "--ids",
        "-",
        *FAMILY,
        "--json",
    ]
    done = subprocess.run(command, cwd=ROOT, input=PLAIN, capture_output=True, text=True)
    assert done.returncode == 3 and json.loads(done.stdout)["id"] == "-"
    (tmp_path / "config.json").write_text(FAMILY[3])
    (tmp_path / "plain.ids").write_text(PLAIN)
    given = ["--family", "vllm-gumbel", "--config", f"@{tmp_path / 'config.json'}"]
    from_file = assay("watermark", "detect", "--ids", str(tmp_path / "plain.ids"), *given, "--json")
    assert json.loads(from_file.stdout)["log10_p_value"] == json.loads(done.stdout)["log10_p_value"]


def test_text_folder_and_page(folder: Path, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(tmp_path / "tokenizer.json")
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text(TEXT)
    (texts / "b.txt").write_bytes(b"\x00\x01")
    (texts / "c.txt").write_text("<script>alert(1)</script> " + TEXT)
    (texts / "d.txt").write_text("")
    options = ["--key", str(folder / "key.json"), "--tokenizer", str(tokenizer), *STRICT, "--json"]
    found = assay("watermark", "detect", str(texts), *options, "--html", str(tmp_path / "page.html"))
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert found.returncode == 1 and [Path(row["id"]).name for row in rows] == ["a.txt", "b.txt", "c.txt", "d.txt"]
    assert "binary" in rows[1]["error"] and "empty" in rows[3]["error"] and rows[0]["text"]["token_drift"] == 0
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page and "&lt;" in page and page.count("<svg") == 2
    assert load_key(folder / "key.json").commitment in page and str(load_key(folder / "key.json").config["key"]) not in page
    single = assay("watermark", "detect", str(texts / "a.txt"), *options)
    assert single.returncode == 5 or json.loads(single.stdout)["decision"] == "not_detected"


BAD_INPUTS: list[tuple[str, list[str], int, str]] = [
    ("no input", [*FAMILY], 2, "name a text file"),
    ("no key", ["plain.ids", "--ids"], 2, "a key is needed"),
    ("family alone", ["plain.ids", "--ids", "--family", "vllm-gumbel"], 2, "belong together"),
    ("key and family", ["plain.ids", "--ids", "--key", "key.json", *FAMILY], 2, "not both"),
    ("config no JSON", ["plain.ids", "--ids", "--family", "vllm-gumbel", "--config", "{key: 31337}"], 2, "--config is not JSON"),
    ("unknown family", ["plain.ids", "--ids", "--family", "kgw", "--config", "{}"], 1, "known families"),
    ("missing file", ["none.txt", *FAMILY], 1, "none.txt"),
    ("empty", ["empty.txt", *FAMILY], 1, "empty.txt is empty"),
    ("binary", ["binary.txt", *FAMILY], 1, "binary"),
    ("not UTF-8", ["latin.txt", *FAMILY], 1, "not UTF-8"),
    ("no tokenizer", ["text.txt", *FAMILY], 1, "--tokenizer"),
    ("tokenizer missing", ["text.txt", "--tokenizer", "none", *FAMILY], 1, "is no file"),
    ("no ids", ["text.txt", "--ids", *FAMILY], 1, "not an integer id"),
    ("negative id", ["negative.ids", "--ids", *FAMILY], 1, "token 2 is -7"),
    ("id beyond vocabulary", ["plain.ids", "--ids", "--key", "small.json"], 1, "token 250 is 250, outside"),
    ("wrong tokenizer", ["text.txt", "--tokenizer", "tokenizer.json", "--key", "small.json"], 1, "another model's tokenizer"),
    ("bound tokenizer", ["text.txt", "--tokenizer", "other.json", "--key", "bound.json"], 1, "made for another tokenizer"),
    ("key open to others", ["plain.ids", "--ids", "--key", "open.json"], 1, "chmod 600"),
    ("no key file", ["plain.ids", "--ids", "--key", "private.txt"], 1, "no watermark key"),
    ("too large", ["large.txt", "--tokenizer", "tokenizer.json", *FAMILY], 1, "larger than 16777216 bytes; split it"),
    ("bad alpha", ["plain.ids", "--ids", *FAMILY, "--alpha", "2"], 2, "alpha"),
    ("bad normalisation", ["plain.ids", "--ids", *FAMILY, "--normalise", "truecase"], 2, "homoglyphs"),
    ("batch and ids", ["--batch", "x.jsonl", "--ids"], 2, "do not go with --batch"),
    ("batch missing", ["--batch", "none.jsonl"], 1, "none.jsonl: No such file"),
    ("batch empty", ["--batch", "empty.txt"], 1, "is empty"),
]


@pytest.fixture(scope="module")
def bad(folder: Path) -> Path:
    (folder / "text.txt").write_text(TEXT)
    (folder / "empty.txt").write_text("\n")
    (folder / "binary.txt").write_bytes(bytes(range(256)))
    (folder / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    (folder / "negative.ids").write_text("1 2 -7")
    (folder / "open.json").write_text("{}")
    (folder / "private.txt").write_text(TEXT)
    (folder / "private.txt").chmod(0o600)
    with (folder / "large.txt").open("wb") as stream:
        stream.truncate((1 << 24) + 1)
    train_tokenizer(folder / "tokenizer.json")
    train_tokenizer(folder / "other.json", 399)
    for name, extra in (("small", ["--vocab-size", "250"]), ("bound", ["--tokenizer", str(folder / "tokenizer.json")])):
        made = assay("watermark", "keygen", "--scheme", "gumbel", "-o", str(folder / f"{name}.json"), *extra)
        assert made.returncode == 0, made.stderr
    return folder


Capture = pytest.CaptureFixture[str]


def run_here(capsys: Capture, *arguments: str) -> tuple[int, str, str]:
    """Run `assay watermark` in this process: exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as stop:
        main(["watermark", *arguments])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.mark.parametrize(
    ("arguments", "code", "message"), [case[1:] for case in BAD_INPUTS], ids=[case[0] for case in BAD_INPUTS]
)
def test_bad_input_is_one_clear_line(
    bad: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(bad)
    found, out, err = run_here(capsys, "detect", *arguments)
    assert found == code and message in " ".join(err.replace("│", " ").split()), err
    assert "Traceback" not in err and out == ""
    assert "31337" not in err and "18446744073709551615" not in err
    if code == 1:
        assert len(err.splitlines()) == 1


def test_json_names_the_error_too(bad: Path) -> None:
    done = assay("watermark", "detect", "empty.txt", *FAMILY, "--json", cwd=bad)
    assert done.returncode == 1 and json.loads(done.stdout) == {"id": "empty.txt", "error": "empty.txt is empty"}


def test_batches_name_bad_lines_and_go_on(bad: Path) -> None:
    config = json.loads(FAMILY[3])
    rows = [
        json.dumps({"id": "a", "family": "vllm-gumbel", "config": config, "input_ids": list(range(300))}),
        "{",
        json.dumps({"id": "c", "key": "key.json", "input_ids": json.loads((bad / "marked.ids").read_text())}),
        json.dumps({"id": "d", "key": "key.json", "text": TEXT}),
        json.dumps({"id": "e", "key": "key.json", "input_ids": [1, "x"]}),
    ]
    (bad / "batch.jsonl").write_text("\n".join(rows) + "\n")
    options = ["--batch", str(bad / "batch.jsonl"), "--tokenizer", str(bad / "tokenizer.json")]
    done = assay("watermark", "detect", *options, "--json", "--jobs", "2", cwd=ROOT)  # key files lie beside the batch
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and [row["id"] for row in found] == ["a", None, "c", "d", "e"]
    assert [row.get("line") for row in found] == [None, 2, None, None, 5] and "2 of 5 lines" in done.stderr
    assert found[2]["decision"] == "watermarked" and "line 5: token 1 is 'x'" in found[4]["error"]
    assert assay("watermark", "detect", *options, "--json", "--jobs", "1", cwd=ROOT).stdout == done.stdout
    (bad / "good.jsonl").write_text("\n".join([rows[0], rows[2]]))
    good = assay("watermark", "detect", "--batch", "good.jsonl", cwd=bad)
    assert good.returncode == 0 and good.stderr == "" and [line.split()[:2] for line in good.stdout.splitlines()] == [
        ["a", "not_detected"], ["c", "watermarked"]
    ]  # fmt: skip


@pytest.mark.slow
def test_ten_megabytes_of_text_are_read(bad: Path) -> None:
    (bad / "long.txt").write_text((TEXT * (10_000_000 // len(TEXT) + 1))[:10_000_000])
    program = (
        "import sys\nfrom api.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "finally:\n    print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
    )
    arguments = ["watermark", "detect", "long.txt", "--tokenizer", "tokenizer.json", *FAMILY, "--json"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=bad,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode in (3, 5), done.stderr
    assert json.loads(done.stdout)["num_tokens"] > 2_000_000
    assert int(done.stderr.split()[-1]) < 1_000_000  # KiB; ru_maxrss would count what the process that started it had in memory


def test_interrupting_a_batch_ends_it_quietly(bad: Path) -> None:
    row = json.dumps({"id": 1, "key": "key.json", "input_ids": list(range(2000))}) + "\n"
    (bad / "many.jsonl").write_text(row * 20_000)
    command = [
        sys.executable,
        "-c",
        "from api.cli.main import main; main()",
        "watermark",
        "detect",
        "--batch",
        "many.jsonl",
        "--json",
    ]
    process = subprocess.Popen(
        [*command, "--jobs", "2"], cwd=bad, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does on Ctrl-C: to the workers as well
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err and len(err.splitlines()) <= 1, err


@pytest.mark.parametrize("scheme", ["gumbel", "selfhash", "exp", "synthid"])
def test_detection_on_ids_loads_nothing_heavy(folder: Path, tmp_path: Path, capsys: Capture, scheme: str) -> None:
    made = run_here(capsys, "keygen", "--scheme", scheme, "--vocab-size", "1000", "-o", str(tmp_path / "key.json"))
    assert made[0] == 0, made[2]
    heavy = ("torch", "transformers", "tokenizers", "numba", "scipy", "sqlalchemy", "httpx", "rich")
    program = (
        "import sys\nfrom api.cli.main import main\n"
        f"try:\n    main(sys.argv[1:])\nfinally:\n    print([m for m in {heavy!r} if m in sys.modules], file=sys.stderr)\n"
    )
    arguments = ["watermark", "detect", "--ids", str(folder / "plain.ids"), "--key", str(tmp_path / "key.json"), "--json"]
    done = subprocess.run([sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode in (0, 3, 5) and done.stderr.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "either --scheme"),
        (["--scheme", "gumbel", "--family", "synthid"], 2, "either --scheme"),
        (["--scheme", "nonsense"], 1, "known schemes"),
        (["--family", "nonsense"], 1, "known families"),
        (["--scheme", "selfhash"], 2, "--vocab-size"),
        (["--scheme", "gumbel", "--option", "nonsense"], 2, "name=value"),
        (["--scheme", "gumbel", "--option", "nonsense=1"], 1, "unknown"),
        (["--scheme", "gumbel", "--option", "context_width=0"], 1, "context_width"),
        (["--scheme", "gumbel", "--tokenizer", "none"], 1, "is no file"),
    ],
)
def test_keygen_refuses_clearly_and_leaves_no_file(
    tmp_path: Path, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    found, _, err = run_here(capsys, "keygen", "-o", str(tmp_path / "key.json"), *arguments)
    assert found == code and message in " ".join(err.split()), err
    assert list(tmp_path.iterdir()) == []


def test_keygen_takes_options_and_never_overwrites(tmp_path: Path) -> None:
    out = str(tmp_path / "key.json")
    options = ["--family", "vllm-gumbel", "--option", "context_width=2", "--option", "deduplicate_contexts=false", "-o", out]
    made = assay("watermark", "keygen", *options)
    assert made.returncode == 0 and "hazard" in made.stdout and (tmp_path / "key.json").stat().st_mode & 0o777 == 0o600
    key = load_key(tmp_path / "key.json")
    assert key.config["context_width"] == 2 and key.config["deduplicate_contexts"] is False and key.created is not None
    assert key.commitment in made.stdout and str(key.config["key"]) not in made.stdout
    again = assay("watermark", "keygen", *options)
    assert again.returncode == 1 and "never overwritten" in again.stderr and load_key(tmp_path / "key.json") == key
