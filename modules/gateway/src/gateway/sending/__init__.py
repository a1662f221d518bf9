"""Messages that wait in the store to be made into others: batches and aggregates of windows.

A route with such a `send` delivers to a stage, an endpoint of its own whose text (`how`) says what is made there and
where that goes: so what waits goes its way also when the settings have changed, and after a restart.

Invariants
- A message that waits is an entry of the store until what was made of it is in the store, or counted in a file that is
  synced: neither a kill nor a power cut loses a reading.
- None counts twice in one result. After a crash a result may come again; `messageId` tells (see `made`).
- What a stage holds in memory is bounded: entries by its window, numbers by `MAX_TALLIES`.

Entry points: `how` (what a stage makes), `batch` and `aggregate` (what is made of which messages, no clock and no I/O),
`stage` (the same behind a Forwarder, with the store), `progress` (the file).
"""
