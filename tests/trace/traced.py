"""Records code as a test's, and checks what every trace has to keep to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator

from pytest_mockstream.trace import SCHEMA, Recorder, trace_of

TEST = {
    "id": "tests/test_bot.py::test_answer",
    "file": "tests/test_bot.py",
    "line": 12,
    "function": "test_answer",
    "outcome": "failed",
    "python": "3.13.1",
    "platform": "linux",
    "started": "2026-11-28T17:00:00+00:00",
}


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record a block as the call of a test."""
    recorder = Recorder()
    recorder.start()
    try:
        with recorder.phase("test", "call"):
            yield recorder
    finally:
        recorder.stop()


def traced(code: Callable[[], object], **known: Any) -> dict[str, Any]:
    """Run code as a test's call, and return the attempt; it keeps to the schema and to what holds for all traces."""
    recorder = Recorder()
    recorder.start()
    try:
        with recorder.phase("test", "call"):
            code()
        return attempt(recorder, **known)
    finally:
        recorder.stop()


def attempt(recorder: Recorder, **known: Any) -> dict[str, Any]:
    """Return the attempt, checked."""
    made = recorder.attempt(**{"outcome": "passed", "duration": 0.1, **known})
    whole = trace_of(test=TEST, attempts=[made])
    problems = [f"{error.json_path}: {error.message[:200]}" for error in validator().iter_errors(whole)]
    assert problems == []
    assert json.loads(json.dumps(whole)) == whole
    for run in made["runs"]:
        check(run)
    return made


@lru_cache
def validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def check(run: dict[str, Any]) -> None:
    """Check what holds for every run."""
    ids = [lane["id"] for lane in run["lanes"]]
    assert ids == [*range(len(ids))]
    numbers: list[int] = []
    for lane in run["lanes"]:
        end = run["end"] if lane["end"] is None else lane["end"]
        assert 0 <= lane["start"] <= end <= run["end"]
        assert lane["parent"] is None or lane["parent"] in ids
        own = [event["n"] for event in lane["events"]]
        assert own == sorted(own)
        numbers += own
        for event in lane["events"]:
            assert lane["start"] <= event["at"] <= event.get("until", event["at"]) <= end
            assert event.get("lane") is None or event["lane"] in ids
        if (chunks := lane.get("chunks")) is not None:
            columns = {name: len(column) for name, column in chunks.items()}
            assert set(columns.values()) == {len(chunks["n"])}
            assert chunks["n"] == sorted(chunks["n"])
            assert chunks["read"] == sorted(chunks["read"])
            for arrived, read in zip(chunks["arrived"], chunks["read"], strict=True):
                assert lane["start"] <= arrived <= read <= end
            numbers += chunks["n"]
        assert lane["last"] is None or lane["last"] >= lane["first"]
        assert (lane["end"] is None) == (lane["last"] is None)
    assert len(numbers) == len(set(numbers))
    assert {(link["from"] in ids, link["to"] in ids) for link in run["links"]} <= {(True, True)}


def only_run(attempt: dict[str, Any]) -> dict[str, Any]:
    """Return the run of an attempt that has but one."""
    (run,) = attempt["runs"]
    assert isinstance(run, dict)
    return run


def lanes(attempt: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the lanes of a kind in the only run."""
    return [lane for lane in only_run(attempt)["lanes"] if lane["kind"] == kind]


def kinds(lane: dict[str, Any]) -> list[str]:
    """Return what happened on a lane."""
    return [event["kind"] for event in lane["events"]]
