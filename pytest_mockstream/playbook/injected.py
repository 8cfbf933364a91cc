"""Trouble that lasts for a whole test, whatever the scripts say: a quota, and faults at random.

``inject`` of a door installs it. The values are frozen; what is counted in a test is kept beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from math import ceil
from random import Random
from typing import Protocol

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import integer
from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.inserted import ScriptWithStep
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import FAULTS, Disconnect, Fault, HTTPError, Truncate

from .ledger import Quota, entry_of
from .request import Request, words_in
from .same import sameness

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MINUTE = 60.0


class Injection(Protocol):
    """What is injected into one door, with its state."""

    def refuse(self, request: Request) -> Script | None:
        """Return the script that refuses a request before any other is chosen, or None."""

    def kept_for(self, request: Request) -> Script | None:
        """Return a script that such a request was to get before, or None."""

    def change(self, request: Request, script: Script) -> Script:
        """Return the script that a request gets in place of the one that was chosen."""

    def save(self) -> Callable[[], None]:
        """Return a function that restores the present state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """A quota for a whole test: who asks more often is answered with HTTP status 429, and uses up no script.

    Each model has its own quota. It refills continuously, as the providers' own do
    (https://platform.openai.com/docs/guides/rate-limits, https://docs.claude.com/en/api/rate-limits), by the clock of
    the loop. The answers have the provider's headers for limits, and a refusal has ``Retry-After``, in whole seconds.

    Attributes:
        rpm: requests per minute, or None.
        tpm: tokens per minute, or None: the words of the prompt, and the tokens of the answer's usage.

    Raises:
        ScriptError: neither is given, or one is no int > 0.

    Example:
        >>> client.inject(RateLimit(rpm=3))  # doctest: +SKIP
    """

    rpm: int | None = None
    tpm: int | None = None

    def __post_init__(self) -> None:
        for name in ("rpm", "tpm"):
            if (value := getattr(self, name)) is not None:
                _at_least_one(value, f"RateLimit({name})")
        if self.rpm is None and self.tpm is None:
            raise ScriptError("RateLimit() limits nothing: give rpm=, requests per minute, or tpm=, tokens per minute")

    def started(self) -> Injection:
        """Return the quota as it is at its beginning."""
        return _Limiter(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """Faults at random, for a whole test: this share of all requests fails, in one of these ways.

    A fault that comes in mid-stream comes before a chunk at random. A request that asks the same again gets the script
    that broke, so that code which retries needs no script for each try. The same seed gives the same faults to the same
    sequence of requests.

    Attributes:
        rate: the share of requests that fail, from 0 to 1.
        seed: of the choice.
        of: the faults, as for a script; each is as likely as the others.

    Raises:
        ScriptError: a value is not legal.

    Example:
        >>> client.inject(Chaos(rate=0.2, seed=7, of=[Disconnect(), HTTPError(529)]))  # doctest: +SKIP
    """

    rate: float
    seed: int = 1
    of: Iterable[Fault] = (HTTPError(503), Disconnect(), Truncate())

    def __post_init__(self) -> None:
        if isinstance(self.rate, bool) or not isinstance(self.rate, int | float) or not 0 <= self.rate <= 1:
            raise ScriptError(f"Chaos(rate={brief(self.rate)}): give a share from 0 to 1, such as 0.2")
        integer()(self.seed, "Chaos(seed)")
        faults = () if isinstance(self.of, str) or not isinstance(self.of, Iterable) else tuple(self.of)
        if not faults or not all(isinstance(fault, FAULTS) for fault in faults):
            known = ", ".join(kind.__name__ for kind in FAULTS)
            raise ScriptError(f"Chaos(of={brief(self.of)}): give a list of faults, at least one of {known}")
        object.__setattr__(self, "of", faults)

    def started(self) -> Injection:
        """Return the chaos as it is at its beginning."""
        return _Striker(self)


def injections(given: Iterable[object]) -> list[Injection]:
    """Return what was given to ``inject``, each at its beginning.

    Raises:
        ScriptError: there is nothing, or something that cannot be injected.
    """
    found = list(given)
    wrong = [one for one in found if not isinstance(one, RateLimit | Chaos)]
    if wrong or not found:
        listed = brief(wrong[0]) if wrong else ""
        raise ScriptError(f"inject({listed}): give RateLimit(...) or Chaos(...); faults of one answer go to respond()")
    return [one.started() for one in found if isinstance(one, RateLimit | Chaos)]


_at_least_one = integer(at_least=1)


@dataclass(slots=True)
class _Bucket:
    """What is left of a quota.

    Attributes:
        requests: requests that may be made now, with fractions.
        tokens: likewise; below 0 if an answer has used more.
        at: the time at which that was so.
    """

    requests: float
    tokens: float
    at: float


@dataclass(slots=True)
class _Limiter:
    limit: RateLimit
    buckets: dict[Hashable, _Bucket] = field(default_factory=dict)

    def refuse(self, request: Request) -> Script | None:
        rpm, tpm = self.limit.rpm, self.limit.tpm
        bucket, words = self._bucket(request), words_in(request.messages)
        waits = []
        if rpm is not None and bucket.requests < 1:
            waits.append(((1 - bucket.requests) * _MINUTE / rpm, f"requests per minute: {rpm}"))
        if tpm is not None and bucket.tokens < (needed := min(max(words, 1), tpm)):
            waits.append(((needed - bucket.tokens) * _MINUTE / tpm, f"tokens per minute: {tpm}"))
        if waits:
            wait, what = max(waits)
            self._tell(request, bucket)
            message = f"Rate limit reached for {request.model or 'this model'}, {what}"
            return Script(HTTPError(429, retry_after=ceil(round(wait, 6)), message=message))
        bucket.requests -= 1
        bucket.tokens -= words
        return None

    def kept_for(self, _request: Request) -> Script | None:
        return None

    def change(self, request: Request, script: Script) -> Script:
        bucket = self._bucket(request)
        used = script.chunk_count - 1 if script.usage is None else script.usage.completion_tokens
        bucket.tokens -= max(0, used)
        self._tell(request, bucket)
        return script

    def save(self) -> Callable[[], None]:
        buckets = {key: _Bucket(one.requests, one.tokens, one.at) for key, one in self.buckets.items()}

        def restore() -> None:
            self.buckets = {key: _Bucket(one.requests, one.tokens, one.at) for key, one in buckets.items()}

        return restore

    def _bucket(self, request: Request) -> _Bucket:
        """Return what is left of a model's quota at the time at which a request was made."""
        rpm, tpm = self.limit.rpm or 0, self.limit.tpm or 0
        entry = entry_of(request)
        key = request.provider, request.model, entry.clock
        bucket = self.buckets.setdefault(key, _Bucket(rpm, tpm, entry.asked_at))
        passed = max(0.0, entry.asked_at - bucket.at) / _MINUTE
        bucket.requests = min(rpm, bucket.requests + passed * rpm)
        bucket.tokens = min(tpm, bucket.tokens + passed * tpm)
        bucket.at = max(bucket.at, entry.asked_at)
        return bucket

    def _tell(self, request: Request, bucket: _Bucket) -> None:
        """Note what the answer says of the quota."""
        entry_of(request).quota = Quota(
            requests=_level(self.limit.rpm, bucket.requests), tokens=_level(self.limit.tpm, bucket.tokens)
        )


def _level(limit: int | None, left: float) -> tuple[int, int, float] | None:
    if limit is None:
        return None
    return limit, max(0, int(left)), (limit - left) * _MINUTE / limit


@dataclass(slots=True)
class _Striker:
    chaos: Chaos
    kept: dict[Hashable, list[Script]] = field(default_factory=dict)

    def refuse(self, _request: Request) -> Script | None:
        return None

    def kept_for(self, request: Request) -> Script | None:
        scripts = self.kept.get(sameness(request)) if self.kept else None
        return scripts.pop(0) if scripts else None

    def change(self, request: Request, script: Script) -> Script:
        random = Random(f"{self.chaos.seed}/{request.number}")  # noqa: S311 - no secret depends on it
        if random.random() >= self.chaos.rate:
            return script
        self.kept.setdefault(sameness(request), []).append(script)
        fault = random.choice(tuple(self.chaos.of))
        if isinstance(fault, HTTPError):
            return Script(fault)
        return ScriptWithStep(script, fault, before=random.randrange(max(1, script.chunk_count)))

    def save(self) -> Callable[[], None]:
        kept = {key: scripts[:] for key, scripts in self.kept.items()}

        def restore() -> None:
            self.kept = {key: scripts[:] for key, scripts in kept.items()}

        return restore
