"""A policy in the settings document: one of a few words, with the near match for a mistyped one."""

from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

from gateway.routing.problems import near_match

P = TypeVar("P", bound=Enum)


def read_policy(value: Any, default: P, problem: Callable[[str, str], None]) -> P:
    """The policy that `value` names, the default for nothing.

    For anything else the default too, and `problem` is told what is wrong and what to write instead.
    """
    if value is None:
        return default
    policies = list(type(default))
    for policy in policies:
        if value == policy.value:
            return policy
    near = near_match(value, [policy.value for policy in policies]) if isinstance(value, str) else None
    known = " or ".join(f'"{policy.value}"' for policy in policies)
    problem(f"{value!r} is no policy", f"did you mean '{near}'?" if near else f"write {known}")
    return default
