"""What is wrong with how a consumer copes with trouble, by name.

It judges the record of requests, and what is known of the consumer's outcome; it changes nothing.

Theory of operation: requests that try one another again form chains. Some findings are about two neighbours in a chain,
one is about a chain as a whole, and those that ask what was made of a failure are about the last try of a chain that
nothing has made up for: no fallback, and no request that goes on from what had arrived. The latter need an outcome;
where nobody knows it, they are not looked for. In doubt there is no finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.steps import Truncate

from .ledger import entry_of
from .outcome import NOTHING, Outcome, squeezed
from .request import Request, message_text, shown_path
from .tries import delivered, failed_at, retried, said, trouble_of

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Name: TypeAlias = Literal[
    "repeats_delivered",
    "loses_delivered",
    "ignores_retry_after",
    "retries_permanent",
    "storm",
    "takes_truncated_for_whole",
    "hides_failure",
]

#: What to do about each finding.
REMEDIES: dict[Name, str] = {
    "repeats_delivered": (
        "Once text has been delivered, a retry must not append to it: start a new message and throw the old text away,"
        " keep back what is not complete, or ask the model to go on from the partial text."
    ),
    "loses_delivered": (
        "Let the error propagate, or show what had arrived together with a sign that it is not complete."
    ),
    "ignores_retry_after": (
        "Wait as long as the answer asks (Retry-After in seconds or as a date, retry-after-ms) before asking again."
    ),
    "retries_permanent": ("The same request will fail again: raise it to the caller. Ask again only what was changed."),
    "storm": "Give up after a few tries, and let the pauses between them grow: exponential backoff with jitter.",
    "takes_truncated_for_whole": (
        "An SDK takes a stream that just ends for a whole one: look for its finish reason before you report success."
    ),
    "hides_failure": (
        "Let the error propagate after the last try, or return something that tells a failure from an answer."
    ),
}
NAMES = tuple(REMEDIES)

_PERMANENT = frozenset({400, 401, 403, 404, 422})
_CREDENTIALS = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token")
_EARLY = 0.05  # seconds, and share: how much earlier than it was asked to a retry may come, since timers are not exact
_AT_ONCE = 0.02  # seconds: what is shorter is no pause
_EQUAL = 0.02  # seconds, and share: by how much three pauses and more may differ that are the same
_EXACT = 1e-6  # seconds: by how much two may, which jitter makes nearly the same now and then: none of a real clock are
_LONG = 10.0  # seconds: pauses that long make no storm, even if they do not grow
MOST_TRIES = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with how the code under test coped with a failure.

    Attributes:
        name: which of the named findings it is.
        request: the request that shows it; ``request.opened_at`` is the line that asked.
        what: what happened, in one sentence.
        detail: what differs from run to run, at the end of that sentence; or "".
        by: the library whose own retry it is, such as ``"openai"``; None if the code under test did it.
    """

    name: Name
    request: Request
    what: str
    detail: str = ""
    by: str | None = None

    @property
    def remedy(self) -> str:
        """What to do about it."""
        if self.by is None:
            return REMEDIES[self.name]
        return f"It is a retry of {self.by}'s own: switch its retries off, and retry in your own code, or accept it."

    def __str__(self) -> str:
        return f"{self.name}: {self.what}{self.detail}"


@dataclass(frozen=True, slots=True)
class Usual:
    """What comes of a consumer when no stream breaks: tells a sign of a failure from what is always there.

    Attributes:
        outcome: what came of it.
        text: what the model said to the request that fails now.
    """

    outcome: Outcome
    text: str


def findings_of(
    requests: Iterable[Request],
    outcome: Outcome | None = None,
    *,
    usual: Usual | None = None,
    most_tries: int = MOST_TRIES,
) -> list[Finding]:
    """Return what is wrong with how a consumer coped with its requests' failures.

    Args:
        requests: the record.
        outcome: what came of the consumer; None if nobody knows.
        usual: what came of it when no stream broke, or None.
        most_tries: how many tries are no storm.
    """
    judge = _Judge(sorted(requests, key=lambda request: entry_of(request).asked_as), outcome or Outcome(), usual)
    found = [*judge.of_retries(), *judge.of_storms(most_tries), *judge.of_failures()]
    return sorted(found, key=lambda finding: entry_of(finding.request).asked_as)


