"""Topics that devices chose themselves: which device speaks there, and what the topic says of the message.

A rule has a pattern with captures and templates to fill with them; the first rule that matches wins. Whether the device
that a topic names may speak is not decided here, and nothing here knows a clock, a socket or a registry.

Entry points: `mapping.TopicMap` (topic → device, properties), `publication.read_publication` (→ message).
"""
