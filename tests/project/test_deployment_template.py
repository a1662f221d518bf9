"""The deployment template: the public schemas, and the rules they do not know."""

import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import referencing.jsonschema

from edgewire.message import UPSTREAM, EndpointKind
from gateway import __version__
from gateway.app.settings import SETTINGS, read_environment
from gateway.routing.compile import RouteSpec, compile_routes
from gateway.upstream.outputs import UPSTREAM_OUTPUT, output_name
from project_sources import ROOT

SCHEMAS = ROOT / "tests/schemas"
SERVICED_UNTIL = {"1.6": date(2028, 11, 14)}  # of the runtime's images
PLATFORMS = ("amd64", "arm32v7", "arm64v8")
CHUNK = 512  # characters of one createOptions text (template rules of IoT Edge's tools)
MAX_CHUNKS = 8
CONTAINER_USER = 13699

Document = dict[str, Any]


def schema(name: str) -> Document:
    document: Document = json.loads((SCHEMAS / f"{name}.json").read_text())
    return document


def validator(name: str) -> jsonschema.Draft4Validator:
    """Validates by the stored copies alone; a reference elsewhere fails."""
    resources = [
        (document["id"], referencing.Resource.from_contents(document, referencing.jsonschema.DRAFT4))
        for document in (schema(path.stem) for path in SCHEMAS.glob("azure-*.json"))
    ]
    registry: referencing.Registry[Any] = referencing.Registry().with_resources(resources)
    return jsonschema.Draft4Validator(schema(name), registry=registry)


TEMPLATE_SCHEMA = validator("azure-iot-edge-deployment-template-4.0")
MANIFEST_SCHEMA = validator("azure-iot-edge-deployment-2.0")


@pytest.fixture
def template() -> Document:
    document: Document = json.loads((ROOT / "deployment.template.json").read_text())
    return document


def agent_of(document: Document) -> Document:
    agent: Document = document["modulesContent"]["$edgeAgent"]["properties.desired"]
    return agent


def modules_of(document: Document) -> dict[str, Document]:
    agent = agent_of(document)
    return {**agent["systemModules"], **agent["modules"]}


def gateway_of(document: Document) -> Document:
    gateway: Document = agent_of(document)["modules"]["gateway"]
    return gateway


def options_of(document: Document) -> Document:
    options: Document = gateway_of(document)["settings"]["createOptions"]
    return options


def as_manifest(template: Document, values: dict[str, str]) -> Document:
    """What the tools make of a template: variables filled in, createOptions as text in chunks."""
    text = re.sub(r"\$\{([^}]+)\}", lambda found: json.dumps(values[found[1]])[1:-1], json.dumps(template))
    manifest: Document = json.loads(text)
    del manifest["$schema-template"]
    for module in modules_of(manifest).values():
        settings = module["settings"]
        options = json.dumps(settings.pop("createOptions", {}), separators=(",", ":"))
        for number, start in enumerate(range(0, len(options), CHUNK)):
            settings["createOptions" if number == 0 else f"createOptions{number:02}"] = options[start : start + CHUNK]
    return manifest


@pytest.fixture(params=PLATFORMS)
def manifest(request: pytest.FixtureRequest, template: Document) -> Document:
    return as_manifest(
        template,
        {
            "MODULES.gateway": f"registry.example/gateway:0.1.0-{request.param}",
            "CONTAINER_REGISTRY_SERVER": "registry.example",
            "CONTAINER_REGISTRY_USERNAME": "puller",
            "CONTAINER_REGISTRY_PASSWORD": 'with "quotes" and \\',
        },
    )


def test_it_is_valid_by_the_template_schema(template: Document) -> None:
    TEMPLATE_SCHEMA.validate(template)


def test_what_is_made_of_it_is_valid_by_the_manifest_schema(manifest: Document) -> None:
    MANIFEST_SCHEMA.validate(manifest)


