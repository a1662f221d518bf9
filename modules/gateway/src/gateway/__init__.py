"""The gateway: takes in a site's leaf devices, routes by body, keeps it on disk, sends the rest upstream.

The rooms and who may import whom stand in docs/architecture.md; `tests/project/test_floors.py` checks it.
"""

__version__ = "0.1.0"
