"""When a receiver that leaves for good has all that its session held."""

from __future__ import annotations

import pytest

from traksense_ingest.receiver import leave


class Session:
    """An intake that has appended all that came; the broker's answer comes behind what it held up, in order."""

    is_idle = True

    def __init__(self, *held_up: int) -> None:
        self._held_up = list(held_up)
        self.received = 0
        self.answers = 0

    async def answered(self) -> None:
        self.answers += 1
        self.received += self._held_up.pop(0) if self._held_up else 0


@pytest.mark.parametrize(("held_up", "answers"), [((), 1), ((3,), 2), ((3, 1), 3)])
async def test_a_quiet_broker_has_nothing_more_only_if_it_answers(
    held_up: tuple[int, ...], answers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leave, "QUIET_S", 0.01)
    monkeypatch.setattr(leave, "POLL_S", 0.001)
    session = Session(*held_up)
    await leave.drained(session, session.answered)  # type: ignore[arg-type]
    assert (session.received, session.answers) == (sum(held_up), answers)
