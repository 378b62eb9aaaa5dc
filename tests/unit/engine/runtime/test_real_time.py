"""Real-time priority is asked for, not needed, and given back."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from soulstream_engine.runtime import real_time


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_priority_is_given_back() -> None:
    def policy() -> int:
        return os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK

    before = policy()
    agreed = real_time.ask_for(threading.current_thread())
    assert policy() == (os.SCHED_RR if agreed else before)
    real_time.give_up()
    assert policy() == before


def test_a_refusal_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("not allowed")

    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    assert not real_time.ask_for(threading.current_thread())
    real_time.give_up()
    assert not real_time.ask_for(threading.Thread())
