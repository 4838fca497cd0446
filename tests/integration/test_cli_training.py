"""The provider's and the reader's commands on a small run: train, kill, resume, verify in every form, every exit code."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from api.cli.main import main
from audit.errors import CancelledError
from audit.evidence import build_manifest
from audit.kinds import build_registry
from audit.provider.folder import RunFolder
from audit.publications import SignedPublication, sign_publication, sign_registration
from audit.registry import CheckContext
from audit.reports import ReportFacts, sign_report, write_report
from audit.requests import AuditRequest, Subject, audit_id_of, new_request
from audit.signing import PrivateKey
from tests.integration.waiting import wait_until
from zk.verifier.zipapp import build_zipapp

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[dataset]
source = "sklearn:wine"
[model]
layers = [13, 8, 3]
loss = "softmax_ce"
[training]
batch_size = 16
epochs = 1
learning_rate = 0.125
segment_steps = 3
[zk]
profile = "S10"
"""
SEGMENTS = 3


class Assay:
    """Runs `assay` in this process and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: object) -> int:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        self.out, self.err = self._capsys.readouterr()
        return int(stop.value.code or 0)


@pytest.fixture
def assay(capsys: pytest.CaptureFixture[str]) -> Assay:
    return Assay(capsys)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is registered and not proven."""
    base = tmp_path_factory.mktemp("registered")
    (base / "run.toml").write_text(CONFIG)
    with pytest.raises(SystemExit) as stop:
        main(["train", str(base / "run.toml"), "--out", str(base / "run"), "--no-prove", "--json"])
    assert not stop.value.code
    return base / "run"


