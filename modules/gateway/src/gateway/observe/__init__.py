"""Says what happens: events, the counters made of them, the log lines, and the live tap.

An event is a frozen dataclass; its class says its level, its counter and which of its fields are labels. `emit` takes
it to every listener: the log (rate-limited), the metrics, the reported properties. Labels come from closed sets, never
from what a device sent. No event carries a secret.

Entry points: `events` (all of them), `Observer.emit`, `metrics.Metrics`, `log.Log`, `tap.Tap`.
"""
