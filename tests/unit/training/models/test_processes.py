from __future__ import annotations

import pytest
import torch

from soulstream_engine.errors import ConfigError
from soulstream_training.models import processes


def test_one_process_has_everything_to_itself() -> None:
    rows = torch.arange(6)
    assert processes.num_processes() == 1
    assert processes.own_share(rows) is rows
    assert processes.gathered(rows) is rows


def test_shares_follow_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "num_processes", lambda: 3)
    rows = torch.arange(12).view(6, 2)
    shares = []
    for rank in range(3):
        monkeypatch.setattr(processes.dist, "get_rank", lambda rank=rank: rank)
        shares.append(processes.own_share(rows))
    assert [len(share) for share in shares] == [2, 2, 2]
    assert torch.equal(torch.cat(shares), rows)


def test_a_batch_that_cannot_be_shared_out_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "num_processes", lambda: 4)
    with pytest.raises(ConfigError, match=r"A batch of 10 .* to 4 processes") as caught:
        processes.own_share(torch.zeros(10, 3))
    assert "multiple of 4" in caught.value.hint
