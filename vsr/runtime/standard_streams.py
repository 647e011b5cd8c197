"""Standard output of a process that another one listens to."""

import os


def own_stdout() -> int:
    """Return a descriptor of standard output for messages; all else that prints goes to stderr.

    A library that prints must not write into the messages.
    """
    descriptor = os.dup(1)
    os.dup2(2, 1)
    return descriptor
