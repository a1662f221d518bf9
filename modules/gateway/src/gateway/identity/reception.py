"""First contact: who gets an identity, by a code or by a group's key.

Looking at a contact costs the same whether a code is known, used, expired or for another board, and all of these are
told the same. A code is used up on disk before anything else happens. A board that has lost the answer asks again
within `REPEAT_S` and is told the same key: with the same nonce, or with another one while the gateway runs and nobody
has connected as this device yet. After that, and for every other board, a used code is a used code.
"""

import hmac
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgewire.iothub import sas
from edgewire.iothub.bootstrap import Contact, SecretKind, contact_mac
from edgewire.message import identity
from gateway.identity.claim_codes import Code, Use
from gateway.identity.claims import CLAIMS_FILE, ClaimBook, burn
from gateway.identity.limiter import FailureLimiter
from gateway.identity.makers import DeviceMaker, GroupMaker, RegistryMaker
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.roster import Group, SymmetricKeys
from gateway.observe.bootstrap import AdmittedBy, ContactRefusal
from gateway.observe.events import Event
from gateway.observe.head import DeviceConnected

REPEAT_S: Final = 600.0
"""For a board to say the same again when the answer got lost: some restarts of its Wi-Fi."""
MAX_AWAITED: Final = 1_024
"""Boards that have their identity and have not connected yet; beyond, the first of them must repeat its nonce."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A contact that is good; `Reception.admit` makes the identity."""

    contact: Contact
    secret: bytes = field(repr=False)
    by: AdmittedBy
    name: str
    """Of the code, or of the group."""
    code: Code | None = None
    """None for a device of a group, which needs nothing made."""
    is_repeated: bool = False


@dataclass(frozen=True, slots=True)
class NotAdmitted:
    """A contact that is not good. `hold_s`: how long its answer is held back, so that guessing is slow."""

    reason: ContactRefusal
    hold_s: float = 0.0


