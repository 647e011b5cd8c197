"""Log lines on standard error that do not tear a progress bar."""

import logging
import sys
from typing import TextIO


class CurrentStderrHandler(logging.Handler):
    """Writes each line to what `sys.stderr` is at that time.

    A bar replaces `sys.stderr` while it is shown, and puts the lines above itself.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        stream: TextIO = sys.stderr
        stream.write(f"{self.format(record)}\n")
        stream.flush()
