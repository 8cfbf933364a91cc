"""What is happening at a server, kept small, and told to each page that follows it.

All of it runs on the server's loop but ``note``, which may be called from any thread.

Theory of operation: everything that a page shows is one state with a version, which grows with each change. A page
that follows is told the difference to what it knows, at most some times a second and only as fast as it reads: there is
no queue that could grow. Only the latest streams are kept; others have been forgotten, and the page is told so.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pytest_mockstream._base.watching import Happening
from pytest_mockstream.playbook.request import Request

from .views import View

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MOST_VIEWS = 200
_NEVER = (-1, -1)


class Board:
    """The state that pages show.

    Args:
        parts: the parts of the state besides the streams, by name: each returns what it is now.
        concerns: tells whether a request is one of this server's.
        most: how many streams are kept, the latest.

    Attributes:
        views: the streams, by number.
    """

    def __init__(
        self,
        parts: Mapping[str, Callable[[], Any]],
        *,
        concerns: Callable[[Request], bool],
        most: int = _MOST_VIEWS,
    ) -> None:
        self._parts = parts
        self._concerns = concerns
        self._most = most
        self._version = 0
        self._versions = dict.fromkeys(parts, 0)
        self._followers: set[Follower] = set()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._total = 0
        self.views: dict[int, View] = {}

    def changed(self, *parts: str) -> None:
        """Note that parts of the state have changed."""
        self._version += 1
        for part in parts:
            self._versions[part] = self._version
        for follower in self._followers:
            follower.wake()

    def touch(self, view: View, *parts: str) -> None:
        """Note that a stream has changed, and parts of the state with it."""
        self.changed(*parts)
        view.version = self._version

    def follow(self) -> Follower:
        """Return what tells one page; to be closed."""
        follower = Follower(self)
        self._followers.add(follower)
        return follower

    def unfollow(self, follower: Follower) -> None:
        """Forget a page."""
        self._followers.discard(follower)

    @property
    def followers(self) -> int:
        """How many pages follow."""
        return len(self._followers)

    # What happens.

    def note(self, happening: Happening) -> None:
        """Take note of what happens to a stream; for ``watching``."""
        if threading.get_ident() == self._thread:
            self._hear(happening)
        elif not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._hear, happening)
            except RuntimeError:  # it was closed this very moment, and nobody looks on any more
                return

    def _hear(self, happening: Happening) -> None:
        what, number, *about = happening
        if what == "asked":
            self._asked(about[1])
        elif (view := self.views.get(number)) is not None:
            if what == "frame":
                _, _, chunks, data = about
                view.add_frame(chunks, data)
            elif what == "stall":
                view.stalls_after = about[1]
            elif what == "over":
                view.add_note(f"over: {about[1]}")
            self.touch(view, *(["totals"] if what == "over" else []))

    def _asked(self, request: Request) -> None:
        if not self._concerns(request):
            return
        self._total += 1
        view = View(request, self._total)
        self.views[view.number] = view
        if len(self.views) > self._most:
            finished = (number for number, one in self.views.items() if one.is_over)
            del self.views[next(finished, next(iter(self.views)))]
        self.touch(view, "totals", "scripts")

    def totals(self) -> dict[str, int]:
        """Return how many streams there have been, and how many are shown."""
        return {"streams": self._total, "shown": len(self.views)}

    def news(self, since: int, told: dict[int, tuple[int, int]]) -> dict[str, Any] | None:
        """Return what a page does not know; None if nothing. ``told`` is brought up to date."""
        if since == self._version:
            return None
        said: dict[str, Any] = {name: self._parts[name]() for name, one in self._versions.items() if one > since}
        if gone := [number for number in told if number not in self.views]:
            said["gone"] = gone
            for number in gone:
                del told[number]
        streams = []
        for view in self.views.values():
            if view.number not in told or view.version > since:
                news, told[view.number] = view.news(told.get(view.number, _NEVER))
                streams.append(news)
        return {**said, "streams": streams}

    @property
    def version(self) -> int:
        """The version of the state."""
        return self._version


class Follower:
    """One page that follows: what it knows, and whether there is more."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._since = -1
        self._told: dict[int, tuple[int, int]] = {}
        self._is_woken = asyncio.Event()
        self._is_woken.set()
        self._has_left = asyncio.Event()

    def wake(self) -> None:
        """Let ``changed`` return."""
        self._is_woken.set()

    def leave(self) -> None:
        """Let both waits return: the page has gone."""
        self._has_left.set()
        self._is_woken.set()

    async def changed(self, *, within: float) -> bool:
        """Wait until there may be something new, or the page has gone; False after so many seconds without."""
        came = await _comes(self._is_woken, within)
        self._is_woken.clear()
        return came

    async def left(self, *, within: float) -> bool:
        """Wait until the page has gone; False after so many seconds in which it has not."""
        return await _comes(self._has_left, within)

    def news(self) -> dict[str, Any] | None:
        """Return what the page does not know yet, all of it the first time; None if nothing."""
        since, self._since = self._since, self._board.version
        return self._board.news(since, self._told)


async def _comes(event: asyncio.Event, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            await event.wait()
    except TimeoutError:
        return False
    return True
