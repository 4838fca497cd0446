"""Processes: the HTTP server (with or without a worker inside), and a worker alone."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn

from api.app import create_app
from api.runtime import Runtime
from audit.errors import StorageError
from audit.jobs_dbos import JobWorker

SHUTDOWN_S = 3
_BACKLOG = 2048


def serve(runtime: Runtime, announce: Callable[[dict[str, Any]], None]) -> None:
    """Serve until SIGINT or SIGTERM. `announce` gets the address once connections are accepted."""
    settings = runtime.settings
    listener = _listen(settings.host, settings.port)
    worker = _start_worker(runtime, settings.worker) if settings.worker else None
    app = create_app(runtime)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=SHUTDOWN_S, server_header=False)
    server = _StoppableServer(config, app)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    announce({"url": f"http://{shown}:{port}", "worker": settings.worker, "data": str(settings.data)})
    try:
        server.run(sockets=[listener])
    finally:
        if worker is not None:
            worker.stop()
        runtime.close()


class _StoppableServer(uvicorn.Server):
    """Tells event streams to end as soon as a stop is asked for, instead of when they time out."""

    def __init__(self, config: uvicorn.Config, app: Any) -> None:
        super().__init__(config)
        self._application = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop in order. Uvicorn's own handler would raise the signal again and end before the worker has let go."""
        self._application.state.stopping = True
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def run_worker(runtime: Runtime, name: str, concurrency: int, announce: Callable[[dict[str, Any]], None]) -> None:
    """Run jobs until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    worker = _start_worker(runtime, name, concurrency)
    announce({"worker": name, "data": str(runtime.settings.data)})
    stop.wait()
    worker.stop()
    runtime.close()


def _start_worker(runtime: Runtime, name: str, concurrency: int = 2) -> JobWorker:
    _log_to_stderr()
    worker = runtime.worker(name, concurrency)
    worker.start()
    return worker


def _log_to_stderr() -> None:
    """Everything that is logged goes to stderr: stdout carries data only."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StorageError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error
    return listener
