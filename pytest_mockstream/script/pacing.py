"""When chunks come: turns the settings of a stream's speed into the seconds before each chunk.

It waits for nothing itself.
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
    """How fast a stream comes. None leaves a setting to whatever is less specific, in the end to the default.

    Attributes:
        delay: seconds before each chunk of content (the inter-token latency); by default 0.
        ttft: seconds before the first chunk of content (time to first token); by default ``delay``.
        jitter: the largest random change of each ``delay`` after the first, plus or minus, in seconds; by default 0.
            No gap gets shorter than 0.
        seed: the seed of the jitter; by default 0. With the same seed, the n-th stream of a test has the same gaps in
            every run.
        tokens_per_second: the inverse of ``delay``, to be given instead of it; one chunk counts as one token.

    Raises:
        ScriptError: a value is not legal, or both ``delay`` and ``tokens_per_second`` are given.
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
        """Return this pacing, with what it leaves open taken from a less specific one."""
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
            salt: gives streams with the same seed different gaps.
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