class Reception:
    """Judges contacts by the registry and the codes in the folder `data`."""

    __slots__ = ("_awaited", "_book", "_claims", "_decoy", "_devices", "_limiter", "_registry")

    def __init__(self, registry: Registry, data: Path, emit: Callable[[Event], None]) -> None:
        self._registry = registry
        self._devices = data / FILE_NAME
        self._claims = data / CLAIMS_FILE
        self._book = ClaimBook(self._claims, emit)
        self._limiter = FailureLimiter()
        self._decoy = os.urandom(32)
        self._awaited: OrderedDict[str, str] = OrderedDict()
        """Devices that came by a code and have not connected since, and the code's name."""

    def judge(self, contact: Contact, address: str, now: float) -> Ticket | NotAdmitted:
        """Whether a board may have an identity. A good one is told at once, however many others failed before."""
        self._registry.reload()
        self._book.reload()
        by_group = contact.kind is SecretKind.GROUP
        verdict = self._judge_by_group(contact) if by_group else self._judge_by_code(contact, now)
        who = identity(contact.registration_id)
        if isinstance(verdict, Ticket):
            self._limiter.succeeded(address, who)
            return verdict
        return NotAdmitted(verdict, self._limiter.failed(address, who, now))

    def admit(self, ticket: Ticket, now: float) -> bytes:
        """The device's key, once all that belongs to it is on disk. Blocks; call it in a thread.

        Raises CodeGoneError, TakenError, or LockedFileError if something cannot be written.
        """
        code, contact = ticket.code, ticket.contact
        if code is None:
            return ticket.secret
        device, maker = contact.registration_id, self._maker(code)
        if not ticket.is_repeated:
            burn(self._claims, code.name, Use(device=device, nonce=contact.nonce, at=now))
        elif (key := maker.made(device)) is not None:
            return key
        return maker.make(device, may_renew=code.may_renew(device))

    def admitted(self, ticket: Ticket) -> None:
        """The board is told its key now; the answer may get lost."""
        if ticket.code is not None:
            self._awaited[ticket.contact.registration_id] = ticket.code.name
            if len(self._awaited) > MAX_AWAITED:
                self._awaited.popitem(last=False)

    def on_event(self, event: Event) -> None:
        """A listener of the observer: who connects has its key."""
        if isinstance(event, DeviceConnected):
            self._awaited.pop(event.identity, None)

    def secret_of(self, device: str) -> bytes:
        """What proves an answer to a device that has its identity: its key; a decoy for one that is not known."""
        self._registry.reload()
        entry = self._registry.find(identity(device))
        if entry is not None and isinstance(entry.credential, SymmetricKeys):
            return entry.credential.primary
        groups = self._registry.groups_for(device)
        if (entry is None or entry.leaves_login_open) and groups:
            return sas.derive_device_key(groups[0].keys.primary, device)
        return sas.derive_device_key(self._decoy, device)

    # --- by a group's key ---

    def _judge_by_group(self, contact: Contact) -> Ticket | ContactRefusal:
        found = self._group_that_knows(contact)
        if found is None:
            return ContactRefusal.WRONG_SECRET
        group, secret = found
        if not group.enabled:
            return ContactRefusal.DISABLED
        entry = self._registry.find(identity(contact.registration_id))
        if entry is not None and not entry.leaves_login_open:
            return ContactRefusal.TAKEN  # its own entry wins over any group
        return Ticket(contact=contact, secret=secret, by=AdmittedBy.GROUP, name=group.name)

    def _group_that_knows(self, contact: Contact) -> tuple[Group, bytes] | None:
        """All groups that the id can belong to are tried, whatever is found."""
        found = None
        for group in self._registry.groups_for(contact.registration_id):
            for key in group.keys.both:
                secret = sas.derive_device_key(key, contact.registration_id)
                if _is_proven(contact, secret):
                    found = group, secret
        return found

    # --- by a code ---

    def _judge_by_code(self, contact: Contact, now: float) -> Ticket | ContactRefusal:
        code = self._book.proven_by(contact)
        if code is None:
            return ContactRefusal.WRONG_SECRET
        is_repeated = self._is_repeated(code, contact, now)
        if not is_repeated and (problem := self._problem_with(code, contact, now)) is not None:
            return problem
        by = AdmittedBy(code.kind.value)
        return Ticket(contact=contact, secret=code.secret, by=by, name=code.name, code=code, is_repeated=is_repeated)

    def _is_repeated(self, code: Code, contact: Contact, now: float) -> bool:
        """Whether the board was told its key and asks again, since the answer got lost."""
        is_awaited = self._awaited.get(contact.registration_id) == code.name
        nonce = None if is_awaited else contact.nonce
        return any(
            use.device == contact.registration_id and nonce in (None, use.nonce) and abs(now - use.at) < REPEAT_S
            for use in code.uses
        )

    def _problem_with(self, code: Code, contact: Contact, now: float) -> ContactRefusal | None:
        if code.is_used_up:
            return ContactRefusal.USED
        if code.has_expired(now):
            return ContactRefusal.EXPIRED
        if not code.is_for(contact.registration_id, contact.model):
            return ContactRefusal.WRONG_BOARD
        if code.group:
            group = self._registry.roster.groups.get(code.group)
            if group is None or not group.enabled:
                return ContactRefusal.DISABLED
        return ContactRefusal.TAKEN if self._is_taken(code, contact.registration_id) else None

    def _is_taken(self, code: Code, device: str) -> bool:
        """Whether the id is another's. A code that names no board may not take one from a group either."""
        entry = self._registry.find(identity(device))
        if entry is not None and not entry.leaves_login_open:
            is_by_key = isinstance(entry.credential, SymmetricKeys)
            return bool(code.group) or not (code.may_renew(device) and entry.enabled and is_by_key)
        if code.device:
            return False
        came_by = self._registry.group_of(identity(device))
        return came_by is not None or any(group.id_prefix for group in self._registry.groups_for(device))

    def _maker(self, code: Code) -> DeviceMaker:
        group = self._registry.roster.groups.get(code.group)
        return RegistryMaker(self._devices) if group is None else GroupMaker(self._devices, group)


def _is_proven(contact: Contact, secret: bytes) -> bool:
    wanted = contact_mac(secret, contact.registration_id, contact.nonce)
    return hmac.compare_digest(wanted, contact.mac)
