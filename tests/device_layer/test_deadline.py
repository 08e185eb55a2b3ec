from __future__ import annotations

import pytest

from harness.device import Deadline
from harness.errors import DeadlineExceeded


def test_deadline_in_the_future_lets_pass() -> None:
    deadline = Deadline(60)
    deadline.check("waiting")
    assert 0 < deadline.remaining() <= 60
    assert not deadline.expired


def test_deadline_in_the_past_raises_with_its_data() -> None:
    deadline = Deadline(-1)
    assert deadline.remaining() == 0
    with pytest.raises(DeadlineExceeded, match="waiting") as caught:
        deadline.check("waiting", "SERIAL")
    assert caught.value.serial == "SERIAL"
    assert caught.value.timeout_s == -1