FAULTS: dict[str, Callable[[Document], object]] = {
    "a priority above 9": lambda d: d["modulesContent"]["$edgeHub"]["properties.desired"]["routes"].update(
        x={"route": "FROM /* INTO $upstream", "priority": 12}
    ),
    "a route name with a blank": lambda d: d["modulesContent"]["$edgeHub"]["properties.desired"]["routes"].update(
        {"a b": "FROM /* INTO $upstream"}
    ),
    "an unknown restart policy": lambda d: gateway_of(d).update(restartPolicy="sometimes"),
    "no status": lambda d: gateway_of(d).pop("status"),
    "an environment value that is an object": lambda d: gateway_of(d)["env"].update(A={"value": {}}),
    "a schema version that is a number": lambda d: d["modulesContent"]["$edgeHub"]["properties.desired"].update(
        schemaVersion=2
    ),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_schemas_would_notice(template: Document, fault: str) -> None:
    FAULTS[fault](template)
    assert not TEMPLATE_SCHEMA.is_valid(template)


def test_schema_versions_are_those_the_agent_and_the_hub_take(template: Document) -> None:
    assert agent_of(template)["schemaVersion"] == "1.1"
    assert template["modulesContent"]["$edgeHub"]["properties.desired"]["schemaVersion"] == "1.2"
    assert template["$schema-template"] == "4.0.0"


def test_agent_and_hub_are_of_one_release_that_is_still_serviced(template: Document) -> None:
    images = [agent_of(template)["systemModules"][name]["settings"]["image"] for name in ("edgeAgent", "edgeHub")]
    assert images == [f"mcr.microsoft.com/azureiotedge-{name}:1.6" for name in ("agent", "hub")]
    assert datetime.now(UTC).date() <= SERVICED_UNTIL[images[0].rpartition(":")[2]]


def test_the_gateway_starts_after_the_hub_and_the_agent_has_no_order(template: Document) -> None:
    modules = modules_of(template)
    assert modules["edgeHub"]["startupOrder"] < modules["gateway"]["startupOrder"]
    assert not {"status", "restartPolicy", "startupOrder"} & set(modules["edgeAgent"])


def test_every_variable_is_named_in_the_sample_environment_and_the_other_way_round(template: Document) -> None:
    used = set(re.findall(r"\$\{([^}]+)\}", json.dumps(template))) - {"MODULES.gateway"}
    lines = (ROOT / ".env.tmp").read_text().splitlines()
    named = {line.partition("=")[0]: line.partition("=")[2] for line in lines if line and not line.startswith("#")}
    assert set(named) == used
    assert not any(named.values()), "the sample holds names only"


def test_no_variable_is_left_and_no_word_was_taken_for_one(manifest: Document) -> None:
    text = json.dumps(manifest)
    assert "${" not in text
    assert set(re.findall(r"\$[A-Za-z][A-Za-z.]*", text)) == {
        "$edgeAgent",
        "$edgeHub",
        "$upstream",
        "$body.messageType",
        "$body.temperature",
    }


def test_credentials_are_never_written_out(template: Document) -> None:
    for credentials in agent_of(template)["runtime"]["settings"]["registryCredentials"].values():
        assert all(re.fullmatch(r"\$\{[A-Z_]+\}", value) for value in credentials.values())
    assert "SharedAccess" not in json.dumps(template)


def test_create_options_come_back_whole_from_their_chunks(template: Document, manifest: Document) -> None:
    for name, module in modules_of(manifest).items():
        chunks = [value for key, value in module["settings"].items() if key.startswith("createOptions")]
        assert len(chunks) <= MAX_CHUNKS
        assert all(len(chunk) <= CHUNK for chunk in chunks)
        assert json.loads("".join(chunks)) == modules_of(template)[name]["settings"]["createOptions"]


def test_only_the_gateway_publishes_ports(template: Document) -> None:
    published = [
        name
        for name, module in modules_of(template).items()
        if module["settings"]["createOptions"]["HostConfig"].get("PortBindings")
    ]
    assert published == ["gateway"]


def test_devices_find_the_gateway_at_the_ports_their_sdks_dial(template: Document) -> None:
    bindings = options_of(template)["HostConfig"]["PortBindings"]
    assert [each["HostPort"] for binding in bindings.values() for each in binding] == ["8883", "5671", "443"]


def environment_of(template: Document) -> dict[str, str]:
    return {name: str(row["value"]) for name, row in gateway_of(template)["env"].items()}


def test_the_environment_is_one_the_gateway_reads(template: Document) -> None:
    assert set(environment_of(template)) <= {setting.name for setting in SETTINGS}
    read_environment(environment_of(template))


def test_every_published_port_is_one_the_gateway_listens_on(template: Document) -> None:
    environment = read_environment(environment_of(template))
    published = {int(port.removesuffix("/tcp")) for port in options_of(template)["HostConfig"]["PortBindings"]}
    assert published == {environment.mqtt_port, environment.amqp_port, environment.websocket_port}


def test_no_port_inside_the_container_needs_a_privilege(template: Document) -> None:
    ports = [int(port.removesuffix("/tcp")) for port in options_of(template)["HostConfig"]["PortBindings"]]
    assert min(ports) >= 1024


def test_the_data_folder_is_the_one_place_on_the_host_that_is_written(template: Document) -> None:
    binds = [bind.split(":") for bind in options_of(template)["HostConfig"]["Binds"]]
    assert [inside for _, inside in binds] == [str(read_environment(environment_of(template)).data_dir)]


def test_storage_of_agent_and_hub_lies_on_the_host_too(template: Document) -> None:
    for name in ("edgeAgent", "edgeHub"):
        module = modules_of(template)[name]
        folders = [bind.split(":")[1] for bind in module["settings"]["createOptions"]["HostConfig"]["Binds"]]
        assert folders == [module["env"]["storageFolder"]["value"]]


def test_the_gateway_has_no_privilege_and_a_limit_on_everything(template: Document) -> None:
    options = options_of(template)
    host = options["HostConfig"]
    assert options["User"] == f"{CONTAINER_USER}:{CONTAINER_USER}"
    assert options["StopTimeout"] > 5, "a clean stop takes up to 5 s (issue: SIGTERM flushes in under 5 s)"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert 128 * 1024**2 <= host["Memory"] <= 512 * 1024**2
    assert host["PidsLimit"] > 0
    assert "size=" in host["Tmpfs"]["/tmp"]
    assert not {"Privileged", "CapAdd", "NetworkMode", "Devices", "RestartPolicy"} & set(host)


def test_no_log_can_fill_the_sd_card(template: Document) -> None:
    for module in modules_of(template).values():
        log = module["settings"]["createOptions"]["HostConfig"]["LogConfig"]
        assert log == {"Type": "local", "Config": {"max-size": "10m", "max-file": "3"}}


def test_the_page_that_explains_it_names_users_and_folders(template: Document) -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    assert str(CONTAINER_USER) in page
    for module in modules_of(template).values():
        for bind in module["settings"]["createOptions"]["HostConfig"]["Binds"]:
            assert bind.split(":")[0] in page


def hub_routes(template: Document) -> dict[str, Document]:
    routes: dict[str, Document] = template["modulesContent"]["$edgeHub"]["properties.desired"]["routes"]
    return routes


def own_settings(template: Document) -> Document:
    settings: Document = template["modulesContent"]["gateway"]["properties.desired"]
    return settings


def test_the_gateways_output_for_the_cloud_goes_on_and_nothing_else_does(template: Document) -> None:
    assert [route["route"] for route in hub_routes(template).values()] == [
        f"FROM /messages/modules/gateway/outputs/{UPSTREAM_OUTPUT} INTO $upstream"
    ]
    assert all("BrokeredEndpoint" not in route["route"] for route in own_settings(template)["routes"].values())


def test_both_of_our_routes_ask_for_the_body(template: Document) -> None:
    routes = own_settings(template)["routes"]
    assert set(routes) == {"alerts", "climate"}
    assert all("$body." in route["route"] for route in routes.values())


@pytest.mark.parametrize("section", ["$edgeHub", "gateway"])
def test_every_route_compiles_with_our_own_compiler_without_a_warning(template: Document, section: str) -> None:
    routes = template["modulesContent"][section]["properties.desired"]["routes"]
    compiled = compile_routes(
        {
            name: RouteSpec(
                text=route["route"], priority=route.get("priority"), time_to_live_s=route.get("timeToLiveSecs")
            )
            for name, route in routes.items()
        }
    )
    assert (compiled.problems, compiled.warnings) == ((), ())


def test_nothing_dies_in_the_hub_that_would_still_live_with_us(template: Document) -> None:
    # What edgeHub has acknowledged is gone from our store; its own time to live counts from then on.
    own = own_settings(template)
    ours = [
        own["storeAndForward"]["timeToLiveSecs"],
        *(route.get("timeToLiveSecs", 0) for route in own["routes"].values()),
    ]
    desired = template["modulesContent"]["$edgeHub"]["properties.desired"]
    hubs = [desired["storeAndForwardConfiguration"]["timeToLiveSecs"]]
    hubs += [route["timeToLiveSecs"] for route in hub_routes(template).values()]
    assert min(hubs) >= max(ours)


def test_twin_sections_fit_into_iot_hub(manifest: Document) -> None:
    for section in manifest["modulesContent"].values():
        assert len(json.dumps(section["properties.desired"]).encode()) <= 32 * 1024


def test_making_a_manifest_leaves_the_template_as_it_was(template: Document) -> None:
    before = copy.deepcopy(template)
    as_manifest(template, dict.fromkeys(("MODULES.gateway", *named_variables()), "x"))
    assert template == before


def named_variables() -> list[str]:
    return re.findall(r"^([A-Z_]+)=", Path(ROOT / ".env.tmp").read_text(), re.MULTILINE)


# The other two templates say what this one says, where they do not mean to differ.

DEBUG = "deployment.debug.template.json"
LAYER = "deployment.layered.template.json"
DEBUGGER = "5678/tcp"


def other(name: str) -> Document:
    document: Document = json.loads((ROOT / name).read_text())
    return document


def test_the_debug_template_differs_by_image_debugger_log_and_memory_alone(template: Document) -> None:
    debug = other(DEBUG)
    TEMPLATE_SCHEMA.validate(debug)
    ours, host = gateway_of(debug), options_of(debug)["HostConfig"]
    assert host["PortBindings"].pop(DEBUGGER) == [{"HostIp": "127.0.0.1", "HostPort": "5678"}], "a debugger runs code"
    assert ours["settings"].pop("image") == "${MODULES.gateway.debug}"
    assert ours["env"].pop("GATEWAY_LOG_LEVEL") == {"value": "debug"}
    assert host.pop("Memory") > options_of(template)["HostConfig"].pop("Memory")
    gateway_of(template)["settings"].pop("image")
    assert debug == template


def test_a_layer_brings_the_same_gateway_route_and_settings(template: Document) -> None:
    layer = other(LAYER)["content"]["modulesContent"]
    assert layer["$edgeAgent"] == {"properties.desired.modules.gateway": gateway_of(template)}
    routes = {f"properties.desired.routes.{name}": route for name, route in hub_routes(template).items()}
    assert layer["$edgeHub"] == routes
    flattened = {
        f"properties.desired.{name}": value for name, value in own_settings(template).items() if name != "routes"
    }
    flattened |= {f"properties.desired.routes.{name}": each for name, each in own_settings(template)["routes"].items()}
    assert layer["gateway"] == flattened, "by paths: what another layer says of other members stays"


# What settings and hub have to agree on.


def outputs_named(settings: Document) -> set[str]:
    """The outputs by which messages leave with these settings."""
    texts = {name: each["route"] if isinstance(each, dict) else each for name, each in settings["routes"].items()}
    table = compile_routes({name: RouteSpec(text=text) for name, text in texts.items()}).table
    assert table is not None
    endpoints = {route.delivery.endpoint for route in table.routes}
    return {output_name(each) for each in endpoints if each == UPSTREAM or each.kind is EndpointKind.MODULE}


def outputs_routed(routes: Document) -> set[str]:
    """The outputs of the gateway that edgeHub passes on."""
    texts = [each["route"] if isinstance(each, dict) else each for each in routes.values()]
    found = (re.match(r"FROM /messages/modules/gateway/outputs/(\S+) INTO ", text) for text in texts)
    return {each[1] for each in found if each}


def test_every_output_has_a_route_and_every_route_an_output(template: Document) -> None:
    assert outputs_named(own_settings(template)) == outputs_routed(hub_routes(template)) == {UPSTREAM_OUTPUT}


def test_an_output_without_a_route_would_be_noticed(template: Document) -> None:
    own_settings(template)["routes"]["raw"] = 'FROM /messages/* INTO BrokeredEndpoint("/modules/detector/inputs/raw")'
    assert outputs_named(own_settings(template)) - outputs_routed(hub_routes(template)) == {"detector.raw"}
    into = 'BrokeredEndpoint("/modules/detector/inputs/raw")'
    hub_routes(template)["raw"] = {"route": f"FROM /messages/modules/gateway/outputs/detector.raw INTO {into}"}
    assert outputs_named(own_settings(template)) == outputs_routed(hub_routes(template))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("debug", ["", ".debug"])
def test_the_image_exposes_the_ports_that_the_template_publishes(platform: str, debug: str) -> None:
    text = (ROOT / f"modules/gateway/Dockerfile.{platform}{debug}").read_text()
    exposed = {f"{port}/tcp" for line in re.findall(r"^EXPOSE (.+)$", text, re.MULTILINE) for port in line.split()}
    published = options_of(other(DEBUG if debug else "deployment.template.json"))["HostConfig"]["PortBindings"]
    assert exposed == set(published)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_module_has_an_image_for_each_platform_and_the_version_of_the_package(platform: str) -> None:
    tag = json.loads((ROOT / "modules/gateway/module.json").read_text())["image"]["tag"]
    assert {platform, f"{platform}.debug"} <= set(tag["platforms"])
    assert tag["version"] == __version__
    for name in ("deployment.template.json", DEBUG):
        assert gateway_of(other(name))["version"] == __version__
