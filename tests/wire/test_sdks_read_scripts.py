"""Whatever a script says, however its bytes are cut, the real SDKs read exactly that."""

from __future__ import annotations

from dataclasses import replace

import pytest
from door import Door
from hypothesis import given, settings
from hypothesis import strategies as st
from readers import READERS, Reader
from scripts import expected, scripts

from pytest_mockstream import ToolCall


@pytest.mark.parametrize("reader", [pytest.param(reader, id=reader.name) for reader in READERS])
@given(data=st.data())
@settings(max_examples=15)
def test_sdk_reads_exactly_what_the_script_says(reader: Reader, data: st.DataObject) -> None:
    script = data.draw(scripts(calls=reader.called is not None))
    door = Door(script)
    calls = any(isinstance(step, ToolCall) for step in script.steps)
    said = expected(script, finish=(reader.called or "") if calls else reader.stop)
    if not reader.counts_reasoning and said.usage is not None:
        said = replace(said, usage=(said.usage[0], said.usage[1], 0))

    reading = reader.read(door)

    assert reading == said
    assert door.request.state == "exhausted"
    assert door.request.chunks_sent == script.chunk_count
