"""Overlap: while one item is computed, the next is fetched and the one before is written."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any, TypeVar

Item = TypeVar("Item")


@contextmanager
def prefetch(items: Iterator[Item]) -> Generator[Iterator[Item]]:
    """Give an iterator over `items` that fetches the next one in a thread before it is asked for.

    An error of `items` is raised in place of the item. Nothing is fetched after the context.
    """
    with _one_thread("prefetch") as submit:

        def fetched() -> Iterator[Item]:
            future = submit(next, items, None)
            while (item := future.result()) is not None:
                future = submit(next, items, None)
                yield item

        yield fetched()


@contextmanager
def write_behind(work: Callable[[Item], None]) -> Generator[Callable[[Item], None]]:
    """Give a function that calls `work` on an item in a thread, while the caller continues.

    It first waits for the item before, so that only one is under way. An error of `work` is raised
    at the next item, or at the end of the context.
    """
    with _one_thread("write_behind") as submit:
        under_way: Future[None] | None = None

        def put(item: Item) -> None:
            nonlocal under_way
            if under_way is not None:
                under_way.result()
            under_way = submit(work, item)

        yield put
        if under_way is not None:
            under_way.result()


@contextmanager
def _one_thread(name: str) -> Generator[Callable[..., Future[Any]]]:
    """Give a function that runs others one by one in a thread; none runs after the context.

    A pool that is interrupted while its thread starts does not wait for it, so a lock does.
    """
    running = Lock()
    ended = False

    def run(function: Callable[..., Any], *arguments: Any) -> Any:
        with running:
            return None if ended else function(*arguments)

    try:
        with ThreadPoolExecutor(1, name) as pool:
            yield partial(pool.submit, run)
    finally:
        with running:
            ended = True
