"""Users of the plain listener, as values, and their file's layout.

The file `users.json`, version 1, is a JSON object:

    {"version": 1,
     "users": {"<name>": {"password": "scrypt$N$salt$hash" | null, "from": ["10.0.0.0/24", …],
                          "publish": ["site/#", …], "subscribe": ["commands/%c/#", …]}}}

All members must be there and no others. A user without a password is who comes from its networks without a user name.
"""

import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from gateway.identity.passwords import PasswordError, PasswordHash, parse_hash

VERSION: Final = 1
MAX_USERS: Final = 1_000
"""A site has tens; the file is read whole at each change."""
MAX_PATTERNS: Final = 100
"""Of each kind, of one user: they are looked at for each topic that is new to a connection."""
MAX_PATTERN_CHARS: Final = 1_024
"""As long as a filter may be."""
MAX_NETWORKS: Final = 100
"""Of one user."""
MAX_NAME_CHARS: Final = 128

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_MEMBERS: Final = ("password", "from", "publish", "subscribe")


class UsersError(ValueError):
    """What is wrong with a user or with the file, and where in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who may log in, from where, and what topics it may publish to and subscribe.

    In a pattern, `+` and `#` are as in filters, `%u` is the user's name and `%c` the client id.
    """

    name: str
    password: PasswordHash | None = None
    networks: tuple[Network, ...] = ()
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()

    def may_come_from(self, address: str) -> bool:
        """Whether a client at this address may be this user."""
        return (self.password is not None and not self.networks) or self.nearest(address) >= 0

    def nearest(self, address: str) -> int:
        """The bits of its longest network that an address is in, -1 if it is in none."""
        try:
            place = ipaddress.ip_address(address)
        except ValueError:
            return -1
        return max((each.prefixlen for each in self.networks if place in each), default=-1)


@dataclass(frozen=True, slots=True)
class Users:
    """All users, by name."""

    by_name: Mapping[str, User] = field(default_factory=dict)

    def with_user(self, user: User) -> "Users":
        """With this one, in the place of one of its name."""
        return Users({**self.by_name, user.name: user})

    def without(self, name: str) -> "Users":
        """All but this one."""
        return Users({one: user for one, user in self.by_name.items() if one != name})

    def changed_in(self, later: "Users") -> set[str]:
        """Whom `later` knows otherwise, or not at all."""
        return {name for name, user in self.by_name.items() if later.by_name.get(name) != user}

    def for_address(self, address: str) -> User | None:
        """Who a client without a user name is: the one without a password that has the narrowest network around it."""
        found, bits = None, -1
        for user in self.by_name.values():
            nearest = user.nearest(address) if user.password is None else -1
            if nearest > bits:
                found, bits = user, nearest
        return found


def check_name(text: str) -> str:
    """`text`, if it can be a user's name. Raises UsersError."""
    if not text or len(text) > MAX_NAME_CHARS or not text.isprintable() or text != text.strip():
        raise UsersError(f"a name has 1 to {MAX_NAME_CHARS} printable characters, and no blank at its ends")
    return text


def check_pattern(text: str) -> str:
    """`text`, if it is a pattern of topics. Raises UsersError with what to write instead."""
    levels = text.split("/")
    if not text or len(text) > MAX_PATTERN_CHARS or "\0" in text:
        raise UsersError(f"a pattern has 1 to {MAX_PATTERN_CHARS} characters")
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        raise UsersError(f"'{text}': # stands alone, as the last level; write site/# for all below site")
    if any("+" in level and level != "+" for level in levels):
        raise UsersError(f"'{text}': + stands alone in its level; write site/+/temperature")
    if text.startswith("$"):
        raise UsersError(f"'{text}' begins with '$': such topics are the server's own, and there are no rules for them")
    return text


def parse_network(text: str) -> Network:
    """A network or one address. Raises UsersError."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UsersError(f"'{text}' is no network: {error}. Write 10.0.0.0/24, or one address") from None


def fill_pattern(pattern: str, user: str, client: str) -> str | None:
    """A pattern for one client; None if its name would be a wildcard, or more than one level, in it."""
    for place, value in (("%u", user), ("%c", client)):
        if place in pattern:
            if not value or any(bad in value for bad in "+#/"):
                return None
            pattern = pattern.replace(place, value)
    return pattern


# --- the file -------------------------------------------------------------------------------------------------------


def read_users(text: bytes) -> Users:
    """The users that a file holds. Raises UsersError with what is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise UsersError("it is no JSON") from None
    if not isinstance(document, dict) or document.keys() != {"version", "users"} or document["version"] != VERSION:
        raise UsersError(f"it is no object of version {VERSION} with 'users'")
    users = document["users"]
    if not isinstance(users, dict) or len(users) > MAX_USERS:
        raise UsersError(f"'users' is no object of at most {MAX_USERS} users")
    return Users({name: _read_user(name, value) for name, value in users.items()})


def _read_user(name: str, value: Any) -> User:
    where = f"user '{name[:60]}'"
    if not isinstance(value, dict) or value.keys() != set(_MEMBERS):
        raise UsersError(f"{where}: expected an object with {', '.join(_MEMBERS)}, and nothing else")
    try:
        password = value["password"]
        return User(
            name=check_name(name),
            password=None if password is None else parse_hash(_text(password)),
            networks=tuple(parse_network(each) for each in _texts(value["from"], MAX_NETWORKS)),
            publish=tuple(check_pattern(each) for each in _texts(value["publish"], MAX_PATTERNS)),
            subscribe=tuple(check_pattern(each) for each in _texts(value["subscribe"], MAX_PATTERNS)),
        )
    except (UsersError, PasswordError) as error:
        raise UsersError(f"{where}: {error}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UsersError(f"{value!r} is no text")
    return value


def _texts(value: Any, most: int) -> list[str]:
    if not isinstance(value, list) or len(value) > most:
        raise UsersError(f"expected a list of at most {most} texts")
    return [_text(each) for each in value]


def write_users(users: Users) -> bytes:
    """The file that holds these users."""
    written = {
        name: {
            "password": None if user.password is None else str(user.password),
            "from": [str(each) for each in user.networks],
            "publish": list(user.publish),
            "subscribe": list(user.subscribe),
        }
        for name, user in sorted(users.by_name.items())
    }
    return json.dumps({"version": VERSION, "users": written}, indent=1).encode("ascii") + b"\n"
