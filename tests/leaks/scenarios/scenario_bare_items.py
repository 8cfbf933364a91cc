from __future__ import annotations

import threading

from .verdict import clean, leaks
from .work import until_the_end


@leaks(92, kinds="thread")
def bare_thread_is_left() -> None:
    threading.Thread(target=until_the_end, daemon=True).start()


@clean(92)
def bare_thread_is_joined() -> None:
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
