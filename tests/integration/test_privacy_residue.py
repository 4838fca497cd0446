"""After a run, no input value lies anywhere but in the subject's own files: not in a file, a log, a row, an answer, an exception.

Values are sought in every form of `privacy.redaction.forms_of`: plain, digits only, base64, hex, URL-encoded.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.cli.main import app, main
from privacy.redaction import find_residue, forms_of
from tests.integration.conftest import ROOT, ServiceProcesses
from tests.integration.test_privacy_audits import Echoes, ask, behind_http, register, tiny
from tests.integration.waiting import wait_until
from tests.unit.audit.privacy.people import sign

__all__ = ["tiny"]
VALUES = (
    ("name", "Wystan Orchardson"),
    ("phone", "+1 920-555-0169"),
    ("email", "wystan.o@orchardson.example"),
    ("address", "418 Thistlecombe Lane, Fennwick, OH 44001"),
)
SECRETS = [*(value for _, value in VALUES), "Orchardson", "Thistlecombe"]
PHONE = dict(VALUES)["phone"]
QUICK = ("--alpha", "0.1", "--decoys", "29", "--nulls", "19")
TEMPLATES = "call\ttwin\tphone\t{name} can be called at\nwrite\ttwin\temail\t{name} writes from\n"


def test_a_planted_value_would_be_found(tmp_path: Path) -> None:
    """The search itself: every form, in the middle of other bytes."""
    for secret in SECRETS:
        for form in forms_of(secret):
            assert find_residue(b"\0before" + form + b"after\xff", [secret]) == [0]


@dataclass
class Watched:
    """A machine of the test's own: everything that a command could write to lies below one folder, all that it says is kept."""

    root: Path
    cache: Path
    started: float = field(default_factory=time.time)
    said: bytes = b""
    raised: list[BaseException] = field(default_factory=list)

    @property
    def own(self) -> Path:
        """The subject's own files; the only place for values."""
        return self.root / "own"

    @property
    def out(self) -> Path:
        return self.root / "run"

    def files(self) -> list[Path]:
        """All files but the subject's own, those that a run changed in the model cache included."""
        cached = [path for path in self.cache.rglob("*") if path.is_file() and path.stat().st_mtime >= self.started - 1]
        return [path for path in self.root.rglob("*") if path.is_file() and self.own not in path.parents] + cached

    def check(self) -> None:
        """Nothing of a value in what was written, said, logged or raised."""
        for path in self.files():
            assert find_residue(str(path.relative_to(path.anchor)).encode() + b"\0" + path.read_bytes(), SECRETS) == [], path
        assert find_residue(self.said, SECRETS) == []
        for error in self.raised:
            for one in chain(error):
                told = "".join(traceback.format_exception(one)) + repr(one) + str(one) + repr(one.args) + repr(vars(one))
                assert find_residue(told.encode(), SECRETS) == [], type(one)


def chain(error: BaseException) -> Iterator[BaseException]:
    """An exception with all that stands behind it, shown or suppressed."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            left += [one.__cause__, one.__context__]


class Kept:
    """A runner that stays open for the tests after this one."""

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def close(self) -> None:
        pass


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    pytest.importorskip("torch")
    from audit.runners.tiny import cache_folder
    from tests import tiny_model

    loaded = {name: tiny_model.runner(recipe=name) for name in ("tiny", "tiny-small")}
    monkeypatch.setattr("audit.runners.opening.open_runner", lambda spec, **named: Kept(loaded[spec]))
    found = Watched(tmp_path, cache_folder())
    monkeypatch.setenv("ASSAY_CACHE", str(found.cache))
    for name, folder in (("HOME", "home"), ("TMPDIR", "tmp"), ("XDG_STATE_HOME", "state"), ("XDG_CONFIG_HOME", "config")):
        (tmp_path / folder).mkdir()
        monkeypatch.setenv(name, str(tmp_path / folder))
    for folder in ("own", "cwd"):
        (tmp_path / folder).mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.chdir(tmp_path / "cwd")
    (tmp_path / "templates.tsv").write_text(TEMPLATES)
    return found


@pytest.fixture
def run(watched: Watched, capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., int]]:
    """`assay privacy ...` in this process, with every log record of any level and every warning kept."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)

    def call(*words: str) -> int:
        with warnings.catch_warnings(record=True) as warned, pytest.raises(SystemExit) as stopped:
            warnings.simplefilter("always")
            main(["privacy", *words])
        out, err = capfd.readouterr()
        watched.said += (out + err + stream.getvalue() + "".join(str(one.message) for one in warned)).encode()
        watched.raised.append(stopped.value)
        return int(stopped.value.code or 0)

    yield call
    root.removeHandler(handler)
    root.setLevel(before)


