"""Where edgeHub and the gateway get in each other's way, seen in the deployment before it is deployed."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from edgewire.message import UPSTREAM, Endpoint, EndpointKind
from gateway.app.settings import ConfigError, Environment, read_environment
from gateway.doctor.deployment import Deployment, HubRoute, Module, read_deployment
from gateway.doctor.finding import Finding, NotCheckedError, ok, problem, warning
from gateway.doctor.listening import doors_of
from gateway.doctor.patient import Patient
from gateway.routing.view import covers, source_prefix
from gateway.upstream.outputs import output_name

EDGE_HUB = "edgeHub"
_LEAF = source_prefix("/messages/")


def check_published_ports(patient: Patient) -> Iterator[Finding]:
    """A port of the host goes to one container, and each listener needs one."""
    deployment = _deployment(patient)
    taken: dict[int, str] = {}
    clashes = 0
    for module in deployment.modules.values():
        for host_port in sorted({port for ports in module.published.values() for port in ports}):
            first = taken.setdefault(host_port, module.name)
            if first != module.name:
                clashes += 1
                yield _clash(host_port, first, module.name)
    ours = deployment.modules.get(deployment.gateway)
    if ours is None:
        raise NotCheckedError("no module in it has routes of ours")
    yield from _unpublished(ours)
    if not clashes:
        yield ok(f"no port of the host is published twice; the gateway has {_listed(ours)}")


def _clash(port: int, first: str, second: str) -> Finding:
    return problem(
        f"{first} and {second} both publish port {port} of the host",
        "the one that starts later does not start at all",
        "take edgeHub's PortBindings away, as the template does: devices reach the gateway, modules edgeHub inside"
        if EDGE_HUB in (first, second)
        else "give one of them another HostPort",
    )


def _unpublished(module: Module) -> Iterator[Finding]:
    settings = _settings_of(module)
    if settings is None or module.host_config.get("NetworkMode") == "host":
        return
    doors = [door for door in doors_of(settings) if door.setting != "GATEWAY_METRICS_PORT"]
    for door in doors:
        if door.port not in module.published:
            yield warning(
                f"the gateway listens at port {door.port} ({door.what}), which is published nowhere",
                "no device reaches it from outside",
                f'add "{door.port}/tcp": [{{"HostPort": "{door.port}"}}] to PortBindings, or switch it off: '
                f"{door.setting} 0",
            )
    for inside in sorted(set(module.published) - {door.port for door in doors_of(settings)}):
        yield warning(
            f"port {inside} of the gateway's container is published, and nothing listens there",
            "who dials it is refused",
            "publish the port that the listener has, such as 8443/tcp as 443 with GATEWAY_WEBSOCKET_PORT 8443",
        )


def _settings_of(module: Module) -> Environment | None:
    """The gateway's settings as the deployment has them; None where they are bad, or hold placeholders."""
    try:
        return read_environment({name: value for name, value in module.environ.items() if name.startswith("GATEWAY_")})
    except ConfigError:
        return None


def _listed(module: Module) -> str:
    ports = sorted({port for ports in module.published.values() for port in ports})
    return ", ".join(map(str, ports)) or "none"


def check_hub_routes(patient: Patient) -> Iterator[Finding]:
    """Each output of the gateway needs a route of edgeHub to where it is meant to go."""
    deployment = _with_hub(patient)
    lacking = False
    for endpoint in endpoints_of(patient):
        if not _carrying(deployment, endpoint):
            lacking = True
            yield _no_route(deployment, endpoint)
    ours = deployment.modules.get(deployment.gateway)
    if ours is not None and ours.environ.get("GATEWAY_UPSTREAM_AMQP") == "edgehub":
        to_cloud = [route for route in deployment.hub_routes if route.syntax.endpoint == UPSTREAM]
        if not any(covers(source_prefix(route.syntax.source), _LEAF) for route in to_cloud):
            lacking = True
            yield problem(
                "messages go to edgeHub on behalf of devices, and no route of edgeHub takes devices' messages upstream",
                "edgeHub acknowledges and drops them",
                'add to $edgeHub: "devices": "FROM /messages/* INTO $upstream"',
            )
    if not lacking:
        yield ok("each output of the gateway has its route at edgeHub")


def _no_route(deployment: Deployment, endpoint: Endpoint) -> Finding:
    source = f"/messages/modules/{deployment.gateway}/outputs/{output_name(endpoint)}"
    return problem(
        f"no route of edgeHub takes what the gateway sends to {endpoint}",
        "edgeHub acknowledges and drops it",
        f'add to $edgeHub: "FROM {source} INTO {_sink(endpoint)}"',
    )


def check_times_to_live(patient: Patient) -> Iterator[Finding]:
    """What edgeHub has acknowledged has left our store: its time to live counts from there."""
    deployment = _with_hub(patient)
    shorter = False
    for endpoint, lives_s in endpoints_of(patient).items():
        for route in _carrying(deployment, endpoint):
            theirs = route.time_to_live_s or deployment.hub_time_to_live_s
            if theirs is not None and (lives_s is None or theirs < lives_s):
                shorter = True
                yield warning(
                    f"edgeHub's route '{route.name}' gives up messages to {endpoint} after {theirs} s, the gateway "
                    f"after {'no time' if lives_s is None else f'{lives_s} s'}",
                    "in an outage messages that edgeHub has taken are lost earlier than the gateway's settings promise",
                    f'give it "timeToLiveSecs": {lives_s or 2_147_483_647} or more, or storeAndForwardConfiguration',
                )
    if not shorter:
        yield ok("edgeHub keeps messages as long as the gateway, or longer")


