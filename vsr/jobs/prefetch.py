"""Overlap: while one item is computed, the next is fetched and the one before is written."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def prefetch(items: Iterator[Item]) -> Generator[Iterator[Item]]:
    """Give an iterator over `items` that fetches the next one in a thread before it is asked for.

    An error of `items` is raised in place of the item.
    """
    with ThreadPoolExecutor(1, "prefetch") as pool:

        def fetched() -> Iterator[Item]:
            future = pool.submit(next, items, None)
            while (item := future.result()) is not None:
                future = pool.submit(next, items, None)
                yield item

        yield fetched()


@contextmanager
def write_behind(work: Callable[[Item], None]) -> Generator[Callable[[Item], None]]:
    """Give a function that calls `work` on an item in a thread, while the caller continues.

    It first waits for the item before, so that only one is under way. An error of `work` is raised
    at the next item, or at the end of the context.
    """
    with ThreadPoolExecutor(1, "write_behind") as pool:
        under_way: Future[None] | None = None

        def put(item: Item) -> None:
            nonlocal under_way
            if under_way is not None:
                under_way.result()
            under_way = pool.submit(work, item)

        yield put
        if under_way is not None:
            under_way.result()
