"""What a trace costs, in calls of functions: those are the same on every machine, and on a busy one."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced import attempt, recording

from pytest_mockstream import MockStreamClient
from pytest_mockstream import trace as trace_package
from pytest_mockstream.trace.axis import rounded

FOLDER = os.path.dirname(str(trace_package.__file__))


@contextmanager
def calls() -> Iterator[list[str]]:
    """Collect the functions of the trace that are called in this thread."""
    called: list[str] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(FOLDER):
            called.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield called
    finally:
        sys.setprofile(before)


def test_chunk_costs_one_call_while_its_test_runs() -> None:
    client = MockStreamClient()
    client.respond("word " * 40)
    with recording(), client.complete_stream("Tell me") as stream, calls() as called:
        for _ in range(40):
            next(stream)

    assert called == ["Recorder._note"] * 40


def calls_of_attempt(words: int) -> int:
    client = MockStreamClient()
    client.respond("word " * words)
    with recording() as recorder:
        with client.complete_stream("Tell me") as stream:
            stream.read()
        with calls() as called:
            attempt(recorder)
    return len(called)


def test_chunk_costs_few_calls_when_a_trace_is_made() -> None:
    calls_of_attempt(1)  # what is remembered for the next ones is, then

    assert calls_of_attempt(110) - calls_of_attempt(10) <= 7 * 100


@pytest.mark.parametrize("instant", [float("inf"), -float("inf")])
def test_instant_without_end_stays_so(instant: float) -> None:
    assert rounded(instant) == instant


@given(st.floats(0, 1e6))
def test_rounded_instant_has_microseconds(instant: float) -> None:
    found = rounded(instant)

    assert found == round(found, 6)
    assert abs(found - instant) <= 0.5000001e-6
