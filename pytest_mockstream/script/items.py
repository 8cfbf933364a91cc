"""The steps that no field of a chunk can say, which a chunk brings as its ``item``."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

from .deltas import Chunking, Said

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


@dataclass(frozen=True, slots=True)
class ServerTool:
    """The provider itself runs a tool: a search, code, or one of an MCP server. Call and result are one chunk.

    Anthropic: ``server_tool_use`` and ``..._tool_result`` blocks; OpenAI's responses: ``web_search_call``,
    ``code_interpreter_call``, ``file_search_call`` items; Gemini: ``executableCode`` and ``codeExecutionResult``, or
    ``groundingMetadata``. All three have ``"web_search"`` and ``"code_execution"``.

    Tools of MCP servers are called by Anthropic (``mcp_tool_use`` and ``mcp_tool_result`` blocks:
    https://docs.anthropic.com/en/docs/agents-and-tools/mcp-connector) and by OpenAI's responses (``mcp_call`` items:
    https://platform.openai.com/docs/guides/tools-connectors-mcp).

    Attributes:
        name: the tool's name. Of an MCP server, ``"tools/list"`` is the list of its tools: ``mcp_tool_listing``, or
            ``mcp_list_tools``.
        input: what it is called with: ``{"query": ...}`` for a search, ``{"code": ...}`` for code. OpenAI's responses
            open and look through pages by a search with ``{"type": "open_page", "url": ...}``, or ``"find_in_page"``
            with a ``"pattern"`` besides (https://platform.openai.com/docs/guides/tools-web-search).
        result: what it gives. For a search, a list of ``{"url": ..., "title": ...}``; for code, the text that it
            prints; or in the provider's own shape, as a mapping. For the tool of an MCP server, text, or
            ``{"error": "..."}`` where it fails; for its tools, a list of ``{"name": ..., "input_schema": ...}``. None
            for nothing.
        server: the label of the MCP server that has the tool, as the request names it; None for the provider's own.

    Raises:
        ScriptError: a value is not legal, or cannot be written as JSON.
    """

    name: str
    input: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    server: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ScriptError(f"ServerTool(name={brief(self.name)}): give the tool's name, a non-empty str")
        if not isinstance(self.input, Mapping):
            raise ScriptError(f"ServerTool(input={brief(self.input)}): give a mapping, such as {{'query': 'Paris'}}")
        if self.server is not None and (not isinstance(self.server, str) or not self.server):
            msg = f"ServerTool(server={brief(self.server)}): give the label of an MCP server, a non-empty str, or None"
            raise ScriptError(msg)
        for name in ("input", "result"):
            value = getattr(self, name)
            try:
                json.dumps(dict(value) if isinstance(value, Mapping) else value, allow_nan=False)
            except (TypeError, ValueError, RecursionError) as error:
                raise ScriptError(f"ServerTool({name}={brief(value)}) cannot be written as JSON: {error}") from None

    def says(self, _chunking: Chunking, _calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        return ({"item": self},)


@dataclass(frozen=True, slots=True)
class Citation:
    """A source of the text before it, in a chunk of its own.

    Anthropic: ``citations_delta``; OpenAI's responses: an annotation; OpenAI's chats: ``annotations``, as its search
    models and gateways have them; Gemini: ``groundingMetadata``.

    Attributes:
        url: where the source is.
        title: its title.
        cited_text: what it says.
        start: where the text that it is for begins, in characters of the reply; by default with the text step before.
        end: where it ends; by default where the text so far ends.

        new_block: it begins a block of its own, although there is text before it, and the text after it goes on with
            that block: see ``Text``.

    Raises:
        ScriptError: a value is not legal.
    """

    url: str
    title: str = ""
    cited_text: str = ""
    start: int | None = field(default=None, kw_only=True)
    end: int | None = field(default=None, kw_only=True)
    new_block: bool = field(default=False, kw_only=True)
    said: str = field(default="", init=False, repr=False, compare=False)  # the text so far, once it is in a script

    def __post_init__(self) -> None:
        for name in ("url", "title", "cited_text"):
            value = getattr(self, name)
            if not isinstance(value, str) or (name == "url" and not value):
                raise ScriptError(f"Citation({name}={brief(value)}): give a {'non-empty ' * (name == 'url')}str")
        for name in ("start", "end"):
            place = getattr(self, name)
            if place is not None and (type(place) is not int or place < 0):
                raise ScriptError(f"Citation({name}={brief(place)}): give a place in the text, an int >= 0, or None")
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ScriptError(f"Citation(start={self.start}, end={self.end}): it ends before it begins")
        if not isinstance(self.new_block, bool):
            raise ScriptError(f"Citation(new_block={brief(self.new_block)}): give True or False")

    def after(self, said: str, last: str) -> Citation:
        """Return it with its place, behind the text so far, which the last text step ends with."""
        start, end = self.start, self.end
        placed = Citation(
            self.url,
            self.title,
            self.cited_text,
            start=min(len(said) - len(last), len(said) if end is None else end) if start is None else start,
            end=max(len(said), start or 0) if end is None else end,
            new_block=self.new_block,
        )
        object.__setattr__(placed, "said", said)
        return placed

    def says(self, _chunking: Chunking, _calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        return (Said(item=self, new_block=True) if self.new_block else Said(item=self),)


_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True, slots=True)
class Image:
    """An image that the model makes, in one chunk.

    OpenAI's responses: an ``image_generation_call`` item; OpenAI's chats: ``images``, as OpenRouter has them
    (https://openrouter.ai/docs/features/multimodal/image-generation); Gemini: ``inlineData``.

    Attributes:
        data: the bytes of the image, or their Base64 text; by default a PNG of one pixel.
        media_type: what it is.

    Raises:
        ScriptError: a value is not legal.
    """

    data: bytes | str = _PIXEL
    media_type: str = field(default="image/png", kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.data, bytes | bytearray):
            object.__setattr__(self, "data", b64encode(self.data).decode())
        try:
            is_image = isinstance(self.data, str) and len(b64decode(self.data, validate=True)) > 0
        except ValueError:
            is_image = False
        if not is_image:
            raise ScriptError(f"Image({brief(self.data)}): give the bytes of an image, or their Base64 text")
        if not isinstance(self.media_type, str) or not self.media_type.startswith("image/"):
            raise ScriptError(f"Image(media_type={brief(self.media_type)}): give a type such as 'image/png'")

    def says(self, _chunking: Chunking, _calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        return ({"item": self},)


@dataclass(frozen=True, slots=True)
class Frame:
    """A well-formed frame in your own words: what the vocabulary lacks, or what only one gateway sends.

    It counts as a chunk: it is paced as one, a sweep breaks the stream before it, and the record counts it. Before it
    comes what the format sends before any chunk, and the end of a block that it follows; it is sent as it is. Formats
    that name their events (Anthropic, OpenAI's responses) name it after its ``"type"``, and responses number it unless
    it has a ``"sequence_number"``. The reader of the default client gets a chunk with the frame as its ``item``.

    A script with no content but frames is the whole body: nothing is added before, between and after them, and the last
    one is the last chunk. Where the reply is not streamed, one single frame is the body, and nothing may be beside it.

    Attributes:
        data: the JSON of the frame, as a mapping or a list; or its text as a ``str``, sent as it is. Text that is not
            JSON is an error, except where the format has such frames: OpenAI Chat's ``"[DONE]"``. For garbage there is
            ``Malformed``.
        event: the ``event:`` field; ``""`` is none, where the format would name it
            (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation). In Converse's
            event stream it is the type of the event, and must be given.
        id: the ``id:`` field.
        retry: the ``retry:`` field, in milliseconds.
        chunks: 1, or 0 for a frame that does not count as a chunk; after ``End`` none counts. One that does not count
            comes just where it stands, before the format's own first frame, too; the default client has none of them.

    Raises:
        ScriptError: a value is not legal, or ``data`` cannot be written as JSON.
    """

    data: Mapping[str, Any] | Sequence[Any] | str
    event: str | None = field(default=None, kw_only=True)
    id: str | None = field(default=None, kw_only=True)
    retry: int | None = field(default=None, kw_only=True)
    chunks: Literal[0, 1] = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.data, Mapping | list | tuple) and not (isinstance(self.data, str) and self.data):
            msg = f"Frame({brief(self.data)}): give JSON as a mapping or a list, or the text of the frame as a str"
            raise ScriptError(msg)
        try:
            _ = self.text
        except (TypeError, ValueError, RecursionError) as error:
            msg = f"Frame({brief(self.data)}) cannot be written as JSON: {error}"
            raise ScriptError(msg) from None
        for name in ("event", "id"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or set(value) & {"\n", "\r", "\0"}):
                raise ScriptError(f"Frame({name}={brief(value)}): give a str of one line, or None")
        if self.retry is not None and (type(self.retry) is not int or self.retry < 0):
            raise ScriptError(f"Frame(retry={brief(self.retry)}): give milliseconds, an int >= 0, or None")
        if type(self.chunks) is not int or self.chunks not in {0, 1}:
            raise ScriptError(f"Frame(chunks={brief(self.chunks)}): give 1 if it counts as a chunk, 0 if it does not")

    @property
    def text(self) -> str:
        """The text of the frame."""
        if isinstance(self.data, str):
            return self.data
        data = dict(self.data) if isinstance(self.data, Mapping) else self.data
        return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @property
    def json(self) -> Any:
        """The JSON value of the frame; None if its text is not JSON."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None

    def says(self, _chunking: Chunking, _calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        return ({"item": self},)