class _Judge:
    def __init__(self, requests: Sequence[Request], outcome: Outcome, usual: Usual | None) -> None:
        self._requests = requests
        self._outcome = outcome
        self._usual = usual
        self._retried = [pair for pair in retried(requests) if not asked_by_test(*pair)]

    # Two tries.

    def of_retries(self) -> Iterator[Finding]:
        """Yield what is wrong with a single retry."""
        for before, again in self._retried:
            by = library_that_retries(before, again)
            who = f"{by} itself asked" if by else f"{_which(again)} asked"
            wait, gap = entry_of(before).wait, _gap(before, again)
            if wait is not None and gap is not None and gap < wait - max(_EARLY, wait * _EARLY):
                what = f"{who} again before the {wait:.3g} s were over that {_name(before)} had asked it to wait: "
                yield Finding("ignores_retry_after", again, what, f"after {max(gap, 0.0):.3g} s", by)
            status = entry_of(before).status
            if status in _PERMANENT and _same_credentials(before, again):
                what = f"{who} the same again, unchanged, after {_name(before)} had failed with HTTP status {status}"
                yield Finding("retries_permanent", again, what, "", by)
            first, second = delivered(before), delivered(again)
            if self._repeats(first, second):
                what = (
                    f"{who} the same again from the start, after {_name(before)} had broken in mid-stream, and the"
                    " delivered part is there twice: "
                )
                yield Finding("repeats_delivered", again, what, brief("".join(first) + "".join(second)), by)

    def _repeats(self, first: list[str], again: list[str]) -> bool:
        if not first or not again or not self._outcome.repeats(first, again):
            return False
        return self._usual is None or not self._usual.outcome.repeats(first, again)

    # A chain of tries.

    def of_storms(self, most_tries: int) -> Iterator[Finding]:
        """Yield the chains with too many tries, or without growing pauses."""
        for chain in self._chains():
            if len(chain) > most_tries:
                what = f"{_which(chain[-1])} is try number {len(chain)} of the same"
                yield Finding("storm", chain[most_tries], what)
                continue
            own = [pair for pair in pairwise(chain) if not library_that_retries(*pair)]
            gaps = [gap for before, again in own if (gap := _unasked_gap(before, again)) is not None]
            if len(own) == len(gaps) >= 2 and max(gaps) < _LONG and _are_the_same(gaps):
                what = f"{_which(own[-1][1])} is try number {len(chain)} of the same, and the pauses do not grow: "
                yield Finding("storm", own[-1][1], what, ", ".join(f"{max(gap, 0.0):.2g} s" for gap in gaps))

    def _chains(self) -> Iterator[list[Request]]:
        """Yield each request with those that try it again, in order."""
        later = {id(before): again for before, again in self._retried}
        retries = {id(again) for _, again in self._retried}
        for request in self._requests:
            if id(request) in retries:
                continue
            chain = [request]
            while (again := later.get(id(chain[-1]))) is not None:
                chain.append(again)
            yield chain

    # What was made of a failure.

    def of_failures(self) -> Iterator[Finding]:
        """Yield the failures that were taken for an answer."""
        usual, value = self._usual, self._outcome.value
        if not self._outcome.has_value or (value is None and usual is None):
            return
        if usual is not None and not (squeezed(usual.text) and usual.outcome.shows(usual.text)):
            return  # what the model says is no part of what comes out
        for chain in self._chains():
            last = chain[-1]
            trouble = trouble_of(last)
            if trouble is None or self._is_made_up_for(last) or self._shows_failure():
                continue
            parts = max((delivered(one) for one in chain), key=lambda one: len("".join(one)))
            text, returned = "".join(parts), brief(value)
            tries = f"{_name(last)} failed" if len(chain) == 1 else f"all {len(chain)} tries failed, the last of them"
            if text and not self._outcome.shows(text):
                what = f"{_name(last)} broke after {len(parts)} of its chunks, and neither error nor text shows it: "
                yield Finding("loses_delivered", last, what, f"it returned {returned}")
            elif isinstance(trouble, Truncate):
                what = f"{_name(last)} ended without its last chunk, and was reported as success: "
                yield Finding("takes_truncated_for_whole", last, what, f"it returned {returned}")
            else:
                what = f"{tries}{'' if len(chain) == 1 else f' {_name(last)}'}, and it was reported as success: "
                yield Finding("hides_failure", last, what, f"it returned {returned}")

    def _is_made_up_for(self, request: Request) -> bool:
        """Tell whether a later request that was answered goes on where one failed, or asks somebody else.

        Outside of a sweep nobody knows of which request an outcome is, so any later answer may be what it is about.
        """
        text = "" if self._usual is None else squeezed(request.text)
        for other in self._requests:
            if entry_of(other).asked_as > entry_of(request).asked_as and other.state == "exhausted":
                asked = [squeezed(message_text(message)) for message in other.messages]
                if not text or text in "".join(asked):
                    return True
        return False

    def _shows_failure(self) -> bool:
        """Tell whether the outcome has anything in it that an answer does not have."""
        leaves = self._outcome.leaves()
        if any(isinstance(leaf, BaseException) for leaf in leaves):
            return True
        value, usual = self._outcome.value, [] if self._usual is None else self._usual.outcome.leaves()
        if self._usual is None:
            if any(leaf is None or leaf is False for leaf in leaves):
                return True
        elif value is not None and _counted(leaves) != _counted(usual):
            return True
        known = self._known_texts()
        always = {_rest(leaf, known) for leaf in usual if isinstance(leaf, str)}
        return any(_rest(leaf, known) not in {"", *always} for leaf in leaves if isinstance(leaf, str))

    def _known_texts(self) -> list[str]:
        """Return the texts that are no sign of anything, without white space, the longest first."""
        known = set() if self._usual is None else {self._usual.text}
        for request in self._requests:
            parts, whole_text = said(request)
            known |= {whole_text, "".join(parts), request.model or "", request.provider}
            known |= {message_text(message) for message in request.messages}
        return sorted(filter(None, map(squeezed, known)), key=len, reverse=True)