@pytest.fixture
def probe(watched: Watched, run: Callable[..., int], monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """A subject who signed on the command line, and the words of a probe of theirs."""
    own = watched.own
    typed = "".join(f"{type_}={value}\n" for type_, value in VALUES)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
    assert run("subject", "new", "--from", "-", "-o", str(own / "subject.json")) == 0
    words = (
        "--model",
        "tiny",
        "--purpose",
        "does it know me?",
        "--types",
        "phone,email",
        "-o",
        str(watched.root / "request.json"),
    )
    assert run("subject", "sign", "--subject", str(own / "subject.json"), *words, "--openings", str(own / "openings.json")) == 0
    given = ("--request", str(watched.root / "request.json"), "--openings", str(own / "openings.json"), "--device", "cpu")
    templates = ("--templates", str(watched.root / "templates.tsv"))
    return ("probe", *given, "--model", "tiny", *QUICK, *templates, "-o", str(watched.out))


@pytest.mark.slow
def test_a_run_with_its_reference(watched: Watched, run: Callable[..., int], probe: tuple[str, ...]) -> None:
    assert run(*probe, "--reference", "tiny-small") in (0, 3, 5)
    assert {path.name for path in watched.out.iterdir()} >= {"result.json", "figure.svg", "run.json", "kept"}
    assert run(*probe, "--reference", "tiny-small", "--json") in (0, 3, 5)  # again, from what was kept
    assert run(*probe[:-2], "--reference", "tiny-small") == 1  # a second use
    watched.check()
    assert any(b"measured" in path.read_bytes() for path in watched.files())
    assert (
        run("subject", "erase", "--subject", str(watched.own / "subject.json"), "--openings", str(watched.own / "openings.json"))
        == 0
    )
    assert list(watched.own.iterdir()) == []


def _quoting(error: type[Exception], reached: list[bool]) -> Callable[..., Any]:
    """What other people's code does: it raises, and its words and those behind them quote what it was given."""

    def fail(*arguments: Any, **named: Any) -> Any:
        reached.append(True)
        try:
            raise KeyError(f"cannot find {PHONE!r}")
        except KeyError as cause:
            raise error(f"Wystan Orchardson: no such thing as {PHONE} or wystan.o%40orchardson.example") from cause

    return fail


PLACES = {
    "scoring": "audit.runners.transformers_runner.TransformersRunner.score_candidates",
    "tokenizing": "audit.runners.transformers_runner.TransformersRunner.tokenize",
    "matching": "privacy.matching.matchers.Matcher.find",
    "ranking": "privacy.probes.scoring.rank_of",
    "keeping": "api.cli.privacy.run_folder.RunFolder.write",
    "drawing": "api.cli.privacy.rank_figure.draw_ranks",
    "inventing": "privacy.invented.people.draw_people",
    "judging": "privacy.probes.black_box.judge",
    "printing": "api.cli.privacy.result_table.describe",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "error"), [*((place, RuntimeError) for place in PLACES), ("scoring", OSError), ("judging", MemoryError)]
)
def test_a_crash_in_the_middle(
    place: str, error: type[Exception], watched: Watched, run: Callable[..., int], probe: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    text = ("--tier", "text", "--samples", "6") if place == "matching" else ()
    reached: list[bool] = []
    monkeypatch.setattr(PLACES[place], _quoting(error, reached))
    if error is RuntimeError:
        monkeypatch.setenv("ASSAY_TRACEBACKS", "1")
    assert run(*probe, *text) == 1 and reached
    watched.check()


@pytest.mark.slow
def test_a_result_that_held_a_value_is_not_written(
    watched: Watched, run: Callable[..., int], probe: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last look: whatever defect put a value into a file."""
    monkeypatch.setattr("api.cli.privacy.rank_figure.draw_ranks", lambda result: f"<svg><text>{PHONE}</text></svg>")
    assert run(*probe) == 1
    assert not (watched.out / "result.json").exists() and not (watched.out / "figure.svg").exists()
    watched.check()


@pytest.mark.slow
def test_an_interrupt_and_a_kill(
    watched: Watched, run: Callable[..., int], probe: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privacy.probes.black_box.ROWS_AT_ONCE", 100)
    calls = []

    def interrupt(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return genuine(*arguments, **named)

    from privacy.probes import black_box

    genuine = black_box.rank_targets
    monkeypatch.setattr(black_box, "rank_targets", interrupt)
    assert run(*probe) == 130
    assert len(list((watched.out / "kept").iterdir())) == 2
    watched.check()
    dies = (
        "import os, signal, sys, faulthandler; faulthandler.enable(); from privacy.probes import black_box;"
        "black_box.ROWS_AT_ONCE = 100; genuine = black_box.rank_targets; calls = []\n"
        "def die(*a, **k):\n"
        "    calls.append(1)\n"
        "    return genuine(*a, **k) if len(calls) < 3 else os.kill(os.getpid(), int(os.environ['DIE_BY']))\n"
        "black_box.rank_targets = die\n"
        "from api.cli.main import main; main(['privacy', *sys.argv[1:]])"
    )
    for number in (signal.SIGKILL, signal.SIGABRT):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DIE_BY": str(int(number)), "OMP_NUM_THREADS": "1"}
        child = subprocess.run([sys.executable, "-c", dies, *probe], env=environment, capture_output=True, timeout=300)
        assert child.returncode == -number, child.stderr
        watched.said += child.stdout + child.stderr
        assert (b"Fatal Python error" in child.stderr) is (number == signal.SIGABRT)
    watched.check()
    monkeypatch.setattr(black_box, "rank_targets", genuine)
    assert run(*probe) in (0, 3, 5)
    watched.check()


def test_tracebacks_show_no_locals() -> None:
    """Neither typer nor rich draws frames with what stands in them; Python's own shows code, and no variable."""
    from api.cli.privacy.group import privacy
    from api.cli.privacy.subject import subject

    assert app.pretty_exceptions_enable is False
    crash = (
        "import sys; from api.cli.privacy import silence, subject_values\n"
        "def fail(*a): value = a; raise ValueError('wrong')\n"
        "import api.cli.options as o, api.cli.privacy.subject as s; s.emit = fail\n"
        "from api.cli.main import main; main(['privacy', *sys.argv[1:]])"
    )
    with tempfile.TemporaryDirectory() as folder:
        words = ["subject", "new", "--from", "-", "-o", f"{folder}/s.json"]
        typed = "".join(f"{type_}={value}\n" for type_, value in VALUES).encode()
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ASSAY_TRACEBACKS": "1"}
        child = subprocess.run(
            [sys.executable, "-c", crash, *words], input=typed, env=environment, capture_output=True, timeout=120
        )
    assert child.returncode == 1 and b"Traceback" in child.stderr and b"wrong" in child.stderr
    assert find_residue(child.stdout + child.stderr, SECRETS) == []
    assert "rich.traceback" not in sys.modules or sys.excepthook.__module__ != "rich.traceback"
    assert privacy.pretty_exceptions_show_locals is False and subject.pretty_exceptions_show_locals is False


@contextmanager
def recorded_answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Headers and bodies of every answer that clients in this process read."""
    answers: list[bytes] = []
    genuine = httpx.Response.read

    def read(self: httpx.Response) -> bytes:
        data = genuine(self)
        answers.append(repr(self.headers).encode() + data)
        return data

    with monkeypatch.context() as patch:
        patch.setattr(httpx.Response, "read", read)
        yield answers


def rows_of(folder: Path) -> Iterator[bytes]:
    """Every row of every table of every database below a folder, as SQL gives them."""
    for path in folder.rglob("*"):
        if not path.is_file() or not path.read_bytes().startswith(b"SQLite format 3"):
            continue
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
                for row in connection.execute(f'select * from "{table}"'):
                    yield b"\0".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in row)
        finally:
            connection.close()


@pytest.mark.slow
def test_a_service_with_a_run_that_ends_well_and_one_that_fails(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Files, rows, logs of server and worker, answers and events, with a model that in the end repeats prompts in its errors."""
    values, told = VALUES[:3], []
    service = ServiceProcesses(tmp_path / "service")
    monkeypatch.setenv("ASSAY_PRIVATE_ENDPOINTS", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    fault = Echoes(tiny.detokenize)
    with recorded_answers(monkeypatch) as answers, behind_http(tiny, fault) as spec:
        try:
            service.start(worker=None)
            service.start_worker("one")
            dora = service.client("auditor", "dora")
            model = register(dora, spec)["digest"]
            for fails, end in ((False, "done"), (True, "failed")):
                signed, fault.on = sign(model, values), fails
                dora.add_openings(signed.request, signed.openings)
                audit = ask(dora, model, signed)
                events = list(dora.watch_audit(audit["id"]))
                assert events[-1]["type"] == end, events[-1]
                told.append(json.dumps([audit, events, dora.show_audit(audit["id"])]).encode())
                if not fails:
                    told.append(dora.read_report_archive(audit["id"]))
            wait_until(lambda: not list((service.data / "keys/lent/sealed").iterdir()), "the uploads are removed")
            rows = list(rows_of(service.data))
        finally:
            service.stop()
    captured = capfd.readouterr()
    assert len(rows) > 10 and any(b"privacy.probe" in row for row in rows) and len(answers) > 10
    for data in (*told, *answers, *rows, captured.out.encode(), captured.err.encode()):
        assert find_residue(data, SECRETS) == []
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or find_residue(path.name.encode() + path.read_bytes(), SECRETS) == [], path
