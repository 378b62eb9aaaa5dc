"""The preview as the engine sees it: a process that is told poses and never asks for anything."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import IO, Self

from soulstream_engine.errors import ConfigError
from soulstream_engine.frames import PoseFrame, StatusSnapshot
from soulstream_engine.preview.shared_pose import PoseMemory

DEFAULT_PORT = 8080
"""First port the page tries."""

_STOP_TIMEOUT_S = 3.0


class PreviewProcess:
    """The page with the dancer, in a process of its own so that it cannot delay a frame.

    ``start`` returns at once; the page is up a few seconds later, when ``url`` says where. The process ends with ours,
    however ours ends: it watches a pipe that closes with us.

    Args:
        port: TCP port on 127.0.0.1; when it is taken, the next free one is used.

    Raises:
        ConfigError: If the port is outside 1..65535.
    """

    def __init__(self, port: int = DEFAULT_PORT) -> None:
        if not 1 <= port <= 65535:
            raise ConfigError(
                "PREVIEW_PORT_INVALID",
                f"Preview port {port} is outside 1 to 65535.",
                f"Use --preview-port {DEFAULT_PORT} or --no-preview.",
            )
        self._port = port
        self._memory: PoseMemory | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def url(self) -> str | None:
        """Address of the page, or ``None`` while it is not up."""
        port = self._memory.page_port if self._memory is not None else 0
        return f"http://127.0.0.1:{port}" if port else None

    @property
    def failure(self) -> str | None:
        """Why the process ended by itself (its last words), or ``None`` while all is well."""
        if self._process is None or self._log is None or self._process.poll() is None:
            return None
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"The preview ended with exit code {self._process.returncode}."

    def start(self) -> None:
        """Start the process. Does not wait for it."""
        if self._process is not None:
            return
        self._memory = PoseMemory()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed in close)
        command = [sys.executable, "-m", "soulstream_engine.preview"]
        self._process = subprocess.Popen(  # noqa: S603 (our own module)
            [*command, "--port", str(self._port), "--memory", self._memory.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )

    def wait_until_up(self, timeout_s: float) -> str | None:
        """Wait for the page; returns its ``url``, or ``None`` if it did not come up. Not live."""
        deadline = time.monotonic() + timeout_s
        while self.url is None and self.failure is None and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.url

    def send(self, frame: PoseFrame, media_time_s: float) -> None:
        """Show a pose; does nothing before ``start`` or after ``close``. Live: one thread; never waits."""
        if self._memory is not None:
            self._memory.write_pose(frame, media_time_s)

    def set_status(self, status: StatusSnapshot) -> None:
        """Show a status. Live: one thread; never waits."""
        if self._memory is not None:
            self._memory.write_status(status)

    def close(self) -> None:
        """End the process and remove the shared memory. A second call does nothing."""
        process, memory, log = self._process, self._memory, self._log
        self._process = self._memory = self._log = None
        if process is not None:
            if memory is not None and not memory.page_port:
                process.kill()  # still starting: nothing to wind down
            if process.stdin is not None:
                process.stdin.close()  # its signal to end
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if memory is not None:
            memory.close()
        if log is not None:
            log.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
