"""Answers an HTTP request: finds its script, and makes the playback of the response's bytes.

It has no socket and no HTTP library, and waits for nothing; ``delivery`` has what a door does with the answer.

Theory of operation: ``answer`` never raises an error of ours. Whatever is asked, the caller gets an HTTP response that
the provider might have given; our error is remembered in the playbook, which raises it at the end of the test. Every
answer is a playback of frames. A body that is not streamed is one frame, so it is paced and broken in the same way.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias, TypedDict, Unpack

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import MockStreamError, UnexpectedRequestError
from pytest_mockstream._base.legal import one_of
from pytest_mockstream._base.redaction import Secrets, brief
from pytest_mockstream._base.wording import shortened
from pytest_mockstream.playbook.asked import declarations
from pytest_mockstream.playbook.computed import Computation, adriven, driven
from pytest_mockstream.playbook.ledger import entry_of
from pytest_mockstream.playbook.live import Live
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.request import Request, words_in
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import (
    FAULTS,
)
from pytest_mockstream.wire import (
    DIALECTS,
    ENDPOINTS,
    HOSTS,
    BadRequestError,
    DeclinedError,
    File,
    Found,
    ParsedRequest,
    PlainEndpoint,
    PlainRequest,
    Recalled,
    Told,
    Upload,
    WireFormat,
    WireFrame,
    endpoints_at,
    is_loopback,
    json_object,
    keys_of,
    provider_asked,
    provider_of,
    read_form,
    told_json,
    upload_to,
)

from .delivery import Answer, Close
from .guard import FAKE_KEY
from .http_request import HTTPRequest
from .passed import Passed, pass_on
from .player import Player
from .response import headers_for, status_of, whole_frames
from .unknown import unknown_path

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

__all__ = [
    "PROVIDERS",
    "WIRE_PROVIDERS",
    "Answer",
    "Close",
    "Passed",
    "WireFrame",
    "aanswer_or_pass",
    "answer",
    "answer_or_pass",
    "provider_given",
]

#: Whom a request can be for where the path alone says it, and where the host says it, too.
WIRE_PROVIDERS = tuple(dict.fromkeys((*(endpoint.provider for endpoint in ENDPOINTS), *DIALECTS)))
PROVIDERS = tuple(dict.fromkeys((*WIRE_PROVIDERS, *HOSTS.values())))

_dialect = one_of(*DIALECTS)


def provider_given(value: object) -> str | None:
    """Return the provider whose dialect of OpenAI's format a door is told to speak; None leaves it to each request.

    Raises:
        ScriptError: there is none of this name.
    """
    return None if value is None else _dialect(value, "provider")


# What reading JSON of any shape runs into, where a field is not what its format says.
_WRONG_TYPES = (AttributeError, LookupError, OverflowError, TypeError, ValueError)


class HowToPlay(TypedDict, total=False):
    """How a door plays its answers."""

    pacing: Pacing | None
    buffer_size: int
    background: bool
    way_out: str
    provider: str | None
    lends_keys: bool
    controlled: bool


def answer(playbook: Playbook, incoming: HTTPRequest, *, opened_at: CallSite, **how: Unpack[HowToPlay]) -> Answer:
    """Answer a request; call it where the frames will be read, in the running loop if there is one.

    Args:
        playbook: has the scripts, and keeps the record.
        incoming: the request.
        opened_at: the line that made the request.
        **how: ``pacing`` applies where the script sets none; ``buffer_size`` is how many frames the producer may be
            ahead of the reader (100); ``background`` runs the producer as a task or thread; ``way_out`` is what the
            user can do about a path that is not known, a sentence; ``provider`` is who is asked in OpenAI's format;
            None leaves it to the request; with ``lends_keys``, a fake key in a request is the door's; with
            ``controlled``, the playback can be held, stepped and ended by hand.
    """
    answered = answer_or_pass(playbook, incoming, opened_at=opened_at, **how)
    assert isinstance(answered, Answer)  # noqa: S101 - whoever calls this has no recordings
    return answered


def answer_or_pass(
    playbook: Playbook, incoming: HTTPRequest, *, opened_at: CallSite, **how: Unpack[HowToPlay]
) -> Answer | Passed:
    """Do as ``answer``; ``Passed`` means that the request goes to its provider, which is for the door to do."""
    asked = understood(playbook, incoming, opened_at=opened_at, **how)
    return asked if isinstance(asked, Answer) else asked.play_or_pass(asked.choose())


async def aanswer_or_pass(
    playbook: Playbook, incoming: HTTPRequest, *, opened_at: CallSite, **how: Unpack[HowToPlay]
) -> Answer | Passed:
    """Do as ``answer_or_pass``; async functions of the user's are awaited here. Cancelled, the consumer has left."""
    asked = understood(playbook, incoming, opened_at=opened_at, **how)
    if isinstance(asked, Answer):
        return asked
    try:
        chosen = await asked.achoose()
    except BaseException:
        asked.leave()
        raise
    return asked.play_or_pass(chosen)


