"""When chunks come: durations, gaps between chunks, seeded jitter.

The wall: no clock. Everything here turns settings into seconds; somebody else waits.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration, integer, rate

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How fast a stream comes. None means "not said here": a wider setting decides, in the end the default.

    Attributes:
        delay: seconds before each chunk of content (the inter-token latency); default 0.
        ttft: seconds before the first chunk of content, instead of ``delay`` (time to first token).
        jitter: each gap after the first is ``delay`` plus or minus up to so many seconds, never below 0; default 0.
        seed: of the jitter. The same seed gives the n-th stream of a test the same gaps again; default 0.
        tokens_per_second: another way to say ``delay``: its inverse, one chunk being one token.
    """

    delay: float | None = None
    ttft: float | None = None
    jitter: float | None = None
    seed: int | None = None
    tokens_per_second: float | None = None

    def __post_init__(self) -> None:
        for name in ("delay", "ttft", "jitter"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, duration(value, name))
        if self.seed is not None:
            object.__setattr__(self, "seed", integer()(self.seed, "seed"))
        self._check_rate()

    def _check_rate(self) -> None:
        if self.tokens_per_second is None:
            return
        object.__setattr__(self, "tokens_per_second", rate(self.tokens_per_second, "tokens_per_second"))
        if self.delay is not None:
            msg = (
                f"delay={self.delay!r} and tokens_per_second={self.tokens_per_second!r} contradict each other:"
                " give one of them"
            )
            raise ScriptError(msg)

    def over(self, wider: Pacing) -> Pacing:
        """Return this pacing with what it leaves open filled in from a wider one."""
        if self == _NOTHING_SAID:
            return wider
        changes = {
            f.name: getattr(wider, f.name)
            for f in fields(self)
            if getattr(self, f.name) is None and not (f.name in _RATE and self._has_rate())
        }
        return replace(self, **changes)

    def _has_rate(self) -> bool:
        return any(getattr(self, name) is not None for name in _RATE)

    def gaps(self, *, salt: int = 0) -> Iterator[float]:
        """Yield the seconds before the first chunk of content, the second, and so on, without end.

        Args:
            salt: tells streams apart that share a seed.
        """
        delay = self.delay or 0.0
        if self.tokens_per_second is not None:
            delay = 1 / self.tokens_per_second
        yield delay if self.ttft is None else self.ttft
        if not self.jitter:
            while True:
                yield delay
        # Text seeds are hashed with SHA-512, the same on every run and machine (unlike hash()).
        uniform = random.Random(f"{self.seed or 0}/{salt}").uniform  # noqa: S311 - pacing, not cryptography
        while True:
            yield max(0.0, delay + uniform(-self.jitter, self.jitter))


_RATE = ("delay", "tokens_per_second")
_NOTHING_SAID = Pacing()
