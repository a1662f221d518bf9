"""Error conditions: the symbols that say why a link, a session or a connection ends, or a message is rejected."""

from typing import Final

from edgewire.codec.amqp.kinds import Symbol

# AMQP 1.0 §2.8.15
INTERNAL_ERROR: Final = Symbol("amqp:internal-error")
NOT_FOUND: Final = Symbol("amqp:not-found")
UNAUTHORIZED_ACCESS: Final = Symbol("amqp:unauthorized-access")
DECODE_ERROR: Final = Symbol("amqp:decode-error")
RESOURCE_LIMIT_EXCEEDED: Final = Symbol("amqp:resource-limit-exceeded")
NOT_ALLOWED: Final = Symbol("amqp:not-allowed")
INVALID_FIELD: Final = Symbol("amqp:invalid-field")
NOT_IMPLEMENTED: Final = Symbol("amqp:not-implemented")
RESOURCE_LOCKED: Final = Symbol("amqp:resource-locked")
PRECONDITION_FAILED: Final = Symbol("amqp:precondition-failed")
RESOURCE_DELETED: Final = Symbol("amqp:resource-deleted")
ILLEGAL_STATE: Final = Symbol("amqp:illegal-state")
FRAME_SIZE_TOO_SMALL: Final = Symbol("amqp:frame-size-too-small")

# AMQP 1.0 §2.8.16
CONNECTION_FORCED: Final = Symbol("amqp:connection:forced")
FRAMING_ERROR: Final = Symbol("amqp:connection:framing-error")
CONNECTION_REDIRECT: Final = Symbol("amqp:connection:redirect")

# AMQP 1.0 §2.8.17
WINDOW_VIOLATION: Final = Symbol("amqp:session:window-violation")
ERRANT_LINK: Final = Symbol("amqp:session:errant-link")
HANDLE_IN_USE: Final = Symbol("amqp:session:handle-in-use")
UNATTACHED_HANDLE: Final = Symbol("amqp:session:unattached-handle")

# AMQP 1.0 §2.8.18
DETACH_FORCED: Final = Symbol("amqp:link:detach-forced")
TRANSFER_LIMIT_EXCEEDED: Final = Symbol("amqp:link:transfer-limit-exceeded")
MESSAGE_SIZE_EXCEEDED: Final = Symbol("amqp:link:message-size-exceeded")
LINK_REDIRECT: Final = Symbol("amqp:link:redirect")
STOLEN: Final = Symbol("amqp:link:stolen")

# Azure's own, as IoT Hub and edgeHub send them.
TIMEOUT: Final = Symbol("com.microsoft:timeout")
MESSAGE_LOCK_LOST: Final = Symbol("com.microsoft:message-lock-lost")
DEVICE_ALREADY_EXISTS: Final = Symbol("com.microsoft:device-already-exists")
DEVICE_CONTAINER_THROTTLED: Final = Symbol("com.microsoft:device-container-throttled")
QUOTA_EXCEEDED: Final = Symbol("com.microsoft:quota-exceeded")
ARGUMENT_ERROR: Final = Symbol("com.microsoft:argument-error")
ARGUMENT_OUT_OF_RANGE: Final = Symbol("com.microsoft:argument-out-of-range")
SERVER_BUSY: Final = Symbol("com.microsoft:server-busy")
ENTITY_DISABLED: Final = Symbol("com.microsoft:entity-disabled")
PRECONDITION_FAILED_AZURE: Final = Symbol("com.microsoft:precondition-failed")
