"""dspy: a prediction, one with reasoning, an agent with a tool, a stream, a rate limit, a lost connection."""

import os

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches a list of prices when it is imported

import dspy

from pytest_mockstream import Disconnect, HTTPError, Truncate


@pytest.fixture
def lm(mock_stream_server):
    """The server only: dspy has an HTTP client of its own, on bare sockets."""
    with dspy.context(lm=dspy.LM("openai/gpt-4o-mini", cache=False, num_retries=0)):
        yield mock_stream_server


def fields(**values):
    """What a model says to dspy's chat adapter."""
    said = "\n\n".join(f"[[ ## {name} ## ]]\n{value}" for name, value in values.items())
    return f"{said}\n\n[[ ## completed ## ]]"


def test_prediction(lm):
    lm.respond(fields(answer="Paris"))

    assert dspy.Predict("question -> answer")(question="What is the capital of France?").answer == "Paris"


async def test_prediction_in_async_code(lm):
    lm.respond(fields(answer="Paris"))

    assert (await dspy.Predict("question -> answer").acall(question="What is the capital of France?")).answer == "Paris"


def test_chain_of_thought(lm):
    lm.respond(fields(reasoning="France, so Paris.", answer="Paris"))

    prediction = dspy.ChainOfThought("question -> answer")(question="What is the capital of France?")

    assert (prediction.reasoning, prediction.answer) == ("France, so Paris.", "Paris")


def test_tool_loop(lm):
    lm.respond(fields(next_thought="Look.", next_tool_name="weather", next_tool_args='{"city": "Paris"}'))
    lm.when(contains="rain in Paris").respond(
        fields(next_thought="Done.", next_tool_name="finish", next_tool_args="{}")
    )
    lm.respond(fields(reasoning="It rains.", answer="Take an umbrella."))

    def weather(city: str) -> str:
        """Tell the weather."""
        return f"rain in {city}"

    agent = dspy.ReAct("question -> answer", tools=[weather])

    assert agent(question="What to wear in Paris?").answer == "Take an umbrella."
    assert len(lm.requests) == 3


async def test_answer_comes_in_chunks(lm):
    lm.respond(fields(answer="Paris is lovely"))
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    stream = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])

    said = [part async for part in stream(question="Tell me about Paris")]

    tokens = [part.chunk for part in said if isinstance(part, dspy.streaming.StreamResponse)]
    assert "".join(tokens).strip() == "Paris is lovely"
    assert said[-1].answer == "Paris is lovely"


def test_answer_in_the_wrong_form_is_asked_for_again_as_json(lm):
    lm.respond("Paris, what else?")
    lm.respond('{"answer": "Paris"}')

    assert dspy.Predict("question -> answer")(question="What is the capital of France?").answer == "Paris"


def test_overload(lm):
    lm.respond(HTTPError(429, retry_after=0.01), times=None)

    with pytest.raises(dspy.utils.exceptions.LMRateLimitError):
        dspy.Predict("question -> answer")(question="What is the capital of France?")

    assert len(lm.requests) == 1


async def test_connection_lost_midway(lm):
    lm.respond("[[ ## answer ## ]]\nParis is", Disconnect())
    stream = dspy.streamify(dspy.Predict("question -> answer"))

    with pytest.raises(dspy.utils.exceptions.LMServerError):
        async for _ in stream(question="Tell me about Paris"):
            pass


async def test_answer_that_is_cut_off(lm):
    lm.respond("[[ ## answer ## ]]\nParis is", Truncate())
    stream = dspy.streamify(dspy.Predict("question -> answer"))

    with pytest.raises(dspy.utils.exceptions.LMServerError, match="ended before a finish_reason"):
        async for _ in stream(question="Tell me about Paris"):
            pass
