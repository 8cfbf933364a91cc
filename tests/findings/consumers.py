"""Code as people write it around the real SDKs: each with a fault in how it copes with failures, and its mended twin.

A consumer is an async function without arguments; it returns what it shows its user, or raises.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pytest_mockstream import Disconnect, HTTPError, Script, Truncate

QUESTION = "Where should I go?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]
TEXT = "Paris is lovely."
BROKEN = Script("Paris is", Disconnect())
CUT = Script("Paris is", Truncate())


@dataclass(frozen=True)
class Case:
    """One consumer.

    Attributes:
        ask: the consumer.
        scripts: what it gets, one after the other.
        findings: the names of the findings on its own doing.
        theirs: the findings on what a library does by itself, each as "name by library".
    """

    ask: Callable[[], Awaitable[Any]]
    scripts: list[Any]
    findings: list[str] = field(default_factory=list)
    theirs: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.ask.__name__


# openai


@contextlib.asynccontextmanager
async def openai_client(max_retries: int = 0) -> AsyncIterator[Any]:
    import openai

    async with openai.AsyncOpenAI(max_retries=max_retries) as client:
        yield client


async def openai_parts(client: Any, messages: Any = MESSAGES, model: str = "gpt-5") -> AsyncGenerator[str, None]:
    async with await client.chat.completions.create(model=model, messages=messages, stream=True) as stream:
        async for chunk in stream:
            yield chunk.choices[0].delta.content or ""


async def openai_appends() -> str:
    shown = ""
    async with openai_client() as client:
        for attempt in range(3):
            try:
                async with contextlib.aclosing(openai_parts(client)) as parts:
                    async for part in parts:
                        shown += part
                return shown
            except Exception:
                await asyncio.sleep(2**attempt)
    raise ConnectionError


async def openai_begins_anew() -> str:
    async with openai_client() as client:
        for attempt in range(3):
            shown = ""
            try:
                async with contextlib.aclosing(openai_parts(client)) as parts:
                    async for part in parts:
                        shown += part
                return shown
            except Exception:
                await asyncio.sleep(2**attempt)
    raise ConnectionError


async def openai_retries_soon() -> str:
    import openai

    async with openai_client() as client:
        while True:
            try:
                reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
                return str(reply.choices[0].message.content)
            except openai.RateLimitError:
                await asyncio.sleep(1)


async def openai_waits_as_told() -> str:
    import openai

    async with openai_client() as client:
        while True:
            try:
                reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
                return str(reply.choices[0].message.content)
            except openai.RateLimitError as error:
                await asyncio.sleep(float(error.response.headers["retry-after"]))


async def openai_retries_what_is_refused() -> str:
    import openai

    async with openai_client() as client:
        for attempt in range(3):
            try:
                reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
                return str(reply.choices[0].message.content)
            except openai.APIStatusError:
                await asyncio.sleep(2**attempt)
    raise ConnectionError


async def openai_raises_what_is_refused() -> str:
    import openai

    async with openai_client() as client:
        for attempt in range(3):
            try:
                reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
                return str(reply.choices[0].message.content)
            except openai.APIStatusError as error:
                if error.status_code < 500 and error.status_code not in {408, 409, 429}:
                    raise
                await asyncio.sleep(2**attempt)
    raise ConnectionError


async def openai_corrects_what_is_refused() -> str:
    import openai

    async with openai_client() as client:
        try:
            reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES, max_tokens=10**9)
        except openai.BadRequestError:
            reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES, max_tokens=1000)
        return str(reply.choices[0].message.content)


async def openai_hammers() -> str:
    import openai

    async with openai_client() as client:
        for _ in range(5):
            with contextlib.suppress(openai.APIStatusError):
                reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
                return str(reply.choices[0].message.content)
            await asyncio.sleep(0.5)
    raise ConnectionError


async def openai_backs_off() -> str:
    import openai

    async with openai_client() as client:
        for attempt in range(5):
            with contextlib.suppress(openai.APIStatusError):
                reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
                return str(reply.choices[0].message.content)
            await asyncio.sleep(0.5 * 2**attempt)
    raise ConnectionError


async def openai_takes_the_part_for_the_whole() -> str:
    async with openai_client() as client, contextlib.aclosing(openai_parts(client)) as parts:
        return "".join([part async for part in parts])


async def openai_looks_for_the_end() -> str:
    shown, finish = "", None
    async with (
        openai_client() as client,
        await client.chat.completions.create(model="gpt-5", messages=MESSAGES, stream=True) as stream,
    ):
        async for chunk in stream:
            shown += chunk.choices[0].delta.content or ""
            finish = chunk.choices[0].finish_reason
    if finish is None:
        raise ConnectionError("cut off")
    return shown


async def openai_is_silent_about_errors() -> str:
    import openai

    async with openai_client(max_retries=1) as client:
        try:
            reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
        except openai.APIError:
            return ""
        return str(reply.choices[0].message.content)


async def openai_says_sorry() -> str:
    return await openai_is_silent_about_errors() or "Sorry, please try again later."


async def openai_leaves_retries_to_the_sdk() -> str:
    async with openai_client(max_retries=4) as client:
        reply = await client.chat.completions.create(model="gpt-5", messages=MESSAGES)
        return str(reply.choices[0].message.content)


# anthropic


@contextlib.asynccontextmanager
async def anthropic_client(max_retries: int = 0) -> AsyncIterator[Any]:
    import anthropic

    async with anthropic.AsyncAnthropic(max_retries=max_retries) as client:
        yield client


async def anthropic_parts(client: Any, messages: Any = MESSAGES) -> AsyncGenerator[str, None]:
    async with client.messages.stream(model="claude", messages=messages, max_tokens=99) as stream:
        async for text in stream.text_stream:
            yield text


async def anthropic_yields_twice() -> list[str]:
    async def answer() -> AsyncIterator[str]:
        async with anthropic_client() as client:
            for attempt in range(2):
                try:
                    async with contextlib.aclosing(anthropic_parts(client)) as parts:
                        async for part in parts:
                            yield part
                    return
                except Exception:
                    if attempt:
                        raise

    return [part async for part in answer()]


async def anthropic_yields_a_new_message() -> list[dict[str, str]]:
    async def answer() -> AsyncIterator[dict[str, str]]:
        async with anthropic_client() as client:
            for attempt in range(2):
                yield {"type": "message_start"}
                try:
                    async with contextlib.aclosing(anthropic_parts(client)) as parts:
                        async for part in parts:
                            yield {"type": "delta", "text": part}
                    return
                except Exception:
                    if attempt:
                        raise

    return [event async for event in answer()]


async def anthropic_goes_on() -> str:
    shown, messages = "", MESSAGES
    async with anthropic_client() as client:
        for attempt in range(3):
            try:
                async with contextlib.aclosing(anthropic_parts(client, messages)) as parts:
                    async for part in parts:
                        shown += part
                return shown
            except Exception:
                messages = [*MESSAGES, {"role": "assistant", "content": shown}]
                await asyncio.sleep(2**attempt)
    raise ConnectionError


async def anthropic_loses_what_came() -> str:
    shown = ""
    async with anthropic_client() as client:
        try:
            async with contextlib.aclosing(anthropic_parts(client)) as parts:
                async for part in parts:
                    shown += part
        except Exception:
            shown = ""
    return shown


async def anthropic_marks_what_is_missing() -> str:
    shown = ""
    async with anthropic_client() as client:
        try:
            async with contextlib.aclosing(anthropic_parts(client)) as parts:
                async for part in parts:
                    shown += part
        except Exception:
            shown += " [connection lost]"
    return shown


async def anthropic_retries_around_retries() -> str:
    import anthropic

    async with anthropic_client(max_retries=3) as client:
        for attempt in range(3):
            try:
                reply = await client.messages.create(model="claude", messages=MESSAGES, max_tokens=99)
                return str(reply.content[0].text)
            except anthropic.APIStatusError:
                await asyncio.sleep(2**attempt)
    raise ConnectionError


async def anthropic_retries_alone() -> str:
    import anthropic

    async with anthropic_client(max_retries=0) as client:
        for attempt in range(3):
            try:
                reply = await client.messages.create(model="claude", messages=MESSAGES, max_tokens=99)
                return str(reply.content[0].text)
            except anthropic.APIStatusError:
                await asyncio.sleep(2**attempt)
    raise ConnectionError


async def anthropic_gets_a_new_key() -> str:
    import anthropic

    async with anthropic.AsyncAnthropic(max_retries=0, api_key="old") as client:
        reply: Any
        try:
            reply = await client.messages.create(model="claude", messages=MESSAGES, max_tokens=99)
        except anthropic.AuthenticationError:
            renewed = client.with_options(api_key="new")
            reply = await renewed.messages.create(model="claude", messages=MESSAGES, max_tokens=99)
    return str(reply.content[0].text)


# google-genai


@contextlib.asynccontextmanager
async def google_client(attempts: int = 1) -> AsyncIterator[Any]:
    from google import genai
    from google.genai import types

    retries = types.HttpRetryOptions(attempts=attempts)
    async with genai.Client(http_options=types.HttpOptions(retry_options=retries)).aio as client:
        yield client


async def google_parts(client: Any, model: str = "gemini-2.5-flash") -> AsyncGenerator[str, None]:
    async for chunk in await client.models.generate_content_stream(model=model, contents=QUESTION):
        yield chunk.text or ""


async def google_streams_twice() -> list[str]:
    events = []
    for attempt in range(2):
        try:
            async with google_client() as client:
                async for part in google_parts(client):
                    events += [f'data: {{"delta": "{part}"}}\n\n']
            return events
        except Exception:
            if attempt:
                raise
    return events


async def google_streams_a_reset() -> list[str]:
    events = []
    for attempt in range(2):
        try:
            async with google_client() as client:
                async for part in google_parts(client):
                    events += [f'data: {{"delta": "{part}"}}\n\n']
            return events
        except Exception:
            if attempt:
                raise
            events.append("event: reset\ndata: {}\n\n")
    return events


async def google_retries_what_is_refused() -> str:
    for attempt in range(3):
        try:
            async with google_client() as client:
                reply = await client.models.generate_content(model="gemini-2.5-flash", contents=QUESTION)
                return str(reply.text)
        except Exception:
            await asyncio.sleep(2**attempt)
    raise ConnectionError


async def google_retries_what_may_pass() -> str:
    from google.genai import errors

    for attempt in range(3):
        try:
            async with google_client() as client:
                reply = await client.models.generate_content(model="gemini-2.5-flash", contents=QUESTION)
                return str(reply.text)
        except errors.APIError as error:
            if error.code < 500:
                raise
            await asyncio.sleep(2**attempt)
    raise ConnectionError


async def google_falls_back() -> str:
    for model in ("gemini-2.5-pro", "gemini-2.5-flash"):
        try:
            async with google_client() as client:
                return "".join([part async for part in google_parts(client, model)])
        except Exception:  # noqa: S112 - the next model is asked
            continue
    raise ConnectionError


async def google_leaves_retries_to_the_sdk() -> str:
    async with google_client(attempts=4) as client:
        reply = await client.models.generate_content(model="gemini-2.5-flash", contents=QUESTION)
        return str(reply.text)


# langchain


def langchain_model(max_retries: int = 0, **options: Any) -> Any:
    import langchain_openai

    return langchain_openai.ChatOpenAI(model="gpt-5", max_retries=max_retries, **options)


async def langchain_parts(model: Any) -> AsyncGenerator[str, None]:
    async with contextlib.aclosing(model.astream(QUESTION)) as chunks:
        async for chunk in chunks:
            yield chunk.text


async def langchain_shows_states_of_an_appended_text() -> list[str]:
    states, shown = [], ""
    for attempt in range(2):
        try:
            async with contextlib.aclosing(langchain_parts(langchain_model())) as parts:
                async for part in parts:
                    shown += part
                    states.append(shown)
            return states
        except Exception:
            if attempt:
                raise
    return states


async def langchain_shows_states_of_a_new_text() -> list[str]:
    states = []
    for attempt in range(2):
        shown = ""
        try:
            async with contextlib.aclosing(langchain_parts(langchain_model())) as parts:
                async for part in parts:
                    shown += part
                    states.append(shown)
            return states
        except Exception:
            if attempt:
                raise
    return states


async def langchain_takes_the_part_for_the_whole() -> dict[str, object]:
    async with contextlib.aclosing(langchain_parts(langchain_model())) as parts:
        return {"answer": "".join([part async for part in parts]), "ok": True}


async def langchain_tells_the_part_from_the_whole() -> dict[str, object]:
    whole = None
    async with contextlib.aclosing(langchain_model().astream(QUESTION)) as chunks:
        async for chunk in chunks:
            whole = chunk if whole is None else whole + chunk
    return {"answer": whole.text, "ok": "finish_reason" in whole.response_metadata} if whole else {"ok": False}


async def langchain_retries_by_itself() -> str:
    model = langchain_model().with_retry(stop_after_attempt=3)
    return str((await model.ainvoke(QUESTION)).text)


async def langchain_runs_a_job_that_may_be_repeated() -> str:
    for attempt in range(4):
        try:
            return str((await langchain_model().ainvoke(QUESTION)).text)
        except Exception:
            await asyncio.sleep(30 * 2**attempt)
    raise ConnectionError


# litellm


async def litellm_parts(model: str = "openai/gpt-4o") -> AsyncGenerator[str, None]:
    import litellm

    stream = await litellm.acompletion(model, messages=MESSAGES, stream=True, max_retries=0)
    try:
        async for chunk in stream:
            yield chunk.choices[0].delta.content or ""
    finally:
        await stream.aclose()


async def litellm_appends() -> str:
    shown = ""
    for attempt in range(3):
        try:
            async with contextlib.aclosing(litellm_parts()) as parts:
                async for part in parts:
                    shown += part
            return shown
        except Exception:
            await asyncio.sleep(2**attempt)
    raise ConnectionError


async def litellm_begins_anew() -> str:
    for attempt in range(3):
        try:
            async with contextlib.aclosing(litellm_parts()) as parts:
                return "".join([part async for part in parts])
        except Exception:
            await asyncio.sleep(2**attempt)
    raise ConnectionError


async def litellm_is_silent_about_errors() -> str:
    try:
        async with contextlib.aclosing(litellm_parts("anthropic/claude-sonnet-4-5")) as parts:
            return "".join([part async for part in parts])
    except Exception:
        return ""


async def litellm_falls_back() -> str:
    for model in ("openai/gpt-4o", "anthropic/claude-sonnet-4-5"):
        try:
            async with contextlib.aclosing(litellm_parts(model)) as parts:
                return "".join([part async for part in parts])
        except Exception:  # noqa: S112 - the next model is asked
            continue
    raise ConnectionError


async def litellm_retries_soon() -> str:
    import litellm

    while True:
        try:
            reply = await litellm.acompletion("openai/gpt-4o", messages=MESSAGES, max_retries=0)
            return str(reply.choices[0].message.content)
        except litellm.RateLimitError:
            await asyncio.sleep(1)


async def litellm_waits_long_enough() -> str:
    import litellm

    while True:
        try:
            reply = await litellm.acompletion("openai/gpt-4o", messages=MESSAGES, max_retries=0)
            return str(reply.choices[0].message.content)
        except litellm.RateLimitError:
            await asyncio.sleep(30)


async def litellm_retries_by_itself() -> str:
    import litellm

    reply = await litellm.acompletion("openai/gpt-4o", messages=MESSAGES, num_retries=3)
    return str(reply.choices[0].message.content)


LIMITED = HTTPError(429, retry_after=10)
DOWN = HTTPError(503)

#: By the top-level package that they need.
CASES: dict[str, list[Case]] = {
    "openai": [
        Case(openai_appends, [BROKEN, TEXT], ["repeats_delivered"]),
        Case(openai_begins_anew, [BROKEN, BROKEN, TEXT]),
        Case(openai_retries_soon, [LIMITED, TEXT], ["ignores_retry_after"]),
        Case(openai_waits_as_told, [LIMITED, LIMITED, LIMITED, TEXT]),
        Case(openai_retries_what_is_refused, [HTTPError(422), TEXT], ["retries_permanent"]),
        Case(openai_raises_what_is_refused, [DOWN, HTTPError(422)]),
        Case(openai_corrects_what_is_refused, [HTTPError(400), TEXT]),
        Case(openai_hammers, [DOWN, DOWN, DOWN, TEXT], ["storm"]),
        Case(openai_backs_off, [DOWN, DOWN, DOWN, TEXT]),
        Case(openai_takes_the_part_for_the_whole, [CUT], ["takes_truncated_for_whole"]),
        Case(openai_looks_for_the_end, [CUT]),
        Case(openai_is_silent_about_errors, [DOWN, DOWN], ["hides_failure"]),
        Case(openai_says_sorry, [DOWN, DOWN]),
        Case(openai_leaves_retries_to_the_sdk, [DOWN, DOWN, DOWN, DOWN, TEXT]),
    ],
    "anthropic": [
        Case(anthropic_yields_twice, [BROKEN, TEXT], ["repeats_delivered"]),
        Case(anthropic_yields_a_new_message, [BROKEN, TEXT]),
        Case(anthropic_goes_on, [BROKEN, " lovely."]),
        Case(anthropic_loses_what_came, [BROKEN], ["loses_delivered"]),
        Case(anthropic_marks_what_is_missing, [BROKEN]),
        Case(anthropic_retries_around_retries, [HTTPError(529)] * 12, ["storm"]),
        Case(anthropic_retries_alone, [HTTPError(529)] * 3),
        Case(anthropic_gets_a_new_key, [HTTPError(401), TEXT]),
    ],
    "google": [
        Case(google_streams_twice, [BROKEN, TEXT], ["repeats_delivered"]),
        Case(google_streams_a_reset, [BROKEN, TEXT]),
        Case(google_retries_what_is_refused, [HTTPError(403), TEXT], ["retries_permanent"]),
        Case(google_retries_what_may_pass, [DOWN, HTTPError(403)]),
        Case(google_falls_back, [BROKEN, TEXT]),
        Case(google_leaves_retries_to_the_sdk, [DOWN, DOWN, DOWN, TEXT]),
        Case(google_leaves_retries_to_the_sdk, [LIMITED, TEXT], theirs=["ignores_retry_after by google-genai"]),
    ],
    "langchain_openai": [
        Case(langchain_shows_states_of_an_appended_text, [BROKEN, TEXT], ["repeats_delivered"]),
        Case(langchain_shows_states_of_a_new_text, [BROKEN, TEXT]),
        Case(langchain_takes_the_part_for_the_whole, [CUT], ["takes_truncated_for_whole"]),
        Case(langchain_tells_the_part_from_the_whole, [CUT]),
        Case(langchain_retries_by_itself, [DOWN, DOWN, TEXT]),
        Case(langchain_retries_by_itself, [HTTPError(401), TEXT], ["retries_permanent"]),  # which its user asked for
        Case(langchain_runs_a_job_that_may_be_repeated, [DOWN, DOWN, TEXT]),
    ],
    "litellm": [
        Case(litellm_appends, [BROKEN, TEXT], ["repeats_delivered"]),
        Case(litellm_begins_anew, [BROKEN, TEXT]),
        Case(litellm_is_silent_about_errors, [BROKEN], ["loses_delivered"]),
        Case(litellm_falls_back, [BROKEN, TEXT]),
        Case(litellm_retries_soon, [LIMITED, TEXT], ["ignores_retry_after"]),
        Case(litellm_waits_long_enough, [LIMITED, TEXT]),
        Case(litellm_retries_by_itself, [DOWN, DOWN, TEXT]),
    ],
}
