"""A real browser sees the dancer; a forged address, a foreign page and an orphaned process do not last."""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from soulstream_engine.frames import PoseFrame, Provenance, StatusSnapshot
from soulstream_engine.motion.skeleton import PELVIS_REST_HEIGHT_M
from soulstream_engine.preview.process import PreviewProcess

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE = (900, 700)
FLAGS = (
    *("--headless=new", "--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    *("--no-first-run", "--mute-audio", "--remote-debugging-port=0", f"--window-size={SIZE[0]},{SIZE[1]}"),
)


def frame(index: int) -> PoseFrame:
    wxyz = np.zeros((52, 4), np.float32)
    wxyz[:, 0] = 1
    root = np.array([20, PELVIS_REST_HEIGHT_M, -3], np.float32)  # far away: the stage must have followed her
    return PoseFrame(index, root, wxyz, np.zeros(52, np.float32), np.zeros(4, np.float32), Provenance.GENERATED)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def preview() -> Iterator[PreviewProcess]:
    with PreviewProcess(free_port()) as process:
        assert process.wait_until_up(60), process.failure
        yield process


def host_of(preview: PreviewProcess) -> str:
    assert preview.url is not None
    return preview.url.removeprefix("http://")


def get(host: str, headers: dict[str, str]) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.putrequest("GET", "/", skip_host=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


def open_socket(host: str, origin: str | None, address: str | None = None) -> ClientConnection:
    """Open the page's WebSocket as a page from ``origin`` that calls us ``host``."""
    name, port = (address or host).split(":")
    return connect(
        f"ws://{host}",
        sock=socket.create_connection((name, int(port)), timeout=20),
        origin=None if origin is None else Origin(origin),
        subprotocols=[Subprotocol(f"viser-v{version('viser')}")],
        max_size=None,
    )


def refusal(host: str, origin: str | None, address: str | None = None) -> int:
    """The status with which the page's WebSocket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        open_socket(host, origin, address)
    return refused.value.response.status_code


@pytest.mark.timeout(120)
def test_only_our_own_page_may_connect(preview: PreviewProcess) -> None:
    host = host_of(preview)
    page = get(host, {"Host": host})
    assert page.status == 200
    assert "frame-ancestors 'none'" in (page.getheader("Content-Security-Policy") or "")
    assert page.getheader("X-Content-Type-Options") == "nosniff"
    assert get(host, {"Host": f"evil.example:{host.split(':')[1]}"}).status == 421
    assert get(host, {"Host": host, "Origin": "http://evil.example"}).status == 403

    for origin in ("http://evil.example", "null", None):
        assert refusal(host, origin) == 403
    forged = host.replace("127.0.0.1", "evil.example")
    assert refusal(forged, f"http://{forged}", address=host) == 421
    with open_socket(host, f"http://{host}") as ours:
        assert len(ours.recv(timeout=20)) > 0


@pytest.mark.timeout(120)
def test_a_taken_port_moves_the_page_and_too_many_tabs_are_refused(preview: PreviewProcess) -> None:
    taken = int(host_of(preview).split(":")[1])
    with PreviewProcess(taken) as second:
        assert second.wait_until_up(60), second.failure
        host = host_of(second)
        assert int(host.split(":")[1]) > taken
        with contextlib.ExitStack() as tabs:
            for _ in range(4):
                tabs.enter_context(open_socket(host, f"http://{host}")).recv(timeout=20)
            assert refusal(host, f"http://{host}") == 503


@pytest.mark.timeout(120)
def test_the_page_ends_with_an_engine_that_was_killed() -> None:
    script = (
        "import sys, time\n"
        "from soulstream_engine.preview.process import PreviewProcess\n"
        f"page = PreviewProcess({free_port()}); page.start(); page.wait_until_up(60)\n"
        "print(page._process.pid, flush=True); time.sleep(600)\n"
    )
    engine = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    page = int(engine.stdout.readline())
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    for _ in range(200):
        if not is_running(page):
            return
        time.sleep(0.05)
    os.kill(page, signal.SIGKILL)
    pytest.fail("the page outlived the engine by 10 s")


def is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_starting_and_sending_cost_the_engine_nothing_and_close_is_final() -> None:
    preview = PreviewProcess(free_port())
    preview.send(frame(0), 0.0)  # before start: nothing happens
    before = time.monotonic()
    preview.start()
    preview.send(frame(1), 0.0)
    assert time.monotonic() - before < 1.0
    assert preview.url is None
    preview.close()
    preview.close()
    preview.send(frame(2), 0.0)


@pytest.mark.browser
@pytest.mark.timeout(240)
def test_a_browser_sees_the_dancer(preview: PreviewProcess, tmp_path: Path) -> None:
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    assert preview.url is not None
    index = itertools.count()

    def play(seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            number = next(index)
            preview.send(frame(number), number / 30)
            time.sleep(1 / 30)

    preview.set_status(StatusSnapshot(9, 0, 0, 9, 0, 0, 0, 1.0, 123.4, 0.9, -12.0, False, "dancing", ""))
    with Browser(tmp_path) as browser:
        browser.call("Page.navigate", url=preview.url)
        for _ in range(20):
            play(3.0)
            image = decode_png(base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"]))
            shares = shares_of_colors(image)
            if all(share > 0.002 for share in shares.values()):
                break
        text = browser.call("Runtime.evaluate", expression="document.body.innerText")["result"]["value"]
    assert all(share > 0.002 for share in shares.values()), f"share of the picture by colour: {shares}"
    assert "123.4 bpm" in text
    assert "dancing" in text


def shares_of_colors(image: np.ndarray) -> dict[str, float]:
    """Share of the picture [H, W, 3] that is coral (top), blue (trousers) and skin, where the dancer stands."""
    r, g, b = (image[..., i].astype(int) for i in range(3))
    masks = {
        "coral": (r > 170) & (r - g > 60) & (r - b > 50),
        "blue": (b > 110) & (b - r > 60) & (b - g > 40),
        "skin": (r > 150) & (r - b > 25) & (r - b < 130) & (g > b) & (r - g < 70),
    }
    return {name: float(mask.mean()) for name, mask in masks.items()}


def decode_png(data: bytes) -> np.ndarray:
    """Pixels [H, W, 3] uint8 of an 8-bit, non-interlaced RGB or RGBA picture."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, compressed, header = 8, b"", b""
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        header = body if kind == b"IHDR" else header
        compressed += body if kind == b"IDAT" else b""
        position += 12 + length
    width, height, depth, color, _, _, interlace = struct.unpack(">IIBBBBB", header)
    assert (depth, interlace) == (8, 0)
    channels = {2: 3, 6: 4}[color]
    rows = np.frombuffer(zlib.decompress(compressed), np.uint8).reshape(height, 1 + width * channels)
    image = np.zeros((height, width * channels), np.uint8)
    above = np.zeros(width * channels, np.uint8)
    for y in range(height):
        image[y] = above = unfilter(int(rows[y, 0]), rows[y, 1:], above, channels)
    return image.reshape(height, width, channels)[..., :3]


def unfilter(kind: int, row: np.ndarray, above: np.ndarray, step: int) -> np.ndarray:
    if kind == 0:
        return row
    if kind == 1:
        return np.cumsum(row.reshape(-1, step), axis=0, dtype=np.uint8).reshape(-1)
    if kind == 2:
        return row + above
    out, up = [0] * step + row.tolist(), [0] * step + above.tolist()
    for i in range(step, len(out)):
        left, over, corner = out[i - step], up[i], up[i - step]
        if kind == 3:
            guess = (left + over) // 2
        else:
            distances = (abs(over - corner), abs(left - corner), abs(left + over - 2 * corner))
            guess = (left, over, corner)[distances.index(min(distances))]
        out[i] = (out[i] + guess) & 255
    return np.array(out[step:], np.uint8)


class Browser:
    """Headless Chromium, driven through its debugging socket."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        self._numbers = itertools.count(1)
        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = folder / "DevToolsActivePort"
        deadline = time.monotonic() + 60
        while not (port_file.exists() and len(port_file.read_text().split()) == 2):
            assert time.monotonic() < deadline, "Chromium did not start in 60 s"
            time.sleep(0.1)
        port = port_file.read_text().split()[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            (page,) = [tab for tab in json.load(answer) if tab["type"] == "page"]
        self._socket = connect(page["webSocketDebuggerUrl"], max_size=None)

    def call(self, method: str, **params: object) -> dict:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(timeout=120))
            if answer.get("id") == number:
                return answer["result"]

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait(20)
