"""Which endpoints the routes of a document may name: those that its settings have, where the gateway runs them."""

from collections.abc import Collection

from edgewire.message import Endpoint, EndpointKind
from gateway.app.local_topics import topic_problem
from gateway.routing.problems import near_match


def judge_endpoint(endpoint: Endpoint, *, endpoints: Collection[str], of_edge_hub: bool) -> tuple[str, str] | None:
    """None if a route may name this endpoint, or why not, and what to write instead."""
    if endpoint.kind not in (EndpointKind.NAMED, EndpointKind.TOPIC):
        return None
    if of_edge_hub:
        instead = "send to $upstream or to a module here, and write this route into the gateway's own settings"
        return f"{endpoint} is the gateway's; edgeHub would refuse the whole deployment", instead
    name = endpoint.name or ""
    if endpoint.kind is EndpointKind.TOPIC:
        return topic_problem(name)
    if name in endpoints:
        return None
    near = near_match(name, endpoints)
    if near is not None:
        return f"there is no endpoint '{name}'", f"did you mean '{near}'?"
    known = f"the endpoints are {', '.join(sorted(endpoints))}" if endpoints else 'the settings have no "endpoints"'
    write = f'write "endpoints": {{"{name}": {{"type": "eventhub"}}}} beside the routes'
    return f"there is no endpoint '{name}'", f"{known}; {write}"
