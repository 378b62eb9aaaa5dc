"""A target is read, or refused with its value, the limit and an example."""

from __future__ import annotations

import pytest

from soulstream_engine.errors import ConfigError
from soulstream_engine.osc.target import FaceNames, RootMotion, VmcOptions, VmcTarget, parse_target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("vmc://", VmcTarget("127.0.0.1", 39539)),
        ("vmc://:39540", VmcTarget("127.0.0.1", 39540)),
        ("vmc://stage-pc", VmcTarget("stage-pc", 39539)),
        (" vmc://10.0.0.2:1/ ", VmcTarget("10.0.0.2", 1)),
        ("vmc://[::1]:65535", VmcTarget("::1", 65535)),
        (
            "vmc://a:5?root=split&names=camel&mirror=yes&bundle=no",
            VmcTarget("a", 5, VmcOptions(RootMotion.SPLIT, FaceNames.CAMEL, is_mirrored=True, is_bundled=False)),
        ),
    ],
)
def test_reads(url: str, target: VmcTarget) -> None:
    assert parse_target(url) == target


@pytest.mark.parametrize(
    ("url", "code", "said"),
    [
        ("127.0.0.1:39539", "OSC_SCHEME_UNKNOWN", "known: 'vmc'"),
        ("osc://127.0.0.1:39539", "OSC_SCHEME_UNKNOWN", "scheme 'osc'"),
        ("", "OSC_SCHEME_UNKNOWN", "''"),
        ("vmc://a:0", "OSC_PORT_INVALID", "port '0'; the range is 1 to 65535"),
        ("vmc://a:65536", "OSC_PORT_INVALID", "port '65536'"),
        ("vmc://a:99999999999999999999", "OSC_PORT_INVALID", "range"),
        ("vmc://a:-1", "OSC_PORT_INVALID", "port '-1'"),
        ("vmc://a:x", "OSC_PORT_INVALID", "port 'x'"),
        ("vmc://[::1]:x", "OSC_PORT_INVALID", "port 'x'"),
        ("vmc://[::1", "OSC_TARGET_INVALID", "not a URL"),
        ("vmc://a/path", "OSC_TARGET_INVALID", "more than host, port and options"),
        ("vmc://me@a:5", "OSC_TARGET_INVALID", "more than host"),
        (
            "vmc://a?root=feet&rate=5",
            "OSC_OPTION_INVALID",
            "root='feet' is not one of hips, root, split; option",
        ),
    ],
)
def test_refuses(url: str, code: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_target(url)
    assert raised.value.code == code
    assert said in raised.value.message
    assert "vmc://127.0.0.1:39539" in raised.value.hint
