"""``Door``: which requests are answered here, from which playbook, and which line made them.

It knows hosts and playbooks, and no HTTP library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pytest_mockstream._base.callsite import awaiting_site
from pytest_mockstream.doors.answer import Answer, HowToPlay, Passed, aanswer_or_pass, answer_or_pass
from pytest_mockstream.doors.asker import asker_of
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.remedies import remedy_for
from pytest_mockstream.doors.settings import DoorSettings
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.wire import endpoints_at, is_listed, is_loopback

from .drains import Drains

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Where Ollama listens unless told otherwise (https://docs.ollama.com/faq); the one provider on loopback.
_OLLAMA_PORT = 11434

#: What libraries request although their user asked for nothing, and can do without. litellm downloads its price list
#: when it is imported, in a thread that goes on into the tests, and has a copy of its own. The SDKs of AWS and Google
#: ask the machine for credentials, and find none on a machine that is not theirs.
_UNASKED = (
    "raw.githubusercontent.com/BerriAI/litellm/",
    "169.254.169.254/",
    "169.254.170.2/",
    "metadata.google.internal/",
)


class Door:
    """Answers requests from a playbook, for as long as it is open.

    Args:
        playbook: has the scripts and keeps the record.
        settings: how streams are played.
        provider: who is asked in OpenAI's format; None leaves it to the request.

    Attributes:
        is_open: whether it answers requests; once closed, all of them go to the network again.
        passthrough: hosts (or ``"host:port"``) that are let out to the network, in lower case.
        intercept: hosts (or ``"host:port"``) that are answered although they are on loopback, in lower case.
        drains: reads the rest of recorded answers.
    """

    def __init__(self, playbook: Playbook, settings: DoorSettings, provider: str | None = None) -> None:
        self.playbook = playbook
        self.is_open = False
        self.passthrough: set[str] = set()
        self.intercept: set[str] = set()
        self.drains = Drains()
        self._settings = settings
        self._provider = provider
        self._let_out: list[str] = []  # once for each request on its way

    def answers(self, host: str, port: int | None, method: str = "", target: str = "") -> bool:
        """Tell whether a request is answered here; if not, it goes to the network.

        Args:
            host: who is asked.
            port: of it.
            method: where it is known.
            target: path and query, where they are known. A model on this machine is a provider, too, for a test that
                records or plays a recording.
        """
        if not self.is_open:
            return False
        if self.lets_out(host, port):
            return False
        if is_listed(host, port, self.intercept) or port == _OLLAMA_PORT or not is_loopback(host):
            return True
        return self.records and _asks_model(method, target)

    def may_answer(self, host: str, port: int | None) -> bool:
        """Tell whether requests to this host may be answered here, depending on what they ask for."""
        is_for_us = self.records and self.is_open and is_loopback(host) and not self.lets_out(host, port)
        return is_for_us or self.answers(host, port)

    @property
    def records(self) -> bool:
        """Whether the test records, or plays a recording."""
        return self.playbook.recordings is not None

    @contextmanager
    def letting_out(self, host: str) -> Iterator[None]:
        """Let a request out to its provider, past the guard, while the block lasts."""
        self._let_out.append(host.lower())
        try:
            yield
        finally:
            self._let_out.remove(host.lower())

    def passes(self, host: str, port: object) -> bool:
        """Tell whether the guard has to let somebody out to this host."""
        return host.lower() in self._let_out or self.lets_out(host, port)

    def lets_out(self, host: str, port: object) -> bool:
        """Tell whether the test lets this host out."""
        return is_listed(host, port, self.passthrough)

    def turns_away(self, incoming: HTTPRequest) -> bool:
        """Tell whether a library makes this request unasked: it fails to connect, which does not fail the test."""
        return f"{incoming.host}{incoming.path}".startswith(_UNASKED)

    def answer(self, incoming: HTTPRequest) -> Answer | Passed:
        """Answer a request; the user's line that made it is found from the caller's frame."""
        frame = sys._getframe(1)
        asker = asker_of(frame, incoming.lower_headers)
        answered = answer_or_pass(self.playbook, incoming, opened_at=awaiting_site(frame), **self._how(incoming))
        answered.entry.asker = asker
        answered.entry.remedy = remedy_for(frame, answered.entry.remedy)
        return answered

    async def aanswer(self, incoming: HTTPRequest) -> Answer | Passed:
        """Do as ``answer`` for an async library; functions of the user's that are async are awaited here."""
        frame: FrameType | None = sys._getframe(1)
        opened_at, remedy = awaiting_site(frame), remedy_for(frame, "")  # type: ignore[arg-type] # it is a frame
        asker = asker_of(frame, incoming.lower_headers)
        frame = None  # it would keep the caller's locals
        answered = await aanswer_or_pass(self.playbook, incoming, opened_at=opened_at, **self._how(incoming))
        answered.entry.remedy = remedy or answered.entry.remedy
        answered.entry.asker = asker
        return answered

    def _how(self, incoming: HTTPRequest) -> HowToPlay:
        return {
            "pacing": self._settings.pacing,
            "buffer_size": self._settings.buffer_size,
            "background": self._settings.producer == "background",
            "provider": self._provider,
            "lends_keys": True,
            "way_out": f'{self.playbook.name}.passthrough("{incoming.host}") lets requests to this host out.',
        }


#: The doors of the process that are open, the innermost last.
OPEN: list[Door] = []


def answering(host: str, port: int | None, method: str = "", target: str = "") -> Door | None:
    """Return the innermost door that answers a request; without one, it goes to the network. See ``Door.answers``."""
    return next((door for door in reversed(OPEN[:]) if door.answers(host, port, method, target)), None)


def may_answer(host: str, port: int | None) -> bool:
    """Tell whether a door may answer requests to a host, depending on what they ask for."""
    return any(door.may_answer(host, port) for door in OPEN[:])


def _asks_model(method: str, target: str) -> bool:
    """Tell whether a request is in one of the formats; at the root of a host, anything may be."""
    path = target.partition("?")[0]
    known = endpoints_at(path, {}) if path.strip("/") else []
    return any(endpoint.method == method.upper() for endpoint, _ in known)
