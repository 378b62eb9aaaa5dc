"""The page: a viser server behind the guard, shown the newest pose until its parent is gone."""

from __future__ import annotations

import threading
import time
from typing import Any

import viser

from soulstream_engine.frames import Provenance, StatusSnapshot
from soulstream_engine.preview.guard import guarded
from soulstream_engine.preview.shared_pose import PoseMemory, SharedPose
from soulstream_engine.preview.stage import Stage
from soulstream_engine.preview.status_panel import render_status

HOST = "127.0.0.1"
"""The page is for this machine only."""

_SHOW_RATE = 30.0  # poses shown a second, whatever the output rate
_POLL_S = 1 / 120
_STATUS_EVERY_S = 0.5


class _LocalServer(viser.ViserServer):
    """A viser server that cannot be asked to publish itself through a tunnel."""

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Refused: the page stays on this machine."""
        return None


def serve_page(memory: PoseMemory, port: int, is_over: threading.Event) -> None:
    """Serve the page until ``is_over`` is set.

    Args:
        memory: Where poses and status are read; told the port of the page once it is up.
        port: First port to try.
        is_over: Set by whoever notices that the engine is gone.

    Raises:
        InvariantError: If the web server would start without its checks.
    """
    with guarded():
        server = _LocalServer(HOST, port, label="soulstream", verbose=False)
    try:
        page = _Page(server)
        memory.page_port = server.get_port()
        while not is_over.wait(_POLL_S):
            page.update(memory)
    finally:
        server.stop()


class _Page:
    """The stage and the panel of one server."""

    def __init__(self, server: Any) -> None:
        self._server = server
        server.gui.configure_theme(dark_mode=True, show_logo=False, show_share_button=False, control_width="small")
        server.gui.set_panel_label("soulstream")
        self._panel = server.gui.add_html(render_status(None, None, 0.0))
        self._stage = Stage(server)
        self._status: StatusSnapshot | None = None
        self._provenance: Provenance | None = None
        self._shown_s = self._panel_s = time.monotonic()
        self._first_index: int | None = None
        self._last_index = 0

    def update(self, memory: PoseMemory) -> None:
        """Show what is new. Costs next to nothing while no browser looks."""
        now_s = time.monotonic()
        if now_s - self._shown_s >= 0.9 / _SHOW_RATE:
            pose = memory.read_pose()
            if pose is not None:
                self._show(pose, now_s)
        if now_s - self._panel_s >= _STATUS_EVERY_S:
            self._show_panel(memory, now_s)

    def _show(self, pose: SharedPose, now_s: float) -> None:
        """Pose the dancer, if anybody looks."""
        frame = pose.frame
        self._provenance = frame.provenance
        self._last_index = frame.index
        if self._first_index is None:
            self._first_index = frame.index
        if self._server.get_clients():
            self._stage.show(frame, now_s - self._shown_s)
        self._shown_s = now_s

    def _show_panel(self, memory: PoseMemory, now_s: float) -> None:
        """Refresh the numbers."""
        self._status = memory.read_status() or self._status
        num_frames = 0 if self._first_index is None else self._last_index - self._first_index
        self._panel.content = render_status(
            self._status, self._provenance, max(num_frames, 0) / (now_s - self._panel_s)
        )
        self._first_index = self._last_index if self._first_index is not None else None
        self._panel_s = now_s
