from __future__ import annotations

import os
import threading

from .verdict import clean, leaks
from .work import until_the_end


@clean(93)
def test_child_leaves_a_thread_and_goes_on_to_its_teardown() -> None:
    child = os.fork()
    if child:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    else:
        threading.Thread(target=until_the_end, daemon=True).start()


@leaks(93, kinds="thread")
def test_parent_leaves_a_thread() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    threading.Thread(target=until_the_end, daemon=True).start()