@pytest.fixture(scope="module")
def proven(registered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, proven without interruption."""
    run = tmp_path_factory.mktemp("proven") / "run"
    shutil.copytree(registered, run)
    with pytest.raises(SystemExit) as stop:
        main(["prove", str(run), "--json"])
    assert not stop.value.code
    return run


def final_weights(run: Path) -> dict[str, np.ndarray]:
    return RunFolder(run).load_opening(f"checkpoint-{SEGMENTS:04d}").tensors


def assert_same_run(resumed: Path, reference: Path) -> None:
    for name in ("registration.bin", "run.json", "beacon.json", "commitments/dataset.record"):
        assert (resumed / "public" / name).read_bytes() == (reference / "public" / name).read_bytes(), name
    expected, found = final_weights(reference), final_weights(resumed)
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


# The command, which stops before its second segment until a signal comes.
HELD = """
import signal, time
from api.cli.main import main
from audit.provider.folder import RunFolder

has_proof = RunFolder.has_proof

def held(folder, name):
    while name == "segment-0001" and has_proof(folder, "segment-0000"):
        time.sleep(0.01)
    return has_proof(folder, name)

RunFolder.has_proof = held
signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
main()
"""


def start_and_signal(registered: Path, run: Path, number: int) -> subprocess.Popen[str]:
    """Prove a copy of a registered run, signal it once its first segment is published, and wait for its end."""
    shutil.copytree(registered, run)
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, "prove", str(run)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    first = run / "public/proofs/segment-0000.stmt"
    wait_until(lambda: first.exists() or process.poll() is not None, "the first segment")
    process.send_signal(number)
    process.wait(timeout=120)
    assert first.exists() and not (run / "public/proofs/segment-0001.stmt").exists()
    return process


def test_a_killed_run_resumes_to_the_same_registration_and_weights(
    assay: Assay, registered: Path, proven: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert start_and_signal(registered, run, signal.SIGKILL).returncode == -signal.SIGKILL
    (run / "public/proofs/segment-0001.proof.tmp").write_bytes(b"half")
    (tmp_path / "run.toml").write_text(CONFIG)
    assert assay("train", tmp_path / "run.toml", "--out", run, "--json") == 0
    assert json.loads(assay.out)["run_id"] == json.loads((registered / "public/run.json").read_text())["run_id"]
    assert_same_run(run, proven)
    assert not list((run / "public").rglob("*.tmp"))
    assert assay("verify", run) == 0


def test_interrupt_says_that_the_same_command_resumes(assay: Assay, registered: Path, proven: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    process = start_and_signal(registered, run, signal.SIGINT)
    assert process.returncode == 130
    assert process.stderr is not None
    err = process.stderr.read()
    assert "same command" in err and "resume" in err and "Traceback" not in err
    assert assay("prove", run) == 0
    assert_same_run(run, proven)


@contextmanager
def full_disk(monkeypatch: pytest.MonkeyPatch, n_writes: int) -> Iterator[None]:
    """The disk takes `n_writes` files and is full from then on."""
    left, sync = [n_writes], os.fsync

    def write(descriptor: int) -> None:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= 1
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", write)
        yield


@pytest.mark.parametrize("n_writes", [0, 1, 2, 5])
def test_a_full_disk_while_registering(assay: Assay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_writes: int) -> None:
    (tmp_path / "run.toml").write_text(CONFIG)
    words = ["train", tmp_path / "run.toml", "--out", tmp_path / "run", "--no-prove", "--json"]
    with full_disk(monkeypatch, n_writes):
        assert assay(*words) == 1
    assert "No space left on device" in assay.err and len(assay.err.strip().splitlines()) == 1
    record = tmp_path / "run/public/commitments/dataset.record"
    before = record.read_bytes() if record.exists() else None
    assert assay(*words) == 0
    assert before in (None, record.read_bytes())
    assert assay("verify", tmp_path / "run") == 5


@pytest.mark.parametrize("n_writes", [0, 1, 6])
def test_a_full_disk_loses_nothing(
    assay: Assay, registered: Path, proven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_writes: int
) -> None:
    run = tmp_path / "run"
    shutil.copytree(registered, run)
    with full_disk(monkeypatch, n_writes):
        assert assay("prove", run) == 1
    assert "No space left on device" in assay.err and "free space" in assay.err
    assert len(assay.err.strip().splitlines()) == 1 and not assay.out
    assert not list((run / "public").rglob("*.tmp"))
    assert assay("prove", run) == 0
    assert_same_run(run, proven)
    assert assay("verify", run) == 0


@pytest.mark.parametrize("lost", [("plan.json",), ("plan.json", "report.json", "test.npz"), ("plan.json", "run.lock")])
def test_a_kill_while_registering_ends_in_the_same_registration(
    assay: Assay, registered: Path, tmp_path: Path, lost: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(registered, run)
    for name in lost:
        (run / "private" / name).unlink()
    (run / "public/registration.bin").unlink()
    (tmp_path / "run.toml").write_text(CONFIG)
    assert assay("train", tmp_path / "run.toml", "--out", run, "--no-prove", "--json") == 0
    assert (run / "public/registration.bin").read_bytes() == (registered / "public/registration.bin").read_bytes()
    assert (run / "private/plan.json").read_bytes() == (registered / "private/plan.json").read_bytes()


def test_training_again_does_nothing_and_another_configuration_is_refused(assay: Assay, proven: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(proven, run)
    before = {path: path.stat().st_mtime_ns for path in (run / "public").rglob("*") if path.is_file()}
    (tmp_path / "run.toml").write_text(CONFIG)
    assert assay("train", tmp_path / "run.toml", "--out", run) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (run / "public").rglob("*") if path.is_file()}
    (tmp_path / "run.toml").write_text(CONFIG.replace("epochs = 1", "epochs = 3"))
    assert assay("train", tmp_path / "run.toml", "--out", run) == 1
    assert "another configuration" in assay.err and "--out" in assay.err


def test_two_processes_cannot_work_on_one_run(assay: Assay, registered: Path) -> None:
    with RunFolder(registered).locked():
        assert assay("prove", registered) == 1
    assert "another process is working" in assay.err


def test_the_private_half_is_private(proven: Path) -> None:
    assert (proven / "private").stat().st_mode & 0o777 == 0o700
    public = {path.suffix for path in (proven / "public").rglob("*") if path.is_file()}
    assert public == {".stmt", ".proof", ".record", ".bin", ".json"}


def test_estimate_is_what_the_run_took(assay: Assay, proven: Path, tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(CONFIG)
    assert assay("estimate", tmp_path / "run.toml", "--json") == 0
    found = json.loads(assay.out)
    registration = json.loads((proven / "public/run.json").read_text())
    assert (found["profile"], found["steps"], found["segments"]) == ("S10", registration["steps"], registration["segments"])
    proofs = proven / "public/proofs"
    assert found["refreshes"] == len(list(proofs.glob("refresh-*.stmt")))
    assert found["proof_bytes"] == pytest.approx(sum(path.stat().st_size for path in proofs.iterdir()), rel=0.02)
    stated = sum(entry["count"] * entry["statement_bytes"] for entry in found["statements"])
    assert stated == sum(path.stat().st_size for path in proofs.glob("*.stmt"))
    assert found["seconds_proving"] > 0 and found["memory_bytes"] > 1e8
    assert assay("estimate", tmp_path / "run.toml") == 0 and "MB" in assay.out


# -- verify ----------------------------------------------------------------------------------------------------------
def tampered(public: Path) -> None:
    path = public / "proofs/segment-0001.proof"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def swapped(public: Path) -> None:
    shutil.copy(public / "proofs/segment-0001.proof", public / "proofs/segment-0002.proof")


def misdescribed(public: Path) -> None:
    description = json.loads((public / "run.json").read_text())
    (public / "run.json").write_text(json.dumps(description | {"steps": description["steps"] + 1}))


def broken_record(public: Path) -> None:
    (public / "commitments/dataset.record").write_bytes(b"no record")


def foreign_record(public: Path) -> None:
    path = public / "commitments/dataset.record"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def without(*names: str) -> Callable[[Path], None]:
    def remove(public: Path) -> None:
        for name in names:
            (public / "proofs" / name).unlink()

    return remove


def untouched(public: Path) -> None:
    """The run as it was proven."""


CASES = [
    (untouched, 0),
    (tampered, 3),
    (swapped, 3),
    (misdescribed, 3),
    (broken_record, 3),
    (foreign_record, 5),
    (without("segment-0001.stmt", "segment-0001.proof"), 5),
    (without("segment-0002.stmt"), 5),
    (without("segment-0002.proof"), 5),
    (without("certificate-dataset.stmt", "certificate-dataset.proof"), 5),
]


@pytest.mark.parametrize(("change", "code"), CASES, ids=[f"{change.__name__}-{code}" for change, code in CASES])
def test_exit_codes_of_whole_runs(assay: Assay, proven: Path, tmp_path: Path, change: Callable[[Path], None], code: int) -> None:
    run = tmp_path / "run"
    shutil.copytree(proven, run)
    change(run / "public")
    assert assay("verify", run, "--json") == code
    found = json.loads(assay.out)
    assert found["ok"] is (code == 0)
    assert found["verdict"] == {0: "holds", 3: "refuted", 5: "inconclusive"}[code]
    assert all(set(check) == {"id", "ok", "detail"} for check in found["checks"])


def test_every_form_of_a_run(assay: Assay, proven: Path, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    shutil.copytree(proven / "public/proofs", evidence / "answer/proofs")
    for path in (proven, proven / "public", proven / "public/proofs", evidence):
        assert assay("verify", path) == 0, path
        lines = assay.out.splitlines()
        assert lines[0].split()[:3] == ["1", "ok", "proof.certificate-dataset"]
        assert any(line.split()[:1] == ["worst"] for line in lines), "the error budget is printed"
        assert "self-made" in assay.out and lines[-1] == "verdict: holds"
        assert "\x1b" not in assay.out


def test_parts_of_a_run(assay: Assay, proven: Path) -> None:
    proofs, records = proven / "public/proofs", proven / "public/commitments"
    assert assay("verify", proofs / "certificate-dataset.proof") == 0
    assert assay("verify", records / "dataset.record") == 0
    assert "says nothing about the values" in assay.out
    assert assay("verify", proofs / "segment-0000.stmt") == 5
    assert assay("verify", proofs / "segment-0000.stmt", proven) == 0, "a pair named twice counts once"


def test_operational_and_usage_errors(assay: Assay, proven: Path, tmp_path: Path) -> None:
    (tmp_path / "lonely.proof").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links/a.record").symlink_to(proven / "private/dataset.opening")
    (tmp_path / "notes.txt").write_text("hello")
    for path in ("absent", "lonely.proof", "empty", "links", "notes.txt"):
        assert assay("verify", tmp_path / path) == 1, path
        assert path.split(".")[0] in assay.err and len(assay.err.strip().splitlines()) == 1 and not assay.out
    assert assay("verify") == 2
    assert assay("verify", "--no-such-option", proven) == 2
    assert assay("prove", tmp_path / "empty") == 1
    assert "not a run folder" in assay.err


# -- the verifier alone ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def zipapp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zipapp") / "assay-verify.pyz"
    path.write_bytes(build_zipapp(ROOT))
    return path


def run_alone(zipapp: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", str(zipapp), *map(str, words)]
    return subprocess.run(command, cwd=zipapp.parent, capture_output=True, text=True, timeout=300)


def test_zipapp_gives_the_lines_and_the_json_of_assay_verify(assay: Assay, proven: Path, zipapp: Path) -> None:
    done = run_alone(zipapp, proven)
    assert assay("verify", proven) == done.returncode == 0
    assert done.stdout == assay.out
    done = run_alone(zipapp, proven / "public/proofs/segment-0001.proof", "--json")
    assert assay("verify", proven / "public/proofs/segment-0001.proof", "--json") == done.returncode == 5
    assert json.loads(done.stdout) == json.loads(assay.out)


def test_zipapp_exit_codes(proven: Path, zipapp: Path, tmp_path: Path) -> None:
    shutil.copytree(proven / "public", tmp_path / "public")
    tampered(tmp_path / "public")
    done = run_alone(zipapp, tmp_path / "public/proofs/segment-0001.proof")
    assert done.returncode == 3 and "FAILED" in done.stdout
    done = run_alone(zipapp, tmp_path / "absent")
    assert done.returncode == 1 and "absent" in done.stderr and not done.stdout
    assert run_alone(zipapp, "--no-such-option").returncode == 2


def test_zipapp_bytes_are_deterministic(zipapp: Path) -> None:
    assert build_zipapp(ROOT) == zipapp.read_bytes()


def test_only_the_standard_library_is_loaded(proven: Path) -> None:
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from zk.verifier.command import main\n"
        f"assert main([{str(proven / 'public')!r}]) == 0\n"
        "print('LOADED', *sorted(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True)
    loaded = next(line for line in done.stdout.splitlines() if line.startswith("LOADED")).split()[1:]
    ours = {name for name in loaded if name.split(".")[0] == "zk"}
    assert {name for name in ours if not name.startswith(("zk.protocol", "zk.verifier"))} == {"zk"}
    others = {name.split(".")[0] for name in loaded} - {"zk", "__main__"}
    assert others <= set(sys.stdlib_module_names)


# -- evidence and reports --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def histogram(proven: Path) -> tuple[AuditRequest, dict[str, bytes]]:
    """A request for the label histogram of the run, and its answer."""
    run_id = json.loads((proven / "public/run.json").read_text())["run_id"]
    request = new_request("alice", "acme", Subject("run", run_id), "data.label-histogram", {})
    files = build_registry().get(request.kind).answer(request, proven, lambda fraction, message: None, lambda: False)
    return request, dict(files)


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    write_report(folder, files.items())
    return folder


PROVIDER = PrivateKey.generate()


@pytest.fixture
def report(proven: Path, histogram: tuple[AuditRequest, dict[str, bytes]], tmp_path: Path) -> tuple[Path, PrivateKey]:
    """A signed report folder and the key that signed it; the provider acme holds `PROVIDER`."""
    request, answer = histogram
    public = proven / "public"
    published = {path.relative_to(public).as_posix(): path.read_bytes() for path in public.rglob("*") if path.is_file()}
    publication = SignedPublication("acme", request.subject.sha256, build_manifest(published))
    published["publication.dsse.json"] = sign_publication(publication, PROVIDER)
    published["registration.dsse.json"] = sign_registration("acme", PROVIDER, PROVIDER.public)
    outcome = build_registry().get(request.kind).check(request, answer, CheckContext(published))
    signer = PrivateKey.generate()
    facts = ReportFacts(
        audit_id_of(request), request, "2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", outcome, build_manifest(answer),
        build_manifest(published), signer.public.to_text(),
    )  # fmt: skip
    files = {"report.dsse.json": sign_report(facts, signer), "evidence/request.json": request.to_bytes()}
    files |= {f"evidence/answer/{name}": data for name, data in answer.items()}
    files |= {f"evidence/published/{name}": data for name, data in published.items()}
    return write_folder(tmp_path / "report", files), signer


def test_evidence_alone_and_with_its_run(
    assay: Assay, proven: Path, histogram: tuple[AuditRequest, dict[str, bytes]], tmp_path: Path
) -> None:
    evidence = write_folder(tmp_path / "evidence", histogram[1])
    assert assay("verify", evidence) == 5, "the certificate of the dataset is not in it"
    assert assay("verify", evidence, proven, "--json") == 0
    (audit,) = json.loads(assay.out)["audits"]
    assert audit["auditor"] == "alice" and audit["nonce"] == histogram[0].sha256
    assert sum(audit["publics"]["counts"]) == 142
    assert assay("verify", evidence, proven) == 0 and "counts = " in assay.out
    assert "compare auditor and nonce" in assay.out


def test_reports(assay: Assay, report: tuple[Path, PrivateKey], zipapp: Path, tmp_path: Path) -> None:
    folder, signer = report
    (tmp_path / "service.pub").write_text(signer.public.to_text())
    (tmp_path / "other.pub").write_text(PrivateKey.generate().public.to_text())
    assert assay("verify", folder) == 0 and "not pinned" in assay.out
    assert assay("verify", folder / "report.dsse.json", "--key", tmp_path / "service.pub", "--json") == 0
    found = json.loads(assay.out)
    assert not any("not pinned" in sentence for sentence in found["conditions"])
    assert found["reports"][0]["verdict"] == "holds"
    assert assay("verify", folder, "--key", tmp_path / "other.pub") == 3
    (tmp_path / "acme.pub").write_text(PROVIDER.public.to_text())
    assert assay("verify", folder, "--provider-key", tmp_path / "acme.pub") == 0 and "whoever holds the key" not in assay.out
    assert assay("verify", folder, "--provider-key", tmp_path / "other.pub") == 3
    assert assay("verify", folder, "--key", tmp_path / "absent.pub") == 1 and "absent.pub" in assay.err
    done = run_alone(zipapp, folder)
    assert done.returncode == 0 and "signatures need `assay verify`" in done.stdout
    path = folder / "evidence/answer/proofs/audit.proof"
    proof = path.read_bytes()
    path.write_bytes(proof[:-1] + bytes([proof[-1] ^ 1]))  # a proof may end in any byte
    assert assay("verify", folder) == 3 and "differs from what was signed" in assay.out
    path.unlink()
    assert assay("verify", folder) == 3 and "is missing" in assay.out


def test_two_agents_take_turns(proven: Path, histogram: tuple[AuditRequest, dict[str, bytes]]) -> None:
    request = new_request("bob", "acme", histogram[0].subject, "data.label-histogram", {})
    kind = build_registry().get(request.kind)
    with RunFolder(proven).locked(), pytest.raises(CancelledError):
        kind.answer(request, proven, lambda fraction, message: None, iter([False, False, True, True, True]).__next__)


def test_assay_verify_loads_no_numerical_package(proven: Path, report: tuple[Path, PrivateKey]) -> None:
    for path in (proven / "public/proofs/certificate-dataset.stmt", report[0]):
        program = (
            "import sys\nfrom api.cli.main import main\n"
            f"try:\n    main(['verify', {str(path)!r}])\n"
            "except SystemExit as stop:\n    assert not stop.code\n"
            "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        loaded = set(done.stdout.splitlines()[-1].split())
        assert "LOADED" in loaded
        assert not loaded & {"numpy", "numba", "scipy", "torch", "sklearn", "pyarrow", "fastapi", "sqlalchemy", "httpx", "rich"}
