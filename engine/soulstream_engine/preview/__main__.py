"""Entry of the preview's process: ``python -m soulstream_engine.preview --port 8080 --memory NAME``.

Started by ``process.PreviewProcess``, not by hand. Ends when its standard input is closed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time

from soulstream_engine.errors import SoulstreamError
from soulstream_engine.preview.shared_pose import PoseMemory

_NICENESS = 5  # the engine's threads come first
_GRACE_S = 1.5  # for an orderly end before a hard one


def main() -> int:
    """Serve the page; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m soulstream_engine.preview")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--memory", required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then tells us
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    is_over = threading.Event()
    threading.Thread(target=_watch_parent, args=(is_over,), name="parent-watch", daemon=True).start()
    memory = PoseMemory(options.memory)
    try:
        from soulstream_engine.preview.page import serve_page  # takes a second to import

        serve_page(memory, options.port, is_over)
    except (SoulstreamError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        memory.close()
    return 0


def _watch_parent(is_over: threading.Event) -> None:
    """Wait until the parent closes our input or is gone; then end in an orderly way, or else a hard one."""
    sys.stdin.buffer.read()
    is_over.set()
    time.sleep(_GRACE_S)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
