"""Many documents: one JSON object a line in, one a line out, in order, on one process or several.

A line that cannot be processed gives `{"id", "line", "error"}`; the others go on. Every process keeps its own open schemes.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watermark.detection import DetectOptions
from watermark.errors import WatermarkError
from watermark.examination import Examiner, KeyReference
from watermark.keys import from_json, load_key
from watermark.reading import MAX_LINE_BYTES, Record, parse_record, record_id

Line = tuple[int, bytes | None]
# A task is at most so many lines, and at most so many bytes unless it is a single line.
CHUNK_LINES = 8
CHUNK_BYTES = 1 << 20
_AHEAD = 3  # tasks waiting per process
MAX_JOBS = 256


@dataclass(frozen=True)
class BatchSettings:
    """How to process lines. `keys` serve the lines that name none; paths of key files are taken from `folder`."""

    options: DetectOptions
    keys: tuple[KeyReference, ...] = ()
    tokenizer: Path | None = None
    normalisation: str = "none"
    folder: Path = field(default_factory=Path)


class LineProcessor:
    """Turns lines into results. Key files are read once."""

    def __init__(self, settings: BatchSettings) -> None:
        self._settings = settings
        self._examiner = Examiner(settings.options, settings.tokenizer, settings.normalisation)
        self._key_files: dict[str, KeyReference] = {}

    def process(self, number: int, line: bytes | None) -> dict[str, Any]:
        """The result of one line; what is wrong with it is part of the result."""
        try:
            record = parse_record(line, number)
            return self._examiner.examine(record.document, self._keys(record)).to_json()
        except WatermarkError as error:
            return failure(number, record_id(line), str(error))
        except MemoryError:
            return failure(number, record_id(line), "not enough memory for this document")
        except Exception as error:  # a defect of ours must not cost the caller the other lines; its text may hold a key
            return failure(number, record_id(line), f"internal error ({type(error).__name__}); please report it")

    def _keys(self, record: Record) -> Sequence[KeyReference]:
        if record.family is not None:
            return (KeyReference(record.family, record.config or {}),)
        if record.key is None:
            return self._settings.keys
        if not isinstance(record.key, str):
            return (KeyReference.of(from_json(record.key, "key")),)
        if record.key not in self._key_files:
            self._key_files[record.key] = KeyReference.of(load_key(self._settings.folder / record.key))
        return (self._key_files[record.key],)


def failure(number: int, name: str | int | None, message: str) -> dict[str, Any]:
    """The result of a line that could not be processed."""
    return {"id": name, "line": number, "error": f"line {number}: {message}"}


def chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Lines in tasks of at most CHUNK_LINES lines and about CHUNK_BYTES bytes."""
    task: list[Line] = []
    size = 0
    for number, line in lines:
        if task and (len(task) == CHUNK_LINES or size + len(line or b"") > CHUNK_BYTES):
            yield task
            task, size = [], 0
        task.append((number, line))
        size += len(line or b"")
    if task:
        yield task


def run_batch(
    lines: Iterable[Line], settings: BatchSettings, jobs: int = 1, cancelled: Callable[[], bool] | None = None
) -> Iterator[dict[str, Any]]:
    """One result a line, in the order of the lines, the same whatever `jobs`. Raises WatermarkError when a process dies."""
    if jobs <= 1:
        processor = LineProcessor(settings)
        for number, line in lines:
            if cancelled is not None and cancelled():
                return
            yield processor.process(number, line)
        return
    pool = ProcessPoolExecutor(
        min(jobs, MAX_JOBS), multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(settings,)
    )
    waiting: deque[Future[list[dict[str, Any]]]] = deque()
    try:
        for task in chunks(lines):
            waiting.append(pool.submit(_work, task))
            if len(waiting) >= _AHEAD * jobs:
                yield from waiting.popleft().result()
            if cancelled is not None and cancelled():
                return
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool:
        raise WatermarkError(
            f"a detection process died, most likely for lack of memory; use fewer --jobs (lines may have {MAX_LINE_BYTES} bytes)"
        ) from None
    finally:
        running = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        if waiting:  # stopped half-way: nobody wants what is still being computed
            for process in running:
                process.terminate()


_processor: LineProcessor | None = None


def _start_worker(settings: BatchSettings) -> None:
    global _processor
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    _processor = LineProcessor(settings)


def _work(task: list[Line]) -> list[dict[str, Any]]:
    assert _processor is not None
    return [_processor.process(number, line) for number, line in task]
