"""Random scripts through every door: whatever the door, the same comes out.

A script is kept as the source text of its steps and options: each play makes it anew, with gates of its own, and a
failure prints it as one would write it.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import httpx2
import openai

import pytest_mockstream
from pytest_mockstream import (
    Gate,
    MalformedChunkError,
    MockStreamClient,
    MockStreamError,
    MockStreamSDK,
    ProviderError,
    Script,
    StreamChunk,
    StreamDisconnected,
    StreamTimeout,
)
from pytest_mockstream.doors.server import MockStreamServer
from pytest_mockstream.script.pacing import Pacing

from .problem import Failed
from .sdks import ASYNC_KINDS, IN_PROCESS, PROMPT, AsyncClients, Place, SyncClients, shown

_PATIENCE = 30.0
_STALL_PATIENCE = 0.4  # where the reader is meant to lose it
_LOOKS = 500
_WORDS = [
    "one",
    "two ",
    " three",
    "Grüße",
    "世界",
    "🌍",
    "\n",
    "\r\n\r\n",
    "data: x",
    '"quoted"',
    "\\",
    "\u2028",
    "<b>",
]


# Making them.


@dataclass(frozen=True, slots=True)
class Recipe:
    """A script in source text.

    Attributes:
        steps: the source of each step.
        options: the source of each option's value.
        buffer_size: of every door.
    """

    steps: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    buffer_size: int = 100

    def __str__(self) -> str:
        arguments = [*self.steps, *(f"{name}={value}" for name, value in self.options.items())]
        return f"Script({', '.join(arguments)})  # buffer_size={self.buffer_size}"

    def script(self) -> Script:
        """Make the script; its gates are new."""
        made: Script = eval(str(self), vars(pytest_mockstream) | _NAMES)  # noqa: S307 - our own text
        return made

    def has(self, word: str) -> bool:
        """Tell whether a word occurs in the steps."""
        return any(word in step for step in self.steps)

    @property
    def is_like_client(self) -> bool:
        """Whether the default client, which has no frames, gives what an SDK reads from frames."""
        return "duplicate" not in self.options and not self.has("framed=False")

    def smaller(self) -> Iterator[Recipe]:
        """Yield the recipes that have one thing less."""
        for place in range(len(self.steps)):
            yield replace(self, steps=self.steps[:place] + self.steps[place + 1 :])
        for name in self.options:
            yield replace(self, options={key: value for key, value in self.options.items() if key != name})


#: What the recipes name; the package loads its names when they are asked for.
_NAMES = {name: getattr(pytest_mockstream, name) for name in pytest_mockstream.__all__}


def recipe(chance: random.Random) -> Recipe:
    """Return a random script: every step, every option, every fault."""
    steps = [_step(chance) for _ in range(chance.choice([0, 1, 1, 2, 3, 5, 8]))]
    if chance.random() < 0.4:
        steps.append(_fault(chance))
    if chance.random() < 0.08:
        waits = ["Wait(0.001)"] * chance.randrange(2)
        status = chance.choice([400, 401, 403, 404, 408, 409, 422, 429, 500, 503, 529, 599])
        after = chance.choice(["None", "0.5", "'1s'"])
        steps = [*waits, f"HTTPError({status}, retry_after={after}, message={_text(chance)!r})"]
    return Recipe(tuple(steps), _options(chance), chance.choice([1, 2, 7, 100]))


def _text(chance: random.Random) -> str:
    return "".join(chance.choice(_WORDS) for _ in range(chance.choice([0, 1, 2, 4, 12])))


def _prose(chance: random.Random) -> str:
    return repr([_text(chance) for _ in range(chance.randrange(4))] if chance.random() < 0.3 else _text(chance))


def _step(chance: random.Random) -> str:
    match chance.randrange(12):
        case 0 | 1 | 2 | 3:
            return f"Text({_prose(chance)})"
        case 4 | 5:
            return f"Reasoning({_prose(chance)})"
        case 6:
            return f"Refusal({_prose(chance)})" if chance.random() < 0.3 else repr(_text(chance))
        case 7 | 8:
            arguments = chance.choice(
                [{}, {"city": "Paris"}, {"a": [1, None, {"b": _text(chance)}]}, '{"x": 1}', '{"broken', ""]
            )
            call_id = f", id={'call-' + str(chance.randrange(3))!r}" if chance.random() < 0.3 else ""
            return f"ToolCall({chance.choice(['get_weather', 'f'])!r}, {arguments!r}{call_id})"
        case 9:
            return f"Wait({chance.choice([0, 0.0005, 0.002])})"
        case 10:
            return chance.choice(["Gate()", f"Stall({chance.choice([0, 0.002])})"])
    return "KeepAlive()"


def _fault(chance: random.Random) -> str:
    inside = chance.choice(["True", "False"])
    match chance.randrange(14):
        case 0 | 1 | 2:
            return f"Truncate(inside_frame={inside})"
        case 3 | 4 | 5 | 6:
            return f"Disconnect(how={chance.choice(['reset', 'cut'])!r}, inside_frame={inside})"
        case 7 | 8 | 9:
            kind = chance.choice([None, "overloaded_error", "rate_limit_error", "made_up"])
            return f"ErrorEvent({_text(chance)!r}, type={kind!r})"
        case 10:
            return "Stall()"
    data = chance.choice(['{"choices": [{', "<html>", "", "}", "\n\n"])
    return f"Malformed({data!r}, framed={chance.random() < 0.8})"


def _options(chance: random.Random) -> dict[str, str]:
    possible = {
        "delay": ["0.0005", "0.001", "'1ms'"],
        "ttft": ["0", "0.002"],
        "jitter": ["0.001"],
        "seed": ["0", "7"],
        "chunking": ["'word'", "'char'", "1", "3", "lambda text: [text]", "lambda text: [text[:1], '', text[1:]]"],
        "finish_reason": ["'stop'", "'length'", "'tool_calls'", "'content_filter'"],
        "usage": ["Usage()", "Usage(prompt_tokens=3, completion_tokens=5, reasoning_tokens=2)"],
        "fragment": ["'byte'", "'random'", "1", "7", "1000"],
        "line_ending": [repr("\n"), repr("\r\n")],
        "between": ["'comment'", "'ping'"],
        "duplicate": ["1", "3"],
    }
    taken = {name: chance.choice(values) for name, values in possible.items() if chance.random() < 0.12}
    if "delay" not in taken and chance.random() < 0.05:
        taken["tokens_per_second"] = "2000"
    return taken


# Playing them.


@dataclass(slots=True)
class Outcome:
    """What a reader of a chat got.

    Attributes:
        deltas: the text of each chunk that has any; likewise ``reasoning`` and ``refusal``.
        calls: id, name and arguments of each tool call.
        finish: the finish reason.
        usage: tokens in, out, and of reasoning.
        failure: the kind of error that ended it, or "".
    """

    deltas: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: dict[int, list[str]] = field(default_factory=dict)
    finish: str | None = None
    usage: tuple[int, int, int] | None = None
    failure: str = ""

    def add_chunk(self, chunk: StreamChunk) -> None:
        """Add a chunk of the default client."""
        thought = chunk.reasoning if chunk.error is None else ""  # with an error, it is all that came before
        for said, to in ((chunk.delta, self.deltas), (thought, self.reasoning), (chunk.refusal, self.refusal)):
            if said:
                to.append(said)
        if (call := chunk.tool_call) is not None:
            self._add_call(call.index, call.id, call.name, call.arguments)
        self.finish = chunk.finish_reason or self.finish
        if (usage := chunk.usage) is not None:
            self.usage = (usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens)
        if chunk.error is not None:
            self.failure = _kind_of(chunk.error)

    def add_event(self, event: Any) -> None:
        """Add a chunk of the openai SDK."""
        for choice in event.choices:
            delta = choice.delta
            thought = getattr(delta, "reasoning_content", None)
            for said, to in ((delta.content, self.deltas), (thought, self.reasoning), (delta.refusal, self.refusal)):
                if said:
                    to.append(said)
            for call in delta.tool_calls or ():
                self._add_call(call.index, call.id, call.function.name, call.function.arguments or "")
            self.finish = choice.finish_reason or self.finish
        if (usage := event.usage) is not None:
            thought = usage.completion_tokens_details.reasoning_tokens
            self.usage = (usage.prompt_tokens, usage.completion_tokens, thought)

    def _add_call(self, index: int, call_id: str | None, name: str | None, arguments: str) -> None:
        self.calls.setdefault(index, [call_id or "", name or "", ""])[2] += arguments


_KINDS_OF_FAILURE: dict[str, tuple[type[Exception], ...]] = {
    "timeout": (StreamTimeout, openai.APITimeoutError, httpx.TimeoutException, httpx2.TimeoutException),
    "connection lost": (
        StreamDisconnected,
        openai.APIConnectionError,
        httpx.TransportError,
        httpx2.TransportError,
    ),
    "no JSON": (MalformedChunkError, json.JSONDecodeError),
    "error of the provider": (ProviderError, openai.APIError),
}


def _kind_of(error: Exception) -> str:
    found = [kind for kind, classes in _KINDS_OF_FAILURE.items() if isinstance(error, classes)]
    return found[0] if found else repr(error)


def _class(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__name__}"


@contextmanager
def _opening(gates: Iterable[Gate]) -> Iterator[None]:
    """Open each gate as soon as a reader waits at it."""
    over = threading.Event()

    def watch() -> None:
        for gate in gates:
            while not over.is_set():
                try:
                    gate.wait_reached(0.02)
                except TimeoutError:
                    continue
                gate.open()
                break

    threads = [threading.Thread(target=watch, name="soak: opens gates")] if gates else []
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


class Plays:
    """Plays scripts through all doors and compares what comes out.

    Args:
        server: the door over HTTP.
    """

    def __init__(self, server: MockStreamServer) -> None:
        self.server = server
        self.count = 0
        self._places = {"sdk": IN_PROCESS, "server": Place.server(server.url)}
        self._clients: dict[tuple[str, float], SyncClients] = {}

    def close(self) -> None:
        """Close the clients; the next play makes new ones."""
        while self._clients:
            self._clients.popitem()[1].close()

    def round(self, chance: random.Random) -> None:
        """Play one random script through all doors.

        Raises:
            Failed: what comes out differs; the message has the smallest such script.
        """
        made = recipe(chance)
        seed = chance.getrandbits(32)
        if (difference := self._difference(made, seed)) is None:
            return
        if made.has("Stall()") and self._difference(made, seed, slower=4) is None:
            return  # a busy machine: the reader lost its patience too early
        is_smaller = True
        while is_smaller:
            is_smaller = False
            for smaller in made.smaller():
                try:
                    found = self._difference(smaller, seed)
                except MockStreamError:  # what is left is no legal script
                    continue
                if found is not None:
                    made, difference, is_smaller = smaller, found, True
                    break
        raise Failed(f"the doors differ over\n  {made}\n{difference}")

    def _difference(self, made: Recipe, seed: int, *, slower: float = 1) -> str | None:
        chance = random.Random(seed)  # noqa: S311 - a seed, not cryptography
        patience = _STALL_PATIENCE * slower if made.has("Stall()") else _PATIENCE
        outcomes = {
            f"client {how} {producer}": self._play_client(
                made, how, producer, patience, chance.choice(["raise", "chunk"])
            )
            for how in ("sync", "async")
            for producer in ("inline", "background")
        }
        if made.is_like_client:
            for door in self._places:
                outcomes[f"openai through {door}"] = self._play_chat(made, door, patience)
        if found := _first_difference(outcomes):
            return found
        kind, streaming, is_async = chance.choice(ASYNC_KINDS), chance.random() < 0.75, chance.random() < 0.5
        if kind == "aiohttp":
            streaming, is_async = True, True
        how = f"{'async' if is_async else 'sync'} {kind}{'' if streaming else ', whole'}"
        events = {
            f"{how} through {door}": self._play_sdk(made, door, kind, patience, streaming=streaming, is_async=is_async)
            for door in self._places
        }
        return _first_difference(events)

    def _play_client(self, made: Recipe, how: str, producer: Any, patience: float, errors: Any) -> Outcome:
        self.count += 1
        script, outcome = made.script(), Outcome()
        client = MockStreamClient(producer=producer, buffer_size=made.buffer_size)
        client.respond(script)

        def read() -> None:
            with client.complete_stream(PROMPT, timeout=patience, errors=errors) as stream:
                for chunk in stream:
                    outcome.add_chunk(chunk)

        async def aread() -> None:
            async with client.complete_stream(PROMPT, timeout=patience, errors=errors) as stream:
                async for chunk in stream:
                    outcome.add_chunk(chunk)
            await check_no_task_is_left()

        with _opening(script.gates):
            try:
                read() if how == "sync" else asyncio.run(aread())
            except MockStreamError as error:
                outcome.failure = _kind_of(error)
        client.verify()
        return outcome

    def _play_chat(self, made: Recipe, door: str, patience: float) -> Outcome:
        outcome = Outcome()

        def ask(clients: SyncClients) -> None:
            with clients.stream("chat") as stream:
                for event in stream:
                    outcome.add_event(event)

        with self._scripted(made, door):
            try:
                ask(self._sync_clients(door, patience))
            except Exception as error:  # whatever it is: the doors are compared
                outcome.failure = _kind_of(error)
        return outcome

    def _play_sdk(
        self, made: Recipe, door: str, kind: str, patience: float, *, streaming: bool, is_async: bool
    ) -> list[str]:
        """Return the events that an SDK gives, and at the end the class of the error, if there is one."""
        events: list[str] = []

        def ask() -> None:
            clients = self._sync_clients(door, patience)
            if streaming:
                events.extend(map(shown, clients.stream(kind)))
            else:
                events.append(shown(clients.whole(kind)))

        async def aask() -> None:
            clients = AsyncClients(self._places[door], patience)
            try:
                stream: AsyncIterator[Any] = await clients.stream(kind)
                async for event in stream:
                    events.append(shown(event))  # noqa: PERF401 - it may break midway
            finally:
                await clients.close()
            await check_no_task_is_left()

        with self._scripted(made, door):
            try:
                asyncio.run(aask()) if is_async and streaming else ask()
            except Failed:
                raise
            except Exception as error:  # whatever it is: the doors are compared
                events.append(_class(error))
        return events

    @contextmanager
    def _scripted(self, made: Recipe, door: str) -> Iterator[None]:
        """Have a door play a script meanwhile."""
        self.count += 1
        script = made.script()
        if door == "server":
            self.server.reset(pacing=Pacing(), buffer_size=made.buffer_size)
            self.server.respond(script, times=None)
            with _opening(script.gates):
                yield
            self.server.reset()
            return
        with MockStreamSDK(buffer_size=made.buffer_size) as sdk:
            sdk.respond(script, times=None)
            with _opening(script.gates):
                yield

    def _sync_clients(self, door: str, patience: float) -> SyncClients:
        key = (door, patience)
        if key not in self._clients:
            self._clients[key] = SyncClients(self._places[door], patience)
        return self._clients[key]


async def check_no_task_is_left() -> None:
    """Raise ``Failed`` if a task stays in the running loop; those that close what was dropped may take some turns."""
    for _ in range(_LOOKS):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0.01)
    raise Failed(f"tasks are left: {left}")


def _first_difference(outcomes: dict[str, Any]) -> str | None:
    (first, expected), *others = outcomes.items()
    for name, outcome in others:
        if outcome != expected:
            return f"  {first}:\n    {expected}\n  {name}:\n    {outcome}"
    return None
