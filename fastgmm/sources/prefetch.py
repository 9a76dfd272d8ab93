"""A thread that reads at most two blocks ahead of the thread that computes."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from queue import SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakSet

from fastgmm.parallel.companions import Companion

Item = TypeVar("Item")
Turn = Callable[[], int]  # waits for a free buffer, and returns its number below TURNS
Walk = Callable[[Turn], Generator[Item, None, None]]

TURNS = 3  # blocks in memory: one that is computed on, one that is ready, one that is being read
PATIENCE = 1.0  # seconds that a stopped read is waited for: a dead network disk may never answer


def read_here(walk: Walk[Item]) -> Generator[Item, None, None]:
    """Walk in the calling thread, always in the same buffer."""
    return walk(lambda: 0)


def read_ahead(walk: Walk[Item]) -> Generator[Item, None, None]:
    """Walk in a thread of its own: an item is good until the next is asked for.

    What the walk raises is raised here, after the items before it. The thread ends when the
    iterator is closed.
    """
    reader = _Reader(walk)
    try:
        reader.start()
    except RuntimeError:  # no thread is to be had: a limit, or the interpreter is ending
        yield from read_here(walk)
        return
    with closing(reader):
        yield from reader.items()


class _StoppedError(Exception):
    """The consumer wants no more."""


class _End(NamedTuple):
    """The last thing that a thread says."""

    error: BaseException | None


class _Reader(Generic[Item]):
    """The thread, and the two queues between it and its consumer.

    The consumer hands out turns, each the number of a buffer, and takes what was read
    into it; there are TURNS turns, so that neither queue can grow.
    """

    def __init__(self, walk: Walk[Item]) -> None:
        self._walk = walk
        self._turns: SimpleQueue[int] = SimpleQueue()
        self._found: SimpleQueue[Item | _End] = SimpleQueue()
        self._stopped = False
        self._companion = Companion()
        self._thread = threading.Thread(target=self._run, name="fastgmm reads", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        for turn in range(TURNS - 1):
            self._turns.put(turn)
        self._thread.start()
        _running.add(self)

    def items(self) -> Iterator[Item]:
        """Take what was read; asking for the next frees the buffer of the one before."""
        turn = TURNS - 1
        while True:
            self._turns.put(turn)
            turn = (turn + 1) % TURNS
            found = self._next()
            if not isinstance(found, _End):
                yield found
            elif found.error is None:
                return
            else:
                raise found.error

    def close(self) -> None:
        """End the thread, wherever it is."""
        self._stopped = True
        self._turns.put(0)  # in case it waits
        self._thread.join(PATIENCE)
        _running.discard(self)

    def _next(self) -> Item | _End:
        # a thread that has ended has said so before, unless it was lost in a fork
        if not self._thread.is_alive() and self._found.empty():
            raise RuntimeError(
                "the thread that reads was left behind in the parent process; "
                "begin a new pass in the child"
            )
        return self._found.get()

    def _turn(self) -> int:
        with self._companion.waiting():
            turn = self._turns.get()
        if self._stopped:
            raise _StoppedError
        return turn

    def _run(self) -> None:
        end = _End(None)
        try:
            with self._companion.working():
                for item in self._walk(self._turn):
                    self._found.put(item)
        except _StoppedError:
            pass
        except BaseException as error:  # whatever it is, the consumer is told
            end = _End(error)
        self._found.put(end)


_running: WeakSet[_Reader[Any]] = WeakSet()


def _stop_all() -> None:
    """End all threads before the interpreter does: it would tear them out of compiled code."""
    for reader in list(_running):
        reader.close()


atexit.register(_stop_all)
