"""Every step and every fault, recorded through both doors by the real SDKs and played through both: nothing differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from consumers import CONSUMERS, DISCOURAGED, Consumer, Outcome, differences

from pytest_mockstream import (
    Citation,
    Disconnect,
    End,
    ErrorEvent,
    Failed,
    Frame,
    HTTPError,
    Image,
    Interleave,
    KeepAlive,
    Malformed,
    MockStreamSDK,
    MockStreamServer,
    Reasoning,
    Recording,
    Refusal,
    Script,
    ServerTool,
    Stall,
    Text,
    Together,
    ToolCall,
    Truncate,
    Usage,
    Wait,
)
from pytest_mockstream.recordings import Tape
from pytest_mockstream.script.steps import EXTRAS
from pytest_mockstream.wire import endpoints_at

HELLO = Text(["Hel", "lo ", "", "there"])
CALL = ToolCall("weather", fragments=["", '{"city": "Pa', 'ris"}'], id="call_1")
USAGE = Usage(prompt_tokens=7, completion_tokens=9)
SCRIPTS: dict[str, Script] = {
    "text": Script(HELLO, usage=USAGE),
    "text of other planes": Script(Text(["ü€", "\U0001f469‍\U0001f680\u2028", '"\\\n\r\t', "\x00\x7f"])),
    "nothing": Script(),
    "reasoning": Script(Reasoning(["hm", ", yes"]), HELLO),
    "signed reasoning": Script(Reasoning("hm", signature="c2ln"), HELLO),
    "redacted reasoning": Script(Reasoning("c2ln", redacted=True), HELLO),
    "refusal": Script(Refusal(["I will ", "not"])),
    "call": Script(CALL, usage=USAGE),
    "call in one": Script(Text("look: "), ToolCall("weather", {"city": "Paris"}, fragments="whole", id="call_1")),
    "call without arguments": Script(ToolCall("now", id="call_1")),
    "calls": Script(HELLO, CALL, ToolCall("time", {"zone": None}, fragments="char", id="call_2")),
    "calls by turns": Script(Interleave(CALL, ToolCall("time", {"zone": 1}, fragments="char", id="call_2"))),
    "together": Script(Together(Reasoning("hm"), Text("yes")), Text(" and no")),
    "citation": Script(HELLO, Citation("https://example.com/a", "A title", "cited", start=0, end=3)),
    "image": Script(HELLO, Image()),
    "tool of the server": Script(ServerTool("web_search", {"query": "q"}, [{"url": "https://e.com", "title": "t"}])),
    "tools of an MCP server": Script(
        ServerTool("tools/list", {}, [{"name": "f", "input_schema": {"type": "object"}}], server="docs"),
        ServerTool("f", {"a": 1}, "2", server="docs"),
        ServerTool("f", {}, {"error": "no"}, server="docs"),
        HELLO,
    ),
    "code of the server": Script(ServerTool("code_execution", {"code": "1 + 1"}, "2"), HELLO),
    "cut off": Script(HELLO, finish_reason="length"),
    "filtered": Script(HELLO, finish_reason="content_filter"),
    "a wait": Script("one ", Wait(0.01), "two"),
    "byte by byte": Script(HELLO, CALL, fragment="byte"),
    "lines with carriage returns": Script(HELLO, CALL, line_ending="\r\n"),
    "kept alive": Script("one ", KeepAlive(), "two", KeepAlive()),
    "kept alive after the end": Script("one", End(), KeepAlive()),
    "a frame of its own": Script("one ", Frame({"choices": [], "type": "ping", "candidates": []}), "two"),
    "truncated": Script(HELLO, Truncate()),
    "truncated inside of a frame": Script(HELLO, Truncate(inside_frame=True)),
    "truncated at once": Script(Truncate()),
    "truncated call": Script(ToolCall("weather", fragments=["", '{"city'], id="call_1"), Truncate()),
    "reset": Script(HELLO, Disconnect()),
    "reset at once": Script(Disconnect()),
    "reset inside of a frame": Script(HELLO, Disconnect(inside_frame=True)),
    "cut": Script(HELLO, Disconnect(how="cut")),
    "cut at once": Script(Disconnect(how="cut")),
    "cut inside of a frame": Script(HELLO, Disconnect(how="cut", inside_frame=True)),
    "reset after the end": Script(HELLO, End(), Disconnect()),
    "silence": Script(HELLO, Stall()),
    "silence at once": Script(Stall()),
    "stalled for a moment": Script("one ", Stall(0.01), "two"),
    "garbage": Script(HELLO, Malformed()),
    "garbage in the middle": Script("one ", Malformed("{]"), "two"),
    "page of a proxy": Script(Malformed("<html>\n<p>Bad gateway</p>", framed=False), Truncate()),
    "garbage after the end": Script(HELLO, End(), Malformed()),
    "error in the stream": Script(HELLO, ErrorEvent("Overloaded", type="overloaded_error")),
    "error at once": Script(ErrorEvent()),
    "error with a code": Script(HELLO, ErrorEvent("no more", code="insufficient_quota")),
    "failed": Script(HELLO, Failed("It did not work", code="server_error")),
    "incomplete": Script(HELLO, Failed(incomplete="max_output_tokens")),
    "400": Script(HTTPError(400, message="No")),
    "401": Script(HTTPError(401, type="authentication_error", message="Who are you?")),
    "429": Script(HTTPError(429, retry_after=2, headers={"x-ratelimit-remaining-requests": "0"})),
    "429 with a code": Script(HTTPError(429, code="insufficient_quota", message="Pay")),
    "500": Script(HTTPError(500, message="ü\n")),
    "529": Script(HTTPError(529, type="overloaded_error", message="Overloaded")),
}
_PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:generateContent",
    "ollama": "/api/chat",
}
_ONLY_OF = {Refusal: {"chat", "responses"}, Failed: {"responses"}}
#: What else a format has no words for, or its SDK: Anthropic's reads tools of MCP servers as a beta only.
_UNSAID = {
    "chat": {"signed reasoning", "redacted reasoning"},
    "anthropic": {"tools of an MCP server", "error with a code", "429 with a code"},
    "gemini": {
        "tools of an MCP server",
        "redacted reasoning",
        "truncated call",
        "error with a code",
        "429 with a code",
    },
    "ollama": {
        "signed reasoning",
        "redacted reasoning",
        "filtered",
        "truncated call",
        "error with a code",
        "429 with a code",
    },
}
#: What only a stream can say.
_ONLY_STREAMED = {"a frame of its own", "truncated call"}
_BROKEN = {f"{how}{where}" for how in ("truncated", "reset", "cut") for where in ("", " inside of a frame")}
_NOT_WHOLE = {"garbage", "garbage in the middle", "reset after the end"}
#: Where something is lost, which the file then tells; of all others, nothing is.
_LOSSY = {
    ("chat", "streamed"): {"a frame of its own"},
    ("chat", "whole"): _NOT_WHOLE,
    ("responses", "streamed"): {"a frame of its own"},
    ("responses", "whole"): _NOT_WHOLE,
    # The usage comes before the text, and no script says it that has no end.
    ("anthropic", "streamed"): _BROKEN | {"a frame of its own", "silence", "error in the stream", "truncated call"},
    ("anthropic", "whole"): _NOT_WHOLE,
    ("gemini", "streamed"): _BROKEN
    | {"a frame of its own", "silence", "error in the stream", "kept alive after the end"},
    ("gemini", "whole"): _NOT_WHOLE,
    ("ollama", "streamed"): set(),
    ("ollama", "whole"): _NOT_WHOLE,
}


def fits(script: Script, name: str) -> bool:
    """Tell whether a format has a way to say all steps of a script."""
    wire: Any = endpoints_at(_PATHS[name], {}, None)[0][0]
    lacks: set[type] = {kind for kind in EXTRAS if kind not in wire.extras}
    lacks |= {kind for kind, names in _ONLY_OF.items() if name not in names}
    return not any(isinstance(step, tuple(lacks)) for step in script.steps)


pytestmark = pytest.mark.filterwarnings(DISCOURAGED)


@pytest.fixture
def provider() -> Iterator[MockStreamServer]:
    with MockStreamServer() as server:
        yield server


class Asked:
    """One way to ask a consumer's SDK: synchronous or not, streamed or not."""

    def __init__(self, consumer: Consumer, *, is_async: bool, streamed: bool) -> None:
        self.consumer = consumer
        self._ask = consumer.asked_async if is_async else consumer.asked
        self._streamed = streamed

    def __call__(self, url: str, texts: list[str]) -> dict[str, Outcome]:
        return self._ask(url, texts, streamed=self._streamed)

    def recorded_in_process(self, url: str, texts: list[str]) -> tuple[Tape, dict[str, Outcome]]:
        """Ask, recorded by ``MockStreamSDK``."""
        tape = Tape("all", environ={})
        tape.drain = 0.2
        with MockStreamSDK(recordings=tape) as sdk:
            tape.play_at(sdk._playbook)
            return tape, self(url, texts)

    def recorded_by_server(self, url: str, texts: list[str]) -> tuple[Tape, dict[str, Outcome]]:
        """Ask, recorded by ``MockStreamServer``."""
        tape = Tape("all", environ={})
        tape.drain = 0.2
        with MockStreamServer(recordings=tape, upstream=url) as server:
            tape.play_at(server._playbook)
            found = self(server.base_url(self.consumer.provider), texts)
            server.finish_recording()
        return tape, found

    def played_in_process(self, path: Path, url: str, texts: list[str]) -> tuple[dict[str, Outcome], Counter[str]]:
        """Ask, answered by ``MockStreamSDK``; return how often each text was asked, too."""
        with MockStreamSDK() as sdk:
            Tape("none", Recording.load(path), environ={}).play_at(sdk._playbook)
            found = self(url, texts)
            sdk.verify()
            return found, Counter(request.text for request in sdk.requests)

    def played_by_server(self, path: Path, texts: list[str]) -> tuple[dict[str, Outcome], Counter[str]]:
        """Do as ``played_in_process``, answered by ``MockStreamServer``."""
        with MockStreamServer() as server:
            Tape("none", Recording.load(path), environ={}).play_at(server._playbook)
            found = self(server.base_url(self.consumer.provider), texts)
            server.verify()
            return found, Counter(request.text for request in server.requests)


