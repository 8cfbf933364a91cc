from __future__ import annotations

import threading

from .verdict import clean, leaks
from .work import until_the_end


@leaks(92, kinds="thread", at=None)
def start() -> None:
    """Leave a thread.

    >>> start()
    """
    threading.Thread(target=until_the_end, daemon=True).start()


@clean(92)
def start_and_join() -> None:
    """Leave nothing.

    >>> start_and_join()
    """
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
