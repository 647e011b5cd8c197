"""Doing three things at once: one item is read ahead, one computed, one written behind."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


@contextmanager
def ahead(items: Iterator[Item]) -> Generator[Iterator[Item]]:
    """Give an iterator over `items` that fetches the next one in a thread before it is asked for.

    An error of `items` is raised where the item would have come.
    """
    with ThreadPoolExecutor(1, "ahead") as pool:

        def fetched() -> Iterator[Item]:
            future = pool.submit(next, items, None)
            while (item := future.result()) is not None:
                future = pool.submit(next, items, None)
                yield item

        yield fetched()


@contextmanager
def behind(work: Callable[[Item], None]) -> Generator[Callable[[Item], None]]:
    """Give a function that has `work` done on an item, in a thread, while the caller goes on.

    It waits until the item before is done, so that only one is under way. An error of `work` is
    raised at the next item, or at the end of the context.
    """
    with ThreadPoolExecutor(1, "behind") as pool:
        under_way: Future[None] | None = None

        def put(item: Item) -> None:
            nonlocal under_way
            if under_way is not None:
                under_way.result()
            under_way = pool.submit(work, item)

        yield put
        if under_way is not None:
            under_way.result()
