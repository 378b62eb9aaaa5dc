"""Entry of the preview's process: ``python -m soulstream_engine.preview --port 8080 --memory NAME``.

Started by ``process.PreviewProcess``, not by hand. Ends when its standard input is closed.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys

from soulstream_engine.errors import SoulstreamError
from soulstream_engine.preview.shared_pose import PoseMemory

_NICENESS = 5  # the engine's threads come first


def main() -> int:
    """Serve the page; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m soulstream_engine.preview")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--memory", required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then tells us
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    memory = PoseMemory(options.memory)
    try:
        from soulstream_engine.preview.page import serve_page  # takes a second to import

        serve_page(memory, options.port, sys.stdin.buffer)
    except (SoulstreamError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        memory.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
