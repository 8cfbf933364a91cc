"""instructor: an object out of an answer, asked for again until it is valid; streamed in parts; a rate limit; a cut."""

import httpx2
import instructor
import openai
import pytest
from pydantic import BaseModel, field_validator

from pytest_mockstream import Disconnect, HTTPError, ToolCall

ASK = {"messages": [{"role": "user", "content": "Plan a trip to Paris."}], "max_tokens": 999}


class Trip(BaseModel):
    city: str
    days: int

    @field_validator("days")
    @classmethod
    def short(cls, days):
        if days > 7:
            raise ValueError("too long")
        return days


MODELS = ["openai/gpt-5", "anthropic/claude-opus-4-8"]
each_model = pytest.mark.parametrize("model", MODELS)


@each_model
async def test_object_by_a_tool(door, model):
    door.respond(ToolCall("Trip", {"city": "Paris", "days": 3}))

    trip = await instructor.from_provider(model, async_client=True).create(response_model=Trip, **ASK)

    assert (trip.city, trip.days) == ("Paris", 3)


@each_model
def test_object_in_sync_code(door, model):
    door.respond(ToolCall("Trip", {"city": "Paris", "days": 3}))

    trip = instructor.from_provider(model).create(response_model=Trip, **ASK)

    assert (trip.city, trip.days) == ("Paris", 3)


async def test_object_by_json(door):
    door.respond('{"city": "Paris", "days": 3}')
    client = instructor.from_openai(openai.AsyncOpenAI(), mode=instructor.Mode.JSON)

    trip = await client.create(model="gpt-5", response_model=Trip, **ASK)

    assert (trip.city, trip.days) == ("Paris", 3)


@each_model
async def test_invalid_object_is_asked_for_again(door, model):
    door.when(turn=1).respond(ToolCall("Trip", {"city": "Paris", "days": 30}))
    door.when(tool_result_contains="too long").respond(ToolCall("Trip", {"city": "Paris", "days": 3}))

    trip = await instructor.from_provider(model, async_client=True).create(response_model=Trip, **ASK)

    assert trip.days == 3
    assert len(door.requests) == 2


@each_model
async def test_object_in_parts(door, model):
    door.respond(ToolCall("Trip", {"city": "Paris", "days": 3}))
    client = instructor.from_provider(model, async_client=True)

    parts = [part async for part in client.create_partial(response_model=Trip, **ASK)]

    assert parts[0].city is None
    assert (parts[-1].city, parts[-1].days) == ("Paris", 3)


@each_model
async def test_several_objects(door, model):
    door.respond(ToolCall("IterableTrip", {"tasks": [{"city": "Paris", "days": 3}, {"city": "Rome", "days": 2}]}))
    client = instructor.from_provider(model, async_client=True)

    assert [trip.city async for trip in client.create_iterable(response_model=Trip, **ASK)] == ["Paris", "Rome"]


@each_model
async def test_overload_is_tried_again(door, model):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond(ToolCall("Trip", {"city": "Paris", "days": 3}))

    trip = await instructor.from_provider(model, async_client=True).create(response_model=Trip, **ASK)

    assert (trip.city, len(door.requests)) == ("Paris", 2)


async def test_connection_lost_midway(door):
    door.respond('{"city": "Paris", "da', Disconnect())
    client = instructor.from_openai(openai.AsyncOpenAI(), mode=instructor.Mode.JSON)
    parts = []

    with pytest.raises((openai.APIConnectionError, httpx2.ReadError)):
        async for part in client.create_partial(model="gpt-5", response_model=Trip, **ASK):
            parts.append(part)

    assert parts[-1].city == "Paris"
