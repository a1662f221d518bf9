"""Notices a link that says it is connected while nothing it was given comes back acknowledged."""


class Watchdog:
    """Time without progress, counted only while something is waiting for it. The caller's clock."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._waiting = 0
        self._progress_at = 0.0

    def on_started(self, now: float) -> None:
        """One more thing waits for its acknowledgement."""
        if self._waiting == 0:
            self._progress_at = now
        self._waiting += 1

    def on_progress(self, now: float) -> None:
        """One thing was acknowledged, or failed: either way the other end, or the SDK, is alive."""
        self._waiting -= 1
        self._progress_at = now

    def on_closed(self) -> None:
        """The link is gone and all that waited on it."""
        self._waiting = 0

    def deadline(self) -> float | None:
        """When to give the link up, None while nothing waits."""
        return self._progress_at + self.limit_s if self._waiting else None
