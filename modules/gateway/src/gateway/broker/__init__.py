"""Local publish and subscribe, for a site's own clients: no socket, no protocol but topics and their wildcards.

`LocalBroker` knows who subscribes what, keeps retained messages and the sessions of clients that are away, and gives
each subscriber a message once, however many of its filters match. All it holds is bounded (`limits.BrokerLimits`), and
what it drops it counts. What is on disk, and since when, says `disk`.

Entry points: `broker.LocalBroker`; `template.TopicTemplate` for the topics that routes name.
"""