def check_loops(patient: Patient) -> Iterator[Finding]:
    """Routes of edgeHub that bring a message back to where it came from, or where nobody takes it."""
    deployment = _with_hub(patient)
    found = [*_into_gateway(deployment), *_rounds(deployment), *_swept_along(patient, deployment)]
    yield from found
    if not found:
        yield ok("no route of edgeHub sends messages round, or where nobody takes them")


def _into_gateway(deployment: Deployment) -> Iterator[Finding]:
    for route in deployment.hub_routes:
        if deployment.gateway and route.syntax.endpoint.name == deployment.gateway:
            yield problem(
                f"edgeHub's route '{route.name}' sends to the gateway, which takes none",
                "edgeHub keeps them and tries again until their time to live ends; if it takes the gateway's "
                "own outputs, they never leave",
                "remove the route; a module that has something to send on sends it to $upstream itself",
            )


def _rounds(deployment: Deployment) -> Iterator[Finding]:
    """Modules that get what they put out, by any way round."""
    ways: dict[str, dict[str, str]] = {name: {} for name in deployment.modules}
    for route in deployment.hub_routes:
        target = route.syntax.endpoint.name
        for source in deployment.modules if route.syntax.endpoint.kind is EndpointKind.MODULE else ():
            if target in ways and source != EDGE_HUB and _takes_from(route, source):
                ways[source].setdefault(target, route.name)
    for name in ways:
        if name != deployment.gateway and (path := _way_back(ways, name)):
            routes = [ways[a][b] for a, b in pairwise(path)]
            quoted = ", ".join(f"'{route}'" for route in dict.fromkeys(routes))
            yield warning(
                f"what module '{name}' puts out comes back to it: edgeHub's route {quoted}",
                "if it sends on what it gets, each message goes round for ever",
                f"name the outputs in FROM: FROM /messages/modules/{name}/outputs/result INTO …, and for devices' "
                "messages alone: WHERE NOT is_defined($connectionModuleId)",
            )


def _way_back(ways: Mapping[str, Mapping[str, str]], start: str) -> list[str]:
    """The shortest way from a module to itself; nothing if there is none."""
    paths = [[start]]
    seen: set[str] = set()
    while paths:
        path = paths.pop(0)
        for target in ways.get(path[-1], {}):
            if target == start:
                return [*path, target]
            if target not in seen:
                seen.add(target)
                paths.append([*path, target])
    return []


def _swept_along(patient: Patient, deployment: Deployment) -> Iterator[Finding]:
    """A catch-all to the cloud that also takes what the gateway means for a module."""
    for endpoint in endpoints_of(patient):
        if endpoint == UPSTREAM:
            continue
        for route in deployment.hub_routes:
            if (
                route.syntax.endpoint == UPSTREAM
                and _takes(deployment, route, endpoint)
                and route.syntax.condition is None
            ):
                yield warning(
                    f"edgeHub's route '{route.name}' also takes what the gateway sends to {endpoint} to the cloud",
                    "it is sent there beside, and paid for",
                    f"name what it is for: FROM /messages/modules/{deployment.gateway}/outputs/upstream INTO $upstream",
                )


def endpoints_of(patient: Patient) -> dict[Endpoint, int | None]:
    """Where the gateway's routes send by edgeHub, with the longest time to live of each; None for no limit."""
    reading = patient.reading
    if reading is None or reading.table is None:
        raise NotCheckedError("the gateway's settings in it cannot be used (see routes)")
    found: dict[Endpoint, int | None] = {}
    for route in reading.table.routes:
        endpoint, lives_s = route.delivery.endpoint, route.delivery.time_to_live_s
        if endpoint.kind in (EndpointKind.UPSTREAM, EndpointKind.MODULE):
            before = found.get(endpoint, 0)
            found[endpoint] = None if before is None or lives_s is None else max(before, lives_s)
    return found


def _carrying(deployment: Deployment, endpoint: Endpoint) -> list[HubRoute]:
    """The routes of edgeHub that take the gateway's output for this endpoint to it."""
    return [
        route
        for route in deployment.hub_routes
        if route.syntax.endpoint == endpoint and _takes(deployment, route, endpoint)
    ]


def _takes(deployment: Deployment, route: HubRoute, endpoint: Endpoint) -> bool:
    source = f"/messages/modules/{deployment.gateway}/outputs/{output_name(endpoint)}"
    return covers(source_prefix(route.syntax.source), source_prefix(source))


def _takes_from(route: HubRoute, module: str) -> bool:
    """Whether a route takes some output of a module."""
    prefix, outputs = source_prefix(route.syntax.source), source_prefix(f"/messages/modules/{module}/outputs/")
    return covers(prefix, outputs) or prefix.startswith(outputs)


def _sink(endpoint: Endpoint) -> str:
    if endpoint == UPSTREAM:
        return "$upstream"
    return f'BrokeredEndpoint("/modules/{endpoint.name}/inputs/{endpoint.input}")'


def _deployment(patient: Patient) -> Deployment:
    found = read_deployment(patient.document, patient.reading)
    if found is None:
        raise NotCheckedError("name a deployment to have it looked at: gateway doctor deployment.template.json")
    return found


def _with_hub(patient: Patient) -> Deployment:
    found = _deployment(patient)
    if not found.gateway:
        raise NotCheckedError("no module in it has routes of ours")
    if not found.has_edge_hub and not found.hub_routes:
        raise NotCheckedError("this layer says nothing of edgeHub's routes; the deployment below it may")
    return found
