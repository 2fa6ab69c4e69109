"""`Prefetch`: an iterator that runs ahead of its consumer in a thread of its own."""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END = object()


class Prefetch(Iterator[T], Generic[T]):
    """Iterate in a background thread, a few items ahead.

    An exception of the iterator is raised where its item would have come. `close` stops the thread and the iterator.

    Parameters
    ----------
    items
        What to iterate; only the thread touches it.
    depth
        Most items that wait to be taken.
    """

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
        self._thread.start()

    def __next__(self) -> T:
        item, error = self._ready.get()
        if error is not None or item is _END:
            self._ready.put((item, error))  # whoever asks again is told the same
            raise error or StopIteration
        return item

    def close(self) -> None:
        """Stop; what was made ahead is dropped."""
        self._stopped.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._ready.get_nowait()
        self._thread.join()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item, None):
                    return
            self._put(_END, None)
        except BaseException as error:
            self._put(None, error)
        finally:
            if hasattr(self._items, "close"):
                self._items.close()

    def _put(self, item: Any, error: BaseException | None) -> bool:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                self._ready.put((item, error), timeout=0.2)
                return True
        return False