def understood(
    playbook: Playbook, incoming: HTTPRequest, *, opened_at: CallSite, **how: Unpack[HowToPlay]
) -> Asked | Answer:
    """Record a request and return what is left to do: to choose its script; or the answer, if it needs none.

    For a door that does not choose where it plays; the arguments are those of ``answer``.
    """
    player = Player(
        playbook=playbook,
        pacing=how.get("pacing"),
        buffer_size=how.get("buffer_size", 100),
        background=how.get("background", False),
        controlled=how.get("controlled", False),
    )
    answering = _Answering(
        playbook,
        incoming,
        opened_at,
        player,
        way_out=how.get("way_out", ""),
        provider=how.get("provider"),
        lends_keys=how.get("lends_keys", False),
    )
    return answering.understood()


#: What answers a request: a script, an answer that needs none, its provider, or one of our errors.
Chosen: TypeAlias = "Script | Told | Recalled | Live | MockStreamError"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is understood and recorded, and whose script is not chosen yet.

    Attributes:
        request: what was asked.
    """

    request: Request
    _answering: _Answering
    _endpoint: WireFormat | PlainEndpoint
    _groups: dict[str, str]
    _parsed: ParsedRequest
    _prompt_tokens: int

    def choose(self) -> Chosen:
        """Return the script that answers it, or why there is none. In any thread: it may call the user's code."""
        return driven(self._choosing())

    async def achoose(self) -> Chosen:
        """Do as ``choose``; functions of the user's that are async are awaited in the running loop."""
        return await adriven(self._choosing())

    def _choosing(self) -> Computation[Chosen]:
        try:
            return (yield from self._answering.choosing(self.request, self._endpoint, self._groups, self._parsed))
        except MockStreamError as error:
            return error

    def play_or_pass(self, chosen: Chosen) -> Answer | Passed:
        """Return the answer, or that the request goes to its provider; call it where the frames will be read."""
        answering, recordings = self._answering, self._answering.playbook.recordings
        if isinstance(chosen, Live) and recordings is not None:
            if answering.lends_keys and (why := answering.why_not_live()) is not None:
                return self.play(answering.refusal(why))
            return pass_on(self.request, answering.incoming, recordings, answering.playbook.remember)
        return self.play(chosen)

    def play(self, chosen: Chosen) -> Answer:
        """Return the answer; call it where the frames will be read, in the running loop if there is one."""
        answering, endpoint = self._answering, self._endpoint
        assert not isinstance(chosen, Live)  # noqa: S101 - see `play_or_pass`
        if isinstance(chosen, Told):
            return answering.player.tell(self.request, chosen)
        if isinstance(chosen, Recalled):
            return answering.player.recall(self.request, chosen)
        wire = endpoint.scripted if isinstance(endpoint, PlainEndpoint) else endpoint
        return answering.player.play(self.request, wire, self._parsed, chosen, self._prompt_tokens)

    def leave(self) -> None:
        """Note that the consumer left before a script was chosen."""
        self._answering.player.begin(200, {}, self.request, []).leave()


