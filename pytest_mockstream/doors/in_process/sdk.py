"""``MockStreamSDK``: the door for code that makes its own SDK clients, in process and without a socket.

While it is open, the environment has fake keys where it has no real ones. It needs no pytest.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, Unpack

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import hosts as hosts_of
from pytest_mockstream._base.wording import counted
from pytest_mockstream.doors.answer import PROVIDERS, provider_given
from pytest_mockstream.doors.guard import open_door
from pytest_mockstream.doors.settings import DoorOptions, door_settings, lists_door_options
from pytest_mockstream.doors.unknown import wrong_path
from pytest_mockstream.playbook.live import Recordings
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.scripting import Scripted, default_script

from .environment import lent_environment
from .intercept import Door, opened

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_REACHES = (
    "mock_stream_sdk answers what goes through httpx, httpx2, aiohttp or urllib3 (as requests and boto3 do)."
    " For {caller}, use mock_stream_server"
)


class MockStreamSDK(Scripted):
    """Answers the requests of the real SDKs in this process from scripts. The fixture opens one for a test.

    It is a context manager. While it is open, it answers every request through httpx, httpx2, aiohttp or urllib3 (as
    requests and boto3 do), sync and async, for any host, also of clients that were made before. Requests to localhost
    go to the network as usual, except on Ollama's port. Connecting to a provider's host by any other way is refused,
    and so is every host in the public network, as there are fake keys in the environment.

    Args:
        default_text: the text that every request gets as long as no script was ever queued.
        delay: seconds before each chunk.
        ttft: seconds before the first chunk; default: ``delay``.
        jitter: the largest random change of each gap between chunks, plus or minus, in seconds.
        seed: of the jitter.
        tokens_per_second: instead of ``delay``; one chunk counts as one token.
        producer: ``"inline"``, or ``"background"`` for a real task or thread behind each stream.
        buffer_size: how many frames the producer may be ahead of its reader.
        passthrough: hosts (``"api.example.com"``, ``"host:port"`` or, with all that ends so, ``".example.com"``) whose
            requests go to the network.
        intercept: hosts on this machine (``"localhost"`` or ``"localhost:8000"``) whose requests are answered, too.
        provider: whose dialect of OpenAI's format is spoken, such as ``"openrouter"``; by default each request tells it
            by its host, else by its path or its ``User-Agent``.
        recordings: records the requests that no script answers, which then go to their provider, or plays those that
            were recorded.

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
        self,
        *,
        passthrough: Iterable[str] = (),
        intercept: Iterable[str] = (),
        provider: str | None = None,
        recordings: Recordings | None = None,
        **options: Unpack[DoorOptions],
    ) -> None:
        settings = door_settings(options, DoorOptions, "passthrough", "intercept", "provider", "recordings")
        default = default_script(settings.default_text)
        super().__init__(Playbook(default, name="mock_stream_sdk", providers=PROVIDERS, wrong_path=wrong_path))
        self._playbook.recordings = recordings
        self._default_text = settings.default_text
        self._door = door = Door(self._playbook, settings, provider_given(provider))
        self._playbook.is_open = lambda: door.is_open
        self._door.passthrough.update(hosts_of(passthrough, "passthrough"))
        self._door.intercept.update(hosts_of(intercept, "intercept"))
        self._opened = ExitStack()

    def __repr__(self) -> str:
        return f"<MockStreamSDK {'open' if self._door.is_open else 'closed'}, {counted(len(self.requests), 'request')}>"

    @property
    def default_text(self) -> str:
        """The text that every request gets as long as no script was ever queued."""
        return self._default_text

    def passthrough(self, *hosts: str) -> None:
        """Let requests to these hosts, or ``"host:port"``, out to the network from now on."""
        self._door.passthrough.update(hosts_of(hosts, "passthrough"))

    def intercept(self, *hosts: str) -> None:
        """Answer requests to these hosts, or ``"host:port"``, from now on, although they are on this machine."""
        self._door.intercept.update(hosts_of(hosts, "intercept"))

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
            stack.enter_context(lent_environment())
            stack.enter_context(
                open_door(
                    self._playbook.name,
                    self._playbook.remember,
                    reaches=_REACHES,
                    lends_keys=True,
                    passes=self._door.passes,
                )
            )
            stack.enter_context(opened(self._door))
            self._opened = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._opened.close()
