"""What a sweep has reported and ended is nothing that the leak check of its test has to say once more."""

from __future__ import annotations

import pytest

import pytest_mockstream.plugin.sweeps  # noqa: F401 - pytester forgets again what a run within the run has imported

LEAKS = {
    "task": "asyncio.create_task(forever())",
    "task that swallows its cancellation": "asyncio.create_task(stubborn())",
    "thread": "threading.Thread(target=end.wait, name='reader').start()",
    "raw thread": "_thread.start_new_thread(end.wait, ())",
    "job of a pool": "pool.submit(end.wait)",
    "job of the loop": "asyncio.get_running_loop().run_in_executor(None, end.wait)",
    "stream": "kept.append(mock_stream_client.complete_stream('hi'))",
    "run that hangs": "await stubborn()",
}
TEST = """
    import _thread, asyncio, threading, pytest
    from concurrent.futures import ThreadPoolExecutor
    from pytest_mockstream import SweepError, sweep_cancellation

    kept = []
    pool = ThreadPoolExecutor(1)
    end = threading.Event()

    @pytest.fixture
    def ended():
        yield
        end.set()
        pool.shutdown()

    async def forever():
        await asyncio.Event().wait()

    async def stubborn():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def test_it(ended, mock_stream_client):
        runs = []
        mock_stream_client.respond("one", times=None)

        async def leaks():
            runs.append(1)
            try:
                await mock_stream_client.acomplete("hi")
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                {leak}
                raise

        with pytest.raises(SweepError) as caught:
            await sweep_cancellation(leaks, grace=0.01, patience=0.05, again=False)
        assert len(caught.value.result.bad) == len(runs) - 2, str(caught.value)

    def test_next():
        pass
"""


@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
def test_reported_leak_is_not_put_down_to_the_test_again(pytester: pytest.Pytester, leak: str) -> None:
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nasyncio_mode = auto\n")
    pytester.makepyfile(TEST.format(leak=leak))

    plugins = ("no:looptime_plugin", "no:randomly", "no:rerunfailures")
    result = pytester.runpytest_inprocess(*(f"-p{name}" for name in plugins), "--mockstream-leaks=error")

    result.assert_outcomes(passed=2)
