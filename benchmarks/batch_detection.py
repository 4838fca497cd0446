"""Batch detection through the command line: `python -m benchmarks.batch_detection [--documents 10000] [--jobs 2]`.

Documents of 500 token ids drawn from a Zipf law over 50,257 entries, one fresh key a scheme; wall clock of the whole command.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.measure import ROOT, timed
from watermark.keys import new_key, save_key
from watermark.presets import find_preset

VOCABULARY = 50_257
TOKENS = 500
TARGET_S = 60.0
SCHEMES = ("lefthash", "selfhash", "unigram", "gumbel", "gumbel-dual", "synthid", "exp")


def write_batch(path: Path, documents: int) -> None:
    """Documents without keys: the command names one for all."""
    weights = 1.0 / np.arange(1, VOCABULARY + 1)
    cumulative = np.cumsum(weights / weights.sum())
    rng = np.random.default_rng(1)
    with path.open("w") as stream:
        for number in range(documents):
            ids = np.minimum(np.searchsorted(cumulative, rng.random(TOKENS)), VOCABULARY - 1)
            stream.write(json.dumps({"id": number, "input_ids": ids.tolist()}) + "\n")


def measure(scheme: str, batch: Path, key: Path, jobs: int, documents: int) -> float:
    """Seconds of one command. Raises RuntimeError when a line fails."""
    preset = find_preset(scheme)
    save_key(new_key(preset.family, {**preset.options, "vocab_size": VOCABULARY})[0], key)
    command = [sys.executable, "-m", "benchmarks.batch_detection", "--as-assay", "watermark", "detect", "--json"]
    arguments = ["--batch", str(batch), "--key", str(key), "--jobs", str(jobs)]
    seconds, done = timed(lambda: subprocess.run([*command, *arguments], cwd=ROOT, capture_output=True, text=True))
    if done.returncode or len(done.stdout.splitlines()) != documents:
        raise RuntimeError(f"{scheme}: exit code {done.returncode}: {done.stderr[-500:]}")
    return seconds


def main() -> None:
    if sys.argv[1:2] == ["--as-assay"]:
        from api.cli.main import main as assay

        assay(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--schemes", nargs="+", default=list(SCHEMES))
    options = parser.parse_args()
    print(f"{options.documents} documents of {TOKENS} tokens, {options.jobs} processes; target {TARGET_S:.0f} s for 10000")
    with tempfile.TemporaryDirectory() as folder:
        batch = Path(folder) / "batch.jsonl"
        write_batch(batch, options.documents)
        for scheme in options.schemes:
            seconds = measure(scheme, batch, Path(folder) / f"{scheme}.json", options.jobs, options.documents)
            print(f"{scheme:12} {seconds:7.1f} s  {options.documents / seconds * 60:9.0f} documents a minute", flush=True)


if __name__ == "__main__":
    main()
