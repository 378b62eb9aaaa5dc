"""Only this machine's own page may open the preview."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from soulstream_engine.errors import InvariantError
from soulstream_engine.preview.guard import Guard, guarded

GOOD_HOST, GOOD_ORIGIN = "127.0.0.1:8080", "http://127.0.0.1:8080"


def request(*headers: tuple[str, str]) -> Request:
    return Request("/", Headers(list(headers)))


def upgrade(*headers: tuple[str, str]) -> Request:
    return request(("Upgrade", "websocket"), *headers)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080", "[::1]:8080"])
def test_own_addresses_are_welcome(host: str) -> None:
    guard = Guard(8080)
    assert guard.refusal(request(("Host", host))) is None
    assert guard.refusal(upgrade(("Host", host), ("Origin", f"http://{host.lower()}"))) is None


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8080", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8080.evil.example", ""]
)
def test_a_name_that_was_made_to_point_here_is_refused(host: str) -> None:
    assert Guard(8080).refusal(request(("Host", host))) is HTTPStatus.MISDIRECTED_REQUEST


def test_no_host_or_two_hosts_are_refused() -> None:
    guard = Guard(8080)
    assert guard.refusal(request()) is HTTPStatus.MISDIRECTED_REQUEST
    assert guard.refusal(request(("Host", GOOD_HOST), ("Host", "evil.example"))) is HTTPStatus.MISDIRECTED_REQUEST


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "https://127.0.0.1:8080", "http://127.0.0.1:8081", "null", "http://127.0.0.1"]
)
def test_other_pages_are_refused(origin: str) -> None:
    guard = Guard(8080)
    assert guard.refusal(upgrade(("Host", GOOD_HOST), ("Origin", origin))) is HTTPStatus.FORBIDDEN
    assert guard.refusal(request(("Host", GOOD_HOST), ("Origin", origin))) is HTTPStatus.FORBIDDEN


def test_a_socket_without_origin_is_refused() -> None:
    assert Guard(8080).refusal(upgrade(("Host", GOOD_HOST))) is HTTPStatus.FORBIDDEN


def test_a_viser_that_starts_its_server_some_other_way_is_noticed() -> None:
    with pytest.raises(InvariantError, match="without its Host and Origin checks"), guarded():
        pass