def _rest(text: str, known: Iterable[str]) -> str:
    """Return what is left of a text without white space and without what is known; nothing of a part of that."""
    left = squeezed(text)
    for one in known:
        if left in one:
            return ""
        if len(one) > 1:
            left = left.replace(one, "")
    return left


def _counted(leaves: Iterable[object]) -> tuple[int, int, int]:
    """Return how many of them are True, False and None."""
    found = [leaf for leaf in leaves if leaf is None or isinstance(leaf, bool)]
    return found.count(True), found.count(False), found.count(None)


def _which(request: Request) -> str:
    return f"{request.opened_at} (request {request.number})"


def _name(request: Request) -> str:
    return f"request {request.number} ({shown_path(request)})"


def asked_by_test(before: Request, again: Request) -> bool:
    """Tell whether a test asked both, from two of its lines: that is no retry of its code's, but two calls of it."""
    one, other = entry_of(before).asker.test, entry_of(again).asker.test
    return one is not None and other is not None and one.function == other.function and one.lineno != other.lineno


def library_that_retries(before: Request, again: Request) -> str | None:
    """Return the library whose own retry it is, told by what it counts itself."""
    earlier = entry_of(before).asker.attempts
    for name, number in entry_of(again).asker.attempts.items():
        if number > earlier.get(name, 0):
            return name
    return None


def _gap(before: Request, again: Request) -> float | None:
    """Return the seconds between a failure and the next try; None if that cannot be measured."""
    known = failed_at(before)
    one, other = entry_of(before), entry_of(again)
    return None if known is None or one.clock != other.clock or other.sleeps_patched else other.asked_at - known


def _unasked_gap(before: Request, again: Request) -> float | None:
    """Return the pause before a try, unless the answer before had asked for just that."""
    return None if entry_of(before).wait is not None else _gap(before, again)


def _are_the_same(pauses: Sequence[float]) -> bool:
    longest, shortest = max(pauses), min(pauses)
    if longest < _AT_ONCE:
        return True
    return longest - shortest <= (_EXACT if len(pauses) == 2 else _EQUAL + shortest * _EQUAL)


def _same_credentials(before: Request, again: Request) -> bool:
    one, other = before.raw_headers, again.raw_headers
    return all(one.get(name) == other.get(name) for name in _CREDENTIALS)


__all__ = [
    "MOST_TRIES",
    "NAMES",
    "NOTHING",
    "REMEDIES",
    "Finding",
    "Outcome",
    "asked_by_test",
    "findings_of",
    "library_that_retries",
]
