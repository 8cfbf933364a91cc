"""``MockStreamSDK``: the door for code that makes its own SDK clients, in process and without a socket.

While it is open, the environment has fake keys where it has no real ones. It needs no pytest.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self, Unpack

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.answer import PROVIDERS
from pytest_mockstream.doors.settings import DoorOptions, door_settings, lists_door_options
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.scripting import Scripted, default_script

from .intercept import Door, opened

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

FAKE_KEY = "mock-stream-sdk-fake-key"
#: What an SDK needs in the environment when a client is made, and what else would do: two Google keys at once make
#: google-genai warn. litellm downloads a price list when it is imported, unless told that its own copy will do.
_ENVIRONMENT = (
    ("OPENAI_API_KEY", FAKE_KEY, ()),
    ("ANTHROPIC_API_KEY", FAKE_KEY, ("ANTHROPIC_AUTH_TOKEN",)),
    ("GEMINI_API_KEY", FAKE_KEY, ("GOOGLE_API_KEY",)),
    ("LITELLM_LOCAL_MODEL_COST_MAP", "True", ()),
)


class MockStreamSDK(Scripted):
    """Answers the requests of the real SDKs in this process from scripts. The fixture opens one for a test.

    It is a context manager. While it is open, it answers every request through httpx, httpx2 or aiohttp, sync and
    async, for any host, also of clients that were made before. Requests to localhost go to the network as usual, except
    on Ollama's port. Connecting to a provider's host by any other way is refused.

    Args:
        default_text: the text that every request gets as long as no script was ever queued.
        delay: seconds before each chunk.
        ttft: seconds before the first chunk; default: ``delay``.
        jitter: the largest random change of each gap between chunks, plus or minus, in seconds.
        seed: of the jitter.
        tokens_per_second: instead of ``delay``; one chunk counts as one token.
        producer: ``"inline"``, or ``"background"`` for a real task or thread behind each stream.
        buffer_size: how many frames the producer may be ahead of its reader.
        passthrough: hosts (``"api.example.com"`` or ``"host:port"``) whose requests go to the network.
        intercept: hosts on this machine (``"localhost"`` or ``"localhost:8000"``) whose requests are answered, too.

    Raises:
        ScriptError: a value is not legal.
        TypeError: there is no such keyword.

    Example:
        >>> with MockStreamSDK() as sdk:  # doctest: +SKIP
        ...     sdk.respond("Hello")
        ...     openai.OpenAI().chat.completions.create(...)
    """

    @lists_door_options
    def __init__(
        self, *, passthrough: Iterable[str] = (), intercept: Iterable[str] = (), **options: Unpack[DoorOptions]
    ) -> None:
        settings = door_settings(options, DoorOptions, "passthrough", "intercept")
        super().__init__(Playbook(default_script(settings.default_text), name="mock_stream_sdk", providers=PROVIDERS))
        self._default_text = settings.default_text
        self._door = door = Door(self._playbook, settings)
        self._playbook.is_open = lambda: door.is_open
        self.passthrough(*_hosts("passthrough", passthrough))
        self.intercept(*_hosts("intercept", intercept))
        self._opened = ExitStack()

    def __repr__(self) -> str:
        return f"<MockStreamSDK {'open' if self._door.is_open else 'closed'}, {counted(len(self.requests), 'request')}>"

    @property
    def default_text(self) -> str:
        """The text that every request gets as long as no script was ever queued."""
        return self._default_text

    def passthrough(self, *hosts: str) -> None:
        """Let requests to these hosts, or ``"host:port"``, out to the network from now on."""
        self._door.passthrough.update(map(str.lower, _hosts("passthrough", hosts)))

    def intercept(self, *hosts: str) -> None:
        """Answer requests to these hosts, or ``"host:port"``, from now on, although they are on this machine."""
        self._door.intercept.update(map(str.lower, _hosts("intercept", hosts)))

    def _check_reach(self) -> None:
        if not self._door.is_open:
            raise ScriptError(
                "this MockStreamSDK is not open, so requests would go out to the network: write"
                " `with MockStreamSDK() as sdk:` and queue scripts in that block, or take the fixture mock_stream_sdk"
            )

    def __enter__(self) -> Self:
        """Open the door.

        Raises:
            ScriptError: it is open already.
        """
        if self._door.is_open:
            raise ScriptError("this MockStreamSDK is open already: make one for each `with`")
        with ExitStack() as stack:
            stack.enter_context(_lent_environment())
            stack.enter_context(opened(self._door))
            self._opened = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._opened.close()


def _hosts(name: str, hosts: Iterable[str]) -> list[str]:
    listed = list(hosts)
    if isinstance(hosts, str) or not all(isinstance(host, str) and host and "/" not in host for host in listed):
        msg = f"{name}={hosts!r}: give hosts, such as ['api.example.com', 'localhost:8000'], without scheme and path"
        raise ScriptError(msg)
    return listed


@contextmanager
def _lent_environment() -> Iterator[None]:
    """Set what SDKs need in the environment and is missing; unset it at the end, if nobody has changed it."""
    lent = {
        name: value
        for name, value, others in _ENVIRONMENT
        if not any(os.environ.get(known) for known in (name, *others))
    }
    os.environ.update(lent)
    try:
        yield
    finally:
        for name, value in lent.items():
            if os.environ.get(name) == value:
                del os.environ[name]
