"""The import rules of ARCHITECTURE.md that import-linter cannot see."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "numba", "scipy", "sklearn", "fastapi", "sqlalchemy", "dbos", "numpy", "httpx")


def _imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute names of everything a module imports, relative imports resolved against `package`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base]) if base else ".".join(parents)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def forbidden_imports(source: str, package: str, allowed_packages: tuple[str, ...]) -> list[str]:
    """Imports of `source` beyond the standard library and `allowed_packages`, dynamic ones included."""
    tree = ast.parse(source)
    found = []
    for name in _imported_names(tree, package):
        inside = any(name == allowed or name.startswith(allowed + ".") for allowed in allowed_packages)
        if name == "zk" or inside:
            continue
        if name.split(".")[0] not in sys.stdlib_module_names or name.split(".")[0] == "importlib":
            found.append(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"__import__", "exec", "eval"}:
            found.append(f"{node.func.id}()")
    return found


def _sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize(
    ("room", "allowed"),
    [("zk/protocol", ("zk.protocol",)), ("zk/verifier", ("zk.protocol", "zk.verifier"))],
)
def test_protocol_and_verifier_import_only_what_is_allowed(room: str, allowed: tuple[str, ...]) -> None:
    assert _sources(room), f"no sources under {room}"
    offences = {}
    for path in _sources(room):
        package = ".".join(path.relative_to(ROOT).parent.parts)
        found = forbidden_imports(path.read_text(), package, allowed)
        if found:
            offences[str(path.relative_to(ROOT))] = found
    assert offences == {}


@pytest.mark.parametrize(
    "source",
    [
        "import numpy",
        "from zk.prover import commit",
        "from ..prover import commit",
        "import importlib",
        "def f():\n    import zk.kernels.reference",
        "__import__('zk.prover')",
        "from zk import prover",
    ],
)
def test_the_rule_finds_offences(source: str) -> None:
    assert forbidden_imports(source, "zk.verifier", ("zk.protocol", "zk.verifier"))


@pytest.mark.parametrize(
    "source",
    ["import hashlib", "from . import budget", "from zk.protocol.field import P", "from ..protocol import codec"],
)
def test_the_rule_passes_what_is_allowed(source: str) -> None:
    assert forbidden_imports(source, "zk.verifier", ("zk.protocol", "zk.verifier")) == []


@pytest.mark.parametrize("room", ["zk", "audit", "audit/log", "watermark", "conformal", "privacy", "api"])
def test_package_faces_that_must_be_empty_are_empty(room: str) -> None:
    face = ROOT / room / "__init__.py"
    if room == "audit/log" and not face.parent.exists():
        pytest.skip("audit/log comes with the log")
    assert face.read_text().strip() == ""


def test_help_loads_no_heavy_package() -> None:
    program = (
        "import sys, json\n"
        "from api.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('LOADED', json.dumps([m for m in {HEAVY!r} if m in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = next(line for line in done.stdout.splitlines() if line.startswith("LOADED"))
    assert json.loads(loaded.removeprefix("LOADED ")) == []


def test_no_pickle_in_the_product() -> None:
    offences = []
    for room in ("zk", "watermark", "conformal", "privacy", "audit", "api"):
        for path in _sources(room):
            names = set(_imported_names(ast.parse(path.read_text()), ""))
            if names & {"pickle", "cloudpickle", "dill", "shelve", "marshal"}:
                offences.append(str(path.relative_to(ROOT)))
    assert offences == []