def check(
    name: str, provider: MockStreamServer, path: Path, *, is_async: bool, streamed: bool, by_server: bool
) -> None:
    """Record all scripts as one conversation, and play it twice; in each, a text is asked for by the script's name."""
    consumer = CONSUMERS[name]
    url = provider.base_url(consumer.provider)
    unsaid = _UNSAID.get(name, set()) | (set() if streamed else _ONLY_STREAMED)
    texts = [text for text, script in SCRIPTS.items() if fits(script, name) and text not in unsaid]
    for text in texts:
        script = SCRIPTS[text]
        options: Any = script.options | {"times": None}  # Google's SDK asks again where a connection breaks
        provider.when(matches=rf"\A{text}\Z").respond(Script(*script.steps, **options))
    asked = Asked(consumer, is_async=is_async, streamed=streamed)

    tape, live = (asked.recorded_by_server if by_server else asked.recorded_in_process)(url, texts)

    provider.verify()
    assert live["text"].error is None
    recording = tape.recording()
    recording.save(path)
    lossy = {
        text
        for text, reply in zip((request.text for request in provider.requests), recording.replies, strict=True)
        if reply.lost
    }
    assert lossy == _LOSSY[name, "streamed" if streamed else "whole"]
    count = Counter(request.text for request in provider.requests)
    for played, asked_for in (asked.played_in_process(path, url, texts[::-1]), asked.played_by_server(path, texts)):
        assert asked_for == count
        assert differences(played, {text: outcome for text, outcome in live.items() if text not in lossy}) == {}


@pytest.mark.parametrize("name", ["chat", "anthropic"])
def test_recorded_stream_is_played_as_it_came(name: str, provider: MockStreamServer, tmp_path: Path) -> None:
    check(name, provider, tmp_path / "it.toml", is_async=False, streamed=True, by_server=False)


@pytest.mark.slow
@pytest.mark.parametrize("by_server", [False, True], ids=["in process", "by the server"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("name", CONSUMERS)
def test_every_way_to_ask(
    name: str, provider: MockStreamServer, tmp_path: Path, is_async: bool, streamed: bool, by_server: bool
) -> None:
    check(name, provider, tmp_path / "it.toml", is_async=is_async, streamed=streamed, by_server=by_server)
