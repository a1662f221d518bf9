"""A provisioning service of which a test says when it answers, and what."""

import json
from collections.abc import Callable
from typing import Any

from gateway.dispatch.provisioning import Question
from gateway.dispatch.provisioning_answers import Answer


class ScriptedService:
    """Implements `dispatch.provisioning.ProvisioningService`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Question, Callable[[Answer | None], None]]] = []

    def ask(self, question: Question, answer: Callable[[Answer | None], None]) -> None:
        """Keep it for the test."""
        self.asked.append((question, answer))

    def answer(self, status: int, document: Any, retry_after_s: int | None = None) -> None:
        """Answer the first that is open."""
        self.asked.pop(0)[1](Answer(status, json.dumps(document).encode(), retry_after_s))

    def away(self) -> None:
        """Nobody could be asked."""
        self.asked.pop(0)[1](None)
