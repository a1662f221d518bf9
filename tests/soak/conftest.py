"""The fixtures of this folder."""

from support.gateway_fixtures import certificates, loopback, site

__all__ = ["certificates", "loopback", "site"]
