"""However long what is scripted or asked may be, messages stay short enough to be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from pytest_mockstream import (
    Disconnect,
    HTTPError,
    MockStreamClient,
    MockStreamError,
    MockStreamSDK,
    MockStreamServer,
    Reasoning,
    Script,
    ToolCall,
    Wait,
)

httpx: Any = pytest.importorskip("httpx")

BIG = "lorem ipsum " * 90_000
MESSAGES = [{"role": "user", "content": f"message {number}"} for number in range(10_000)]
CHAT = "/v1/chat/completions"
#: Ten scripts, five requests, and what is said around them.
LIMIT = 4_000
OF_A_VALUE = 500


class Asked:
    """A door, and how to ask it; keeps what it says."""

    def __init__(self, door: Any, url: str) -> None:
        self.door = door
        self._url = url
        self.said: list[str] = []

    def ask(self, path: str = CHAT, headers: dict[str, str] | None = None, **body: Any) -> None:
        answer = httpx.post(self._url + path, json={"model": "m", **body}, headers=headers, timeout=60)
        self.said.append(answer.text)

    def finish(self) -> str:
        """Return everything that was said, also at the end."""
        try:
            self.door.verify()
        except MockStreamError as error:
            self.said.append(str(error))
        self.said += map(repr, self.door.requests)
        self.said += map(str, self.door.requests)
        return max(self.said, key=len)


@pytest.fixture(params=["sdk", "server"])
def asked(request: pytest.FixtureRequest) -> Iterator[Asked]:
    with ExitStack() as stack:
        if request.param == "sdk":
            yield Asked(stack.enter_context(MockStreamSDK()), "https://api.openai.com")
        else:
            server = stack.enter_context(MockStreamServer())
            yield Asked(server, server.url)


def test_scripts_of_a_megabyte(asked: Asked) -> None:
    for _ in range(11):
        asked.door.when(contains=BIG).respond(ToolCall("t" * 60_000, {"a": BIG}), Reasoning(BIG), chunking=100_000)

    asked.ask(messages=MESSAGES)

    assert "11 of 11 scripts are left" in asked.said[0]
    assert len(asked.finish()) < LIMIT


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": BIG}]},
        {"messages": BIG},
        {"messages": [{"role": BIG, "content": "hi"}]},
        {"messages": MESSAGES, "model": BIG},
        {"messages": MESSAGES, "tools": [{"type": "function", "function": {"name": BIG}}]},
        {"messages": MESSAGES, "n": BIG},
        {"messages": MESSAGES, "stream": BIG},
        {"messages": MESSAGES, BIG: 1},
    ],
    ids=["text", "messages", "role", "model", "tool", "n", "stream", "key"],
)
def test_requests_of_a_megabyte(asked: Asked, body: dict[str, Any]) -> None:
    asked.door.when(model="another").respond("x")

    asked.ask(**body)

    assert len(asked.finish()) < LIMIT


def test_headers_of_sixty_kilobytes(asked: Asked) -> None:
    asked.door.when(model="another").respond("x")

    asked.ask(messages=MESSAGES[:1], headers={"user-agent": "u" * 60_000, "x-request-id": "r" * 60_000})

    assert len(asked.finish()) < LIMIT


@pytest.mark.parametrize("path", [f"/v1/{'p' * 60_000}", f"/{'p' * 60_000}{CHAT}"])
def test_paths_of_sixty_kilobytes(asked: Asked, path: str) -> None:
    asked.door.when(model="another").respond("x")

    asked.ask(path, messages=MESSAGES[:1])

    assert len(asked.finish()) < LIMIT


#: Not typed: what a type checker would refuse is what this is about.
_Script: Any = Script
_client: Any = MockStreamClient
NOT_LEGAL: dict[str, Callable[[], object]] = {
    "delay": lambda: _Script("x", delay=BIG),
    "chunking": lambda: _Script("x", chunking=BIG),
    "finish_reason": lambda: _Script("x", finish_reason=[BIG]),
    "usage": lambda: _Script("x", usage=BIG),
    "times": lambda: _Script("x", times=BIG),
    "line_ending": lambda: _Script("x", line_ending=BIG),
    "step": lambda: _Script([BIG]),
    "keyword": lambda: _Script(**{BIG: 1}),
    "value of a keyword": lambda: _Script("x", nonsense=BIG),
    "wait": lambda: Wait(BIG),
    "how": lambda: Disconnect(how=BIG),  # type: ignore[arg-type]
    "status": lambda: HTTPError(BIG),  # type: ignore[arg-type]
    "tool": lambda: ToolCall([BIG], {}),  # type: ignore[arg-type]
    "producer": lambda: _client(producer=BIG),
    "host": lambda: MockStreamSDK(passthrough=["/" + BIG]),
    "unnamed condition": lambda: _client().when(BIG),
    "matches": lambda: _client().when(matches="(" + BIG),
    "provider": lambda: _client().when(provider=BIG),
    "predicate": lambda: _client().when(predicate=BIG),
    "turn": lambda: _client().when(turn=BIG),
    "conversation": lambda: _client().chat(BIG),
    "errors": lambda: _client().complete_stream("x", errors=BIG),
}


@pytest.mark.parametrize("name", NOT_LEGAL)
def test_values_of_a_megabyte_that_are_not_legal(name: str) -> None:
    with pytest.raises((MockStreamError, TypeError)) as caught:
        NOT_LEGAL[name]()

    assert len(str(caught.value)) < OF_A_VALUE


def test_stream_that_was_left_open_names_itself_shortly() -> None:
    client = MockStreamClient()
    client.respond(BIG)

    stream = client.complete_stream(BIG)

    assert max(len(repr(stream)), len(str(stream.request)), len(repr(stream.request))) < OF_A_VALUE
    stream.close()