@dataclass(slots=True)
class _Answering:
    """The answering of one request.

    Its frames keep nothing in a local variable that must not be shown: a traceback may show those.
    """

    playbook: Playbook
    incoming: HTTPRequest
    opened_at: CallSite
    player: Player
    way_out: str
    provider: str | None
    lends_keys: bool
    body: Any = field(default=None, repr=False)
    files: dict[str, list[File]] = field(default_factory=dict, repr=False)

    def understood(self) -> Asked | Answer:
        method = self.incoming.method.upper()
        if (upload := upload_to(self.incoming.host, self.incoming.path)) is not None:
            return self._drop(upload)
        found = self._found(method, self.incoming.path)
        if found is None:
            there = self._endpoints(self.incoming.path)
            allowed = sorted({endpoint.method for endpoint, _ in there})
            if allowed and self.incoming.path.strip("/"):  # at the root of a host, anything may be
                return self._refuse(405, there[0][0], f"this path is asked with {' or '.join(allowed)}.")
            why = unknown_path(self.incoming.path, self.incoming.host)
            return self._refuse(404, None, why + (f"\n  {self.way_out}" if self.way_out else ""))
        endpoint, groups = found
        try:
            parsed = endpoint.parse(self._read(endpoint), groups, self.incoming.query)
            prompt_tokens = words_in(parsed.messages)
            request = self._request(endpoint, parsed)
            _ = request.turn, request.tool_results  # conditions ask for them later
            if odd := [tool for tool in declarations(parsed.tools) if not isinstance(tool, Mapping)]:
                raise TypeError(f"a tool is {brief(odd[0])}")
        except (BadRequestError, *_WRONG_TYPES) as error:
            return self._refuse(400, endpoint, _unreadable(endpoint, error))
        self.playbook.record(request)
        return Asked(request, self, endpoint, groups, parsed, prompt_tokens)

    def _found(self, method: str, path: str) -> Found | None:
        """Return the endpoint that is asked, in the dialect of whom is asked."""
        for endpoint, groups in self._endpoints(path):
            if endpoint.method == method:
                spoken = endpoint.dialects if isinstance(endpoint, WireFormat) else {}
                return spoken.get(self._provider(endpoint), endpoint), groups
        return None

    def _endpoints(self, path: str) -> list[Found]:
        return endpoints_at(path, self.incoming.lower_headers, provider_of(self.incoming.host))

    def _read(self, endpoint: WireFormat | PlainEndpoint) -> dict[str, Any]:
        """Return the body, and keep it for the record: as text if it is no JSON, and of files only their sizes."""
        sent = self.incoming.body
        if endpoint.reads != "json":
            self.body = {"size": len(sent)} if sent else None
        if endpoint.reads == "bytes":
            return {}
        if endpoint.reads == "form":
            form = read_form(self.incoming.lower_headers.get("content-type", ""), sent)
            self.body, self.files = form.fields, form.files
            return form.fields
        self.body = sent.decode(errors="replace") or None
        if endpoint.method == "GET" or (isinstance(endpoint, PlainEndpoint) and not sent):
            return {}
        self.body = body = json_object(sent)
        return body

    def _drop(self, upload: Upload) -> Answer:
        """Answer what a library uploads in the background; it is no request of the test's."""
        request = self._request(None, None)
        headers = headers_for(upload.content_type, request)
        return self.player.begin(upload.status, headers, request, [WireFrame(upload.body, last=True)], counts=False)

    def choosing(
        self, request: Request, endpoint: WireFormat | PlainEndpoint, groups: dict[str, str], parsed: ParsedRequest
    ) -> Computation[Chosen]:
        """Compute the script that answers a request, or what an endpoint that needs none tells by itself."""
        if not isinstance(endpoint, PlainEndpoint):
            return (yield from self.playbook.choosing(request))
        script = yield from self.playbook.choosing_named(request)
        return self.told(request, endpoint, groups, parsed) if script is None else script

    def told(
        self, request: Request, endpoint: PlainEndpoint, groups: dict[str, str], parsed: ParsedRequest
    ) -> Told | Recalled | MockStreamError:
        asked = PlainRequest(
            model=parsed.model,
            params=parsed.params,
            framing=parsed.framing,
            groups=groups,
            query=self.incoming.query,
            headers=self.incoming.lower_headers,
            base=self.incoming.base,
            content=self.incoming.body,
            files=self.files,
            store=self.playbook.store,
            number=request.number,
            reply=partial(self._reply, request),
        )
        try:
            return endpoint.told(asked)
        except MockStreamError:  # of a request inside of it, and remembered already
            raise
        except DeclinedError as error:
            return told_json(endpoint.error(error.status, str(error)), status=error.status)
        except (BadRequestError, *_WRONG_TYPES) as error:
            problem = self._problem(_unreadable(endpoint, error))
            self.playbook.remember(problem)
            return problem

    def _reply(self, outer: Request, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a request that is inside of another one, and takes no time; return status and body.

        Raises:
            BadRequestError: it is not valid, or there is no such endpoint.
            MockStreamError: no script is left for it, or the one that is cannot answer it.
        """
        found = self._found("POST", path)
        if found is None:
            raise BadRequestError(f"nothing is known of {path!r:.80}, which it asks for")
        endpoint, groups = found
        parsed = replace(endpoint.parse(body, groups, {}), framing=None)
        request = self._request(endpoint, parsed, path=path, body=body)
        entry_of(request).number = outer.number
        script = driven(self.choosing(request, endpoint, groups, parsed))
        if isinstance(script, Told):
            return script.status, json.loads(script.pieces[0])
        if not isinstance(script, Script):
            raise script if isinstance(script, MockStreamError) else BadRequestError(f"{path!r:.80} is not for batches")
        wire = endpoint.scripted if isinstance(endpoint, PlainEndpoint) else endpoint
        reply = self.player.wire_reply(
            wire, parsed, script, self.playbook.store.new_number(), words_in(parsed.messages), request
        )
        frames = whole_frames(wire, reply, script.units(prompt_tokens=reply.prompt_tokens))
        said = b""
        for step in frames:
            said += step.data if isinstance(step, WireFrame) else b""
            if isinstance(step, FAULTS) or (isinstance(step, WireFrame) and step.last):
                break
        try:
            return status_of(wire, parsed, script), json_object(said)
        except BadRequestError:  # the script ends in the middle of it, or says garbage
            return 500, wire.error(500, "The server had an error while processing this request", None)

    def _provider(self, endpoint: WireFormat | PlainEndpoint | None) -> str:
        """Return who is asked."""
        incoming = self.incoming
        agent = incoming.lower_headers.get("user-agent", "")
        usual = endpoint.provider if endpoint else "unknown"
        return provider_asked(incoming.host, incoming.path, agent, given=self.provider, usual=usual)

    def _request(
        self, endpoint: WireFormat | PlainEndpoint | None, parsed: ParsedRequest | None, **inside: Any
    ) -> Request:
        return Request(
            provider=self._provider(endpoint),
            path=inside.get("path", self.incoming.path),
            method=self.incoming.method.upper(),
            model=parsed.model or None if parsed else None,
            messages=parsed.messages if parsed else [],
            tools=parsed.tools if parsed else [],
            params=parsed.params if parsed else {},
            headers=self.incoming.lower_headers,
            body=inside.get("body", self.body),
            streaming=parsed is not None and parsed.framing is not None,
            opened_at=self.opened_at,
        )

    def _refuse(self, status: int, endpoint: WireFormat | PlainEndpoint | None, why: str) -> Answer:
        request = self._request(endpoint, None)
        error = self._problem(why)
        self.playbook.refuse(request, error)
        return self.player.error(status, endpoint, request, error)

    def why_not_live(self) -> str | None:
        """Say why a request cannot go to its provider: it has a key that is none, lent for want of a real one."""
        host, name = self.incoming.host, self.playbook.name
        has_fake = any(FAKE_KEY in value for value in (self.incoming.url, *self.incoming.lower_headers.values()))
        if is_loopback(host) or not has_fake:
            return None
        keys = keys_of((provider_of(host) or "",))
        remedy = f"set {keys[0]} in the environment" if keys else "give its client a real one"
        return f"it is to be recorded, but has the fake key that {name} lends: {remedy}. Nothing was sent."

    def refusal(self, why: str) -> UnexpectedRequestError:
        """Return the error for a request that is recorded already, and remember it."""
        error = self._problem(why)
        self.playbook.remember(error)
        return error

    def _problem(self, why: str) -> UnexpectedRequestError:
        secrets = Secrets(self.incoming.lower_headers)
        path = shortened(secrets.shown(self.incoming.path))
        asked = f"{self.incoming.method} {path} of {self.incoming.host or 'no host'}"
        return UnexpectedRequestError(secrets.shown(f"{asked} (at {self.opened_at}): {why}"))


def _unreadable(endpoint: WireFormat | PlainEndpoint, error: Exception) -> str:
    """Say why an endpoint cannot read a request."""
    if isinstance(error, BadRequestError):
        return f"{endpoint.name} cannot read it: {error}."
    why = f"something in it is of a type that no SDK sends ({type(error).__name__}: {error})"
    return f"{endpoint.name} cannot read it: {why}."
