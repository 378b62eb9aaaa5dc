"""Single keys from the terminal, without waiting and without Enter; nothing at all where there is no terminal."""

from __future__ import annotations

import os
import select
import sys
from types import TracebackType

KEY_HELP = "t tap tempo   [ ] nudge beat   b half a beat   x double   h halve   q quit"
"""One line for the status display."""


class KeyReader:
    """Context manager that puts the terminal into single-key mode and back.

    Args:
        descriptor: Terminal to read. By default standard input, or, if that is a pipe with sound, the terminal that
            controls this process. Anything that is not a terminal in the foreground gives no keys.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        self._opened: int | None = None
        self._saved: list[object] | None = None

    def __enter__(self) -> KeyReader:
        if sys.platform != "win32":
            self._enter_posix()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._saved is not None and self._descriptor is not None and sys.platform != "win32":
            import termios

            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
            self._saved = None
        if self._opened is not None:
            os.close(self._opened)
            self._opened = self._descriptor = None

    def poll(self) -> str:
        """The keys pressed since the last call, oldest first; usually empty."""
        if sys.platform == "win32":
            return self._poll_windows()
        if self._saved is None or self._descriptor is None:
            return ""
        if not select.select([self._descriptor], [], [], 0.0)[0]:
            return ""
        return os.read(self._descriptor, 64).decode("utf-8", "ignore")

    def _enter_posix(self) -> None:
        import termios
        import tty

        try:
            if self._descriptor is None:
                self._descriptor = self._find_terminal()
            if not os.isatty(self._descriptor) or os.tcgetpgrp(self._descriptor) != os.getpgrp():
                return
            self._saved = list(termios.tcgetattr(self._descriptor))
            tty.setcbreak(self._descriptor)
        except (OSError, ValueError, termios.error):
            self._saved = None

    def _find_terminal(self) -> int:
        if sys.stdin is not None and sys.stdin.isatty():
            return sys.stdin.fileno()
        self._opened = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        return self._opened

    def _poll_windows(self) -> str:
        if sys.platform != "win32" or not sys.stdin.isatty():
            return ""
        import msvcrt

        keys = ""
        while msvcrt.kbhit():
            keys += msvcrt.getwch()
        return keys
