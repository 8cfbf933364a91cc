"""A thread that is not a daemon and that nobody ends does not keep pytest from ending."""

from __future__ import annotations

import pytest
from leak_runs import Runner

GIVES_UP = """
def test_gives_up():
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="probe")
    thread.start()
    thread.join(0.01)
"""


def test_run_ends_with_its_verdict_although_a_thread_goes_on(run_leaks: Runner) -> None:
    run = run_leaks(GIVES_UP, ini="mockstream_exit_grace = 50ms\n")

    run.result.assert_outcomes(passed=1, errors=1)
    assert run.result.ret == 1
    assert "thread 'probe' (not a daemon: it keeps the process from exiting)" in run.text
    run.result.stderr.fnmatch_lines(
        ["pytest-mockstream: non-daemon threads still running after 0.05 s: 'probe'; exiting *"]
    )


def test_run_is_ended_as_any_other_where_the_thread_ends_in_time(run_leaks: Runner) -> None:
    source = "def test_it(): threading.Thread(target=time.sleep, args=(0.6,)).start()\n"

    run = run_leaks(source, "--mockstream-grace=0.01", ini="mockstream_exit_grace = 60\n")

    run.result.assert_outcomes(passed=1, errors=1)
    assert "exiting without them" not in run.result.stderr.str()


def test_idle_worker_of_a_pool_keeps_nobody_waiting(run_leaks: Runner) -> None:
    source = """
from concurrent.futures import ThreadPoolExecutor
def test_it(request):
    request.node.kept = ThreadPoolExecutor(1)
    request.node.kept.submit(int).result()
"""
    run = run_leaks(source, ini="mockstream_exit_grace = 3600\n")

    run.result.assert_outcomes(passed=1, errors=1)
    assert "not a daemon" not in run.text


def test_what_is_to_run_at_exit_runs(run_leaks: Runner) -> None:
    source = "import atexit\natexit.register(lambda: os.write(2, b'at exit'))\n" + GIVES_UP

    run = run_leaks(source, ini="mockstream_exit_grace = 0\n")

    assert "at exit" in run.result.stderr.str()


@pytest.mark.parametrize("marker", ["", "@pytest.mark.allow_leaks(reason='known')"])
def test_run_that_leaves_a_daemon_ends_at_once(marker: str, run_leaks: Runner) -> None:
    source = f"{marker}\ndef test_it(): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"

    run = run_leaks(source, ini="mockstream_exit_grace = 3600\n")

    run.result.assert_outcomes(passed=1, errors=0 if marker else 1)


def test_grace_that_is_no_duration_is_refused(run_leaks: Runner) -> None:
    run = run_leaks(GIVES_UP, ini="mockstream_exit_grace = soon\n")

    run.result.stderr.fnmatch_lines(["*mockstream_exit_grace='soon' is not a duration*"])
