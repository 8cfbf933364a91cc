"""``python -m tests.soak``: rounds of hostile bytes, random clients and random scripts, until the time is over.

Each round has its own random numbers, made from the seed, its kind and its number. So a round that fails can be run
alone, and the command that does so is printed.
"""

from __future__ import annotations

import argparse
import gc
import http.client
import itertools
import json
import logging
import random
import secrets
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytest_mockstream import MockStreamServer

from .clients import Visits
from .hostile import assault
from .problem import Failed
from .resources import Held, held
from .scripts import Plays
from .sdks import CHAT

KINDS = ("hostile", "clients", "scripts")
_WARM_UP = 3  # rounds of each kind, in which libraries make what they keep
_MOST_FAILURES = 10


class LoggedErrors(logging.Handler):
    """Keeps what event loops log, but for what aiohttp says of streams that were dropped."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        if not record.getMessage().startswith("Unclosed connection"):
            self.messages.append(self.format(record))

    def take(self) -> list[str]:
        """Return what was logged since the last time."""
        taken, self.messages = self.messages, []
        return taken


class Soak:
    """One run.

    Args:
        server: the door over HTTP, for clients and scripts.
        besieged: the one that hostile bytes are sent to.
        seed: of all that is random.
    """

    def __init__(self, server: MockStreamServer, besieged: MockStreamServer, *, seed: int) -> None:
        self.server = server
        self.besieged = besieged
        self.seed = seed
        self.rounds: Counter[str] = Counter()
        self.failures = 0
        self.hostile_requests = 0
        self.visits = Visits(server)
        self.plays = Plays(server)
        self._logged = LoggedErrors()

    def run(self, *, seconds: float, kinds: tuple[str, ...], every: float) -> None:
        """Run rounds until the time is over, or too many have failed."""
        end, next_report = time.monotonic() + seconds, time.monotonic() + every
        before: Held | None = None
        with self._watching_loops():
            for number in itertools.count():
                for kind in kinds:
                    self.round(kind, number)
                now = time.monotonic()
                if number == _WARM_UP - 1:
                    before = self._held()
                    print(f"in the beginning: {before}", flush=True)
                if now >= next_report:
                    next_report = now + every
                    print(f"{self}; {self._held()}", flush=True)
                if (now >= end and before is not None) or self.failures >= _MOST_FAILURES:
                    break
            if before is not None:
                self._compare(before, self._held())
        print(f"at the end: {self}", flush=True)

    def round(self, kind: str, number: int) -> None:
        """Run one round, and print what is wrong."""
        self.rounds[kind] += 1
        chance = random.Random(f"{self.seed}/{kind}/{number}")  # noqa: S311 - a seed, not cryptography
        try:
            self._rounds[kind](chance)
            if messages := self._logged.take():
                raise Failed("the event loop logged:\n" + "\n".join(messages))
        except Exception as error:
            text = str(error) if isinstance(error, Failed) else "".join(traceback.format_exception(error))
            self._fail(f"{kind} round {number}: {text}", f" --only {kind} --round {number}")

    @property
    def _rounds(self) -> dict[str, Callable[[random.Random], None]]:
        return {"hostile": self._besiege, "clients": self.visits.round, "scripts": self.plays.round}

    def _besiege(self, chance: random.Random) -> None:
        self.besieged.reset()
        self.hostile_requests += assault(chance, self.besieged)
        self.besieged.catch_up()
        for error in self.besieged._playbook.unexpected:
            if error.__cause__ is not None:
                raise Failed(f"{error}\n{''.join(traceback.format_exception(error.__cause__))}")
        self.besieged.reset()
        self.besieged.respond("still here")
        _, address = self.besieged.url.split("//")
        connection = http.client.HTTPConnection(address, timeout=20)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(CHAT))
            if b"still" not in (answer := connection.getresponse().read()):
                raise Failed(f"it does not answer an ordinary request any more: {answer!r}")
        finally:
            connection.close()

    @contextmanager
    def _watching_loops(self) -> Iterator[None]:
        logger = logging.getLogger("asyncio")
        logger.addHandler(self._logged)
        try:
            yield
        finally:
            logger.removeHandler(self._logged)

    def _held(self) -> Held:
        self.plays.close()  # they keep connections
        return held([self.server, self.besieged])

    def _compare(self, before: Held, after: Held) -> None:
        if growth := after.growth_since(before):
            self._fail(f"at the end there is more than in the beginning: {growth}", "")

    def _fail(self, what: str, repeat: str) -> None:
        self.failures += 1
        print(f"FAILED {what}\n  again: python -m tests.soak --seed {self.seed}{repeat}", flush=True)

    def __str__(self) -> str:
        return (
            f"{self.hostile_requests:,} hostile requests, {self.visits.count:,} streams of clients,"
            f" {self.plays.count:,} plays of {self.rounds['scripts']:,} scripts, {self.failures} failures"
        )


def main() -> int:
    """Run; return 1 if something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="of all that is random (default: a new one)")
    parser.add_argument("--only", choices=KINDS, help="run rounds of this kind alone")
    parser.add_argument("--round", type=int, help="run the round with this number alone; with --only")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two reports (default: %(default)s)")
    options = parser.parse_args()
    if options.round is not None and options.only is None:
        parser.error("--round needs --only")
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    # Dropped streams and sockets warn: that is what is done to them here.
    warnings.simplefilter("ignore", ResourceWarning)
    gc.collect()
    gc.freeze()  # or each of the many collections would go through all that the SDKs consist of
    with MockStreamServer() as server, MockStreamServer(request_timeout=0.3, max_body=200_000, cors=True) as besieged:
        soak = Soak(server, besieged, seed=seed)
        try:
            if options.round is None:
                soak.run(seconds=options.seconds, kinds=(options.only,) if options.only else KINDS, every=options.every)
            else:
                soak.round(options.only, options.round)
        finally:
            soak.plays.close()
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
