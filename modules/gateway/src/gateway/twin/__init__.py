"""Twins as they are kept here: what the cloud said last, and what was reported while it was away.

A mirror is the pair of both, for one identity. What happens to it is said in `mirror` as small functions of values;
what is on disk in `store`, and that it is encrypted there, where this is possible, in `opening`. Nothing here knows who
asks, or how.

Invariants: a report that was acknowledged is in the cloud or in the mirror on disk. The reports of one identity that
wait are one value, however many there were. A mirror without reports may be dropped at any time.

Entry points: `mirror.Mirror`, `opening.open_store`, `store.TwinStore`.
"""
