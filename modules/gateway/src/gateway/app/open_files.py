"""How many files this process may hold open: one per connection, and what the gateway needs beside them."""

import resource
from typing import Final

FILES_BESIDE: Final = 200
"""Listeners, the store's segments, the link upstream, connections that are refused."""


def allow_open_files(connections: int) -> int | None:
    """Raise the process's own limit so far that so many connections fit.

    Many systems start a process with a limit of 1,024 that it may raise by itself. Returns the limit where it is too
    low all the same, None where it is enough.
    """
    wanted = connections + FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None
    reachable = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (reachable, hard))
    return None if reachable >= wanted else reachable
