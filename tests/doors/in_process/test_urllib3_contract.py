"""In process and over the network, code on urllib3 gets the same: bytes, exceptions, causes, number of requests."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from urllib3_readers import READERS, Reader

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    KeepAlive,
    Malformed,
    MockStreamSDK,
    MockStreamServer,
    Script,
    Stall,
    Truncate,
    Wait,
)

PATIENCE = 30.0
SHORT = 0.2  # where the reader is meant to lose patience
SCRIPTS = {
    "whole": Script("Grüße 世界 🌍  end"),
    "empty": Script(),
    "slow first byte": Script(Wait(0.02), "late"),
    "keep-alives": Script("one ", KeepAlive(), "two"),
    "byte by byte": Script("Grüße 🌍", fragment="byte"),
    "garbage": Script("one ", Malformed(), "two"),
    "truncated": Script("one two ", Truncate()),
    "truncated at once": Script(Truncate()),
    "truncated inside a frame": Script("one two ", Truncate(inside_frame=True)),
    "reset": Script("one two ", Disconnect()),
    "reset at once": Script(Disconnect(), times=None),
    "reset once": Script(Disconnect()),
    "reset inside a frame": Script("one two ", Disconnect(inside_frame=True)),
    "cut": Script("one two ", Disconnect(how="cut")),
    "cut at once": Script(Disconnect(how="cut"), times=None),
    "cut once": Script(Disconnect(how="cut")),
    "cut inside a frame": Script("one two ", Disconnect(how="cut", inside_frame=True)),
    "stall": Script("one two ", Stall()),
    "stall at once": Script(Stall(), times=None),
    "short stall": Script("one ", Stall(0.02), "two"),
    "error event": Script("one ", ErrorEvent("overloaded")),
    "status 400": Script(HTTPError(400)),
    "status 429": Script(HTTPError(429), times=None),
    "429 and then a stream": Script(HTTPError(429, retry_after=0.01)),
    "status 503": Script(HTTPError(503), times=None),
}
#: Each reader with some of them, and each of them with some reader; the rest repeats it in breadth.
DIAGONAL = {
    (reader, name) for reader in ("requests content", "requests again", "botocore stream") for name in SCRIPTS
} | {(reader, name) for reader in READERS for name in ("whole", "reset", "cut", "reset once", "429 and then a stream")}
CELLS = [
    pytest.param(reader, name, marks=() if (reader, name) in DIAGONAL else pytest.mark.slow, id=f"{reader}-{name}")
    for reader in READERS
    for name in SCRIPTS
]


@dataclass
class Outcome:
    """All that a consumer, and the test behind it, can tell of a reading."""

    got: bytes = b""
    errors: list[str] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    chunks_sent: list[int] = field(default_factory=list)


def outcome_of(reader: Reader, door: MockStreamSDK | MockStreamServer, script: Script, base_url: str) -> Outcome:
    door.respond(script, times=script.times)
    if script.times is not None:
        door.respond("the second try", times=None)
    outcome = Outcome()
    try:
        for part in reader(base_url, SHORT if Stall() in script.steps else PATIENCE):
            outcome.got += part
    except Exception as error:  # whatever it is: the doors are compared
        outcome.errors = chain(error)
    outcome.states = [request.state for request in door.requests]
    outcome.chunks_sent = [request.chunks_sent for request in door.requests]
    return outcome


def chain(error: BaseException | None) -> list[str]:
    """Return an error, and what was the cause of it or was being handled, without what an address decides."""
    if error is None:
        return []
    text = re.sub(r"host='[^']*', port=\d+|https?://[^/]*|0x[0-9a-f]+", "-", str(error)).replace("HTTPS", "HTTP")
    return [f"{type(error).__module__}.{type(error).__name__}: {text}", *chain(error.__cause__ or error.__context__)]


@pytest.mark.mockstream(unused="allow")
@pytest.mark.parametrize(("reader", "name"), CELLS)
def test_in_process_and_over_the_network_a_script_is_the_same(
    mock_stream_sdk: MockStreamSDK, mock_stream_server: MockStreamServer, reader: str, name: str
) -> None:
    script = SCRIPTS[name]

    in_process = outcome_of(READERS[reader], mock_stream_sdk, script, "https://api.openai.com")
    over_network = outcome_of(READERS[reader], mock_stream_server, script, mock_stream_server.url)

    if Stall() in script.steps:
        # That it was a timeout is known in the client only: over the network it is one more client that leaves.
        assert "broken" in in_process.states
        in_process.states = [state.replace("broken", "closed") for state in in_process.states]
    assert in_process == over_network
