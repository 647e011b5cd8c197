"""A stop requested by SIGTERM or Ctrl-C, on which all processes of a run agree."""

import logging
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator

logger = logging.getLogger(__name__)


@contextmanager
def set_by_signals(stopping: threading.Event) -> Generator[None]:
    """Inside, SIGTERM and SIGINT set the event; a second one has its usual effect."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGTERM, signal.SIGINT)
    old: dict[int, Any] = {number: signal.getsignal(number) for number in signals}

    def stop(number: int, _frame: Any) -> None:
        logger.info("stopping after this step")
        stopping.set()
        signal.signal(number, old[number])

    for number in old:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def is_set_in_any(stopping: threading.Event, accelerator: Accelerator) -> bool:
    """True if the event is set in any process; it is then set in all, at the same step."""
    if accelerator.num_processes == 1:
        return stopping.is_set()
    own = torch.tensor(float(stopping.is_set()), device=accelerator.device)
    count: Any = accelerator.reduce(own, "sum")
    if float(count):
        stopping.set()
    return stopping.is_set()
