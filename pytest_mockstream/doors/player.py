"""Makes an answer of a script, or of what a provider tells by itself: the playback of a response's frames.

It has no socket and no HTTP library, and waits for nothing; ``delivery`` has what a door does with the answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pytest_mockstream._base.errors import MockStreamError, ScriptError
from pytest_mockstream.playback import ControlledPlayback, Playback
from pytest_mockstream.playbook.ledger import begin, discard, entry_of
from pytest_mockstream.playbook.playbook import Playbook
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.pacing import Pacing
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.shape import Shape
from pytest_mockstream.script.steps import Played, seconds_to_wait
from pytest_mockstream.wire import (
    CONTENT_TYPES,
    ERRORS,
    Head,
    Kept,
    ParsedRequest,
    PlainEndpoint,
    Recalled,
    Reply,
    Resumed,
    Told,
    WireFormat,
    WireFrame,
    Writer,
    json_text,
    own_headers,
    shaped,
    torn,
)

from .delivery import Answer, ChunkCounter
from .failing import Fails, Framed, failing_midway, failing_whole
from .response import between_frames, breaks_at_once, head_of, headers_for, status_of, whole_frames

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


@dataclass(frozen=True, slots=True, kw_only=True)
class Player:
    """Plays the answers of a door.

    Its frames keep nothing in a local variable that must not be shown: a traceback may show those.

    Attributes:
        playbook: remembers what goes wrong, and what can be asked for again.
        pacing: applies where a script sets none.
        buffer_size: how many frames the producer may be ahead of the reader.
        background: whether the producer runs as a task or thread.
        controlled: whether the playback can be held, stepped and ended by hand.
    """

    playbook: Playbook
    pacing: Pacing | None
    buffer_size: int
    background: bool
    controlled: bool

    def tell(self, request: Request, told: Told) -> Answer:
        """Return the answer of an endpoint that needs no script."""
        headers = headers_for(told.content_type, request) | dict(told.headers)
        *first, last = told.pieces
        frames = [*map(WireFrame, first), WireFrame(last, last=True)]
        return self.begin(told.status, headers, request, frames, headers_first=told.streamed)

    def recall(self, request: Request, recalled: Recalled) -> Answer:
        """Return a reply again that has been kept."""
        kept = recalled.kept
        parsed = replace(kept.request, framing=recalled.framing)
        return self.play(
            request, kept.wire, parsed, kept.script, kept.prompt_tokens, number=kept.number, after=recalled.after
        )

    def play(
        self,
        request: Request,
        wire: WireFormat,
        parsed: ParsedRequest,
        script: Script | MockStreamError,
        prompt_tokens: int,
        *,
        number: int | None = None,
        after: int = -1,
    ) -> Answer:
        """Return the answer that a script gives.

        Args:
            request: as the user sees it.
            wire: how it is written.
            parsed: the request.
            script: what to play, or why nothing can be.
            prompt_tokens: of the request.
            number: of the request that it answered first, where it is asked for again.
            after: the number of the last event that is left out.
        """
        if isinstance(script, MockStreamError):
            return self.error(400, wire, request, script)
        try:
            reply = self.wire_reply(wire, parsed, script, number or request.number, prompt_tokens, request)
        except ScriptError as error:
            return self.error(400, wire, request, error)
        status = status_of(wire, parsed, script)
        if number is None and status == 200 and (begun := self._keep(reply, wire, script)) is not None:
            return self._whole(200, wire.provider, request, json_text(begun).encode(), script=script)
        head = head_of(parsed, request, script, status, prompt_tokens)
        units = partial(script.units, pacing=self.pacing, salt=request.number, prompt_tokens=prompt_tokens)
        if parsed.framing is None or status != 200:
            kind = wire.whole_type(parsed) if status == 200 else "application/json"
            headers = headers_for(kind, request, script, own_headers(wire.provider, head))
            frames: Iterable[Played[WireFrame]] = whole_frames(wire, reply, units())
            failing = partial(failing_whole, wire)
            return self.begin(status, headers, request, frames, script, failing=failing)
        framing = parsed.framing

        def framed(shape: Shape) -> Framed:
            encoder = wire.encoder(reply) if after < 0 else Resumed(wire.encoder(reply), after)
            writer = Writer(framing, shape.line_ending or "\n")
            between = between_frames(encoder, writer, framing, shape)
            seed = f"{script.pacing.seed or 0}/{request.number}"
            frames = shaped(torn(wire.frames(units(), encoder, writer)), shape, between=between, seed=seed)
            return Framed(frames, encoder, writer)

        return self.begin(
            status,
            headers_for(CONTENT_TYPES[framing], request, script, own_headers(wire.provider, head)),
            request,
            framed(script.shape).frames,
            script,
            headers_first=not breaks_at_once(script),
            failing=partial(failing_midway, framed, script.shape),
        )

    def wire_reply(
        self,
        wire: WireFormat,
        parsed: ParsedRequest,
        script: Script,
        number: int,
        prompt_tokens: int,
        request: Request,
    ) -> Reply:
        """Return what an encoder must know; raises ``ScriptError``, and remembers it, if the script cannot be said."""
        try:
            return wire.reply(parsed, script, number=number, prompt_tokens=prompt_tokens, provider=request.provider)
        except ScriptError as error:
            self.playbook.remember(error)
            raise

    def _keep(self, reply: Reply, wire: WireFormat, script: Script) -> dict[str, Any] | None:
        """Keep a reply, if it can be asked for again; return what is answered first where it comes only then."""
        keeping = wire.keeping
        if keeping is None or not keeping.keeps(reply.request):
            return None
        kept = Kept(
            wire=wire,
            request=reply.request,
            script=script,
            number=reply.number,
            prompt_tokens=reply.prompt_tokens,
            provider=reply.provider,
        )
        self.playbook.store.put(keeping.kind, f"{keeping.prefix}{reply.number}", kept)
        return None if reply.request.framing else keeping.begun(reply)

    def error(
        self, status: int, endpoint: WireFormat | PlainEndpoint | None, request: Request, error: MockStreamError
    ) -> Answer:
        """Return the answer that tells one of our errors, as the provider tells its own."""
        provider = endpoint.provider if endpoint else request.provider
        shape = endpoint.error if endpoint else ERRORS.get(provider, ERRORS["openai"])
        body = json_text(shape(status, f"pytest-mockstream: {error}", None)).encode()
        return self._whole(status, provider, request, body, error)

    def _whole(
        self,
        status: int,
        provider: str,
        request: Request,
        body: bytes,
        error: MockStreamError | None = None,
        script: Script | None = None,
    ) -> Answer:
        own = own_headers(provider, Head(request.path, request.number, status))
        headers = headers_for("application/json", request, script, own)
        answered = self.begin(status, headers, request, [WireFrame(body, last=True)])
        answered.error = error
        return answered

    def begin(
        self,
        status: int,
        headers: dict[str, str],
        request: Request,
        steps: Iterable[Played[WireFrame]],
        script: Script | None = None,
        *,
        headers_first: bool = False,
        counts: bool = True,
        failing: Fails | None = None,
    ) -> Answer:
        """Return an answer whose playback has begun.

        Args:
            status: of the response.
            headers: of the response.
            request: as the user sees it.
            steps: its frames, and what happens between them.
            script: that it plays, if any.
            headers_first: whether the headers are sent before the first frame is there.
            counts: whether it is a request of the test's, which is in the record.
            failing: what is sent of an error that somebody lets it end with by hand.
        """
        counter = ChunkCounter()
        schedule, size, gates = counter.counted(steps), self.buffer_size, script.gates if script else ()
        playback: Playback[WireFrame]
        if self.controlled:
            playback = ControlledPlayback(schedule, buffer_size=size, gates=gates, counts=_has_chunks)
        else:
            playback = Playback(schedule, buffer_size=size, gates=gates, background=self.background)
        counter.playback = playback
        entry = entry_of(request)
        entry.status = status
        entry.wait = seconds_to_wait(headers) if status >= 400 else None
        if counts:
            begin(request, counter, chunk_count=script.chunk_count if script else 0, script=script)
        else:
            discard(request)
        if entry.note is not None:
            entry.note(("answered", entry.asked_as, 0.0, status, headers))
        return Answer(
            status=status,
            headers=headers,
            headers_first=headers_first,
            request=request,
            entry=entry,
            playback=playback,
            failing=failing,
        )


def _has_chunks(frame: WireFrame) -> bool:
    return frame.chunks > 0
