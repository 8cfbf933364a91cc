"""``Door``: which requests are answered here, from which playbook, and which line made them.

It knows hosts and playbooks, and no HTTP library.
"""

from __future__ import annotations

import sys
from ipaddress import ip_address

from pytest_mockstream._base.callsite import awaiting_site
from pytest_mockstream.doors.answer import answer
from pytest_mockstream.doors.delivery import Answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.remedies import remedy_for
from pytest_mockstream.doors.settings import DoorSettings
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.wire import provider_of

#: Where Ollama listens unless told otherwise (https://docs.ollama.com/faq); the one provider on loopback.
_OLLAMA_PORT = 11434

#: What libraries request although their user asked for nothing, and can do without. litellm downloads its price list
#: when it is imported, in a thread that goes on into the tests, and has a copy of its own.
_UNASKED = ("raw.githubusercontent.com/BerriAI/litellm/",)


class Door:
    """Answers requests from a playbook, for as long as it is open.

    Args:
        playbook: has the scripts and keeps the record.
        settings: how streams are played.

    Attributes:
        is_open: whether it answers requests; once closed, all of them go to the network again.
        passthrough: hosts (or ``"host:port"``) that are let out to the network, in lower case.
        intercept: hosts (or ``"host:port"``) that are answered although they are on loopback, in lower case.
    """

    def __init__(self, playbook: Playbook, settings: DoorSettings) -> None:
        self.playbook = playbook
        self.is_open = False
        self.passthrough: set[str] = set()
        self.intercept: set[str] = set()
        self._settings = settings

    def answers(self, host: str, port: int | None) -> bool:
        """Tell whether a request to this host is answered here; if not, it goes to the network."""
        if not self.is_open:
            return False
        names = {host.lower(), f"{host.lower()}:{port}"}
        if names & self.passthrough:
            return False
        return bool(names & self.intercept) or port == _OLLAMA_PORT or not is_loopback(host)

    def turns_away(self, incoming: HTTPRequest) -> bool:
        """Tell whether a library makes this request unasked: it fails to connect, which does not fail the test."""
        return f"{incoming.host}{incoming.path}".startswith(_UNASKED)

    def forbidden(self, host: str) -> str | None:
        """Return the provider whose host this is, if connecting to it is forbidden while the door is open."""
        return provider_of(host) if self.is_open and host.lower() not in self.passthrough else None

    def answer(self, incoming: HTTPRequest) -> Answer:
        """Answer a request; the user's line that made it is found from the caller's frame."""
        frame = sys._getframe(1)
        answered = answer(
            self.playbook,
            incoming,
            opened_at=awaiting_site(frame),
            pacing=self._settings.pacing,
            buffer_size=self._settings.buffer_size,
            background=self._settings.producer == "background",
            way_out=f'{self.playbook.name}.passthrough("{incoming.host}") lets requests to this host out.',
        )
        answered.entry.remedy = remedy_for(frame, answered.entry.remedy)
        return answered


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name.strip("[]"))
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
