"""Every golden vector of every family through `assay watermark detect --batch`, as it stands, without torch and scipy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.data.folder import ROOT, json_files
from watermark.families import FAMILIES

pytestmark = pytest.mark.data
BLOCKED = ("torch", "transformers", "scipy", "tokenizers")
# expected -> the member of the result that must equal it.
COUNTS = {
    "num_tokens_scored": "num_tokens_scored",
    "num_scored_tokens": "num_tokens_scored",
    "num_green_tokens": "num_green",
    "prediction": "reference_decision",
    "is_watermarked": "reference_decision",
}
FILES = [
    parameter
    for family in FAMILIES
    if family not in ("unigram", "synthid")
    for parameter in json_files("watermark", family, "family")
]


def figures(family: str, config: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Member of `expected`, member of the result, relative tolerance. Reference figures in single precision allow for less."""
    if family.startswith("kgw"):
        return [("z_score", "z_score", 1e-5 if config.get("window_size") else 1e-9), ("p_value", "reference_p_value", 1e-9)]
    if family == "vllm-gumbel":
        return [("score", "statistic", 1e-9), ("p_value", "reference_p_value", 1e-6)]
    return [("statistic", "statistic", 1e-9 if family == "kuditipudi-demo-js" else 2e-5)]


@pytest.mark.parametrize("content", FILES)
def test_every_vector_through_the_command_line(content: Any, tmp_path: Path) -> None:
    for name in BLOCKED:
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('{name} is out of reach', name='{name}')\n")
    rows = [
        {
            "id": v["id"],
            "family": content["family"],
            "config": v["config"],
            "input_ids": content["sequences"][v["sequence"]]["token_ids"],
        }
        for v in content["vectors"]
    ]
    (tmp_path / "batch.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [
        sys.executable,
        "-c",
        "from api.cli.main import main; main()",
        "watermark",
        "detect",
        "--json",
        "--runs",
        "9",
        "--seed",
        "1",
    ]
    done = subprocess.run(
        [*command, "--batch", "batch.jsonl", "--jobs", "2"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["id"] for row in found] == [row["id"] for row in rows] and found
    compared = 0
    for vector, row in zip(content["vectors"], found, strict=True):
        expected = vector["expected"]
        for name, member in COUNTS.items():
            if name in expected:
                assert row[member] == expected[name], (vector["id"], name)
                compared += 1
        for name, member, tolerance in figures(content["family"], vector["config"]):
            assert number(row[member]) == pytest.approx(number(expected[name]), rel=tolerance, abs=0), (vector["id"], name)
            compared += 1
        assert row["p_value"] is None or 0 <= row["p_value"] <= 1
    assert compared >= len(rows)


def number(value: Any) -> float | None:
    return None if value is None else float(value)
