"""`make manifest`: what it makes of a template, and what it refuses, with a sentence that says what to do."""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest

from project_sources import ROOT

MANIFEST: Final = SimpleNamespace(**runpy.run_path(str(ROOT / "tools/manifest.py")))
TEMPLATES: Final = ("deployment.template.json", "deployment.debug.template.json", "deployment.layered.template.json")
Document = dict[str, Any]
VALUES: Final = {
    "CONTAINER_REGISTRY_SERVER": "registry.example",
    "CONTAINER_REGISTRY_USERNAME": "puller",
    "CONTAINER_REGISTRY_PASSWORD": 'with "quotes", \\ and $upstream',
}


def module_json(**image: Any) -> str:
    platforms = {f"{name}{kind}": "./Dockerfile" for name in MANIFEST.PLATFORMS for kind in ("", ".debug")}
    whole = {"repository": "${CONTAINER_REGISTRY_SERVER}/Gateway", "tag": {"version": "1.2.3", "platforms": platforms}}
    return json.dumps({"$schema-version": "0.0.1", "image": whole | image, "language": "python"})


@pytest.fixture
def solution(tmp_path: Path) -> Path:
    """A folder with a module and one outside of the usual place."""
    for name in ("modules/gateway", "modules/detector", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "module.json").write_text(module_json())
    return tmp_path


@pytest.fixture
def template() -> Document:
    return template_of(TEMPLATES[0])


def template_of(name: str) -> Document:
    document: Document = json.loads((ROOT / name).read_text())
    return document


def wish(solution: Path, platform: str = "arm64v8", **values: str) -> Any:
    return MANIFEST.Wish(platform=platform, values={**VALUES, **values}, folder=solution)


def make(solution: Path, template: Document, platform: str = "arm64v8", **values: str) -> Document:
    manifest: Document = MANIFEST.make_manifest(template, wish(solution, platform, **values))
    return manifest


def gateway_of(document: Document) -> Document:
    gateway: Document = dict(MANIFEST.modules_of(document))["gateway"]
    return gateway


@pytest.mark.parametrize("platform", MANIFEST.PLATFORMS)
@pytest.mark.parametrize("name", TEMPLATES)
def test_our_templates_give_manifests_for_every_platform(solution: Path, name: str, platform: str) -> None:
    before = template_of(name)
    manifest = make(solution, before, platform)
    assert before == template_of(name), "the template stays as it was"
    debug = ".debug" if ".debug." in name else ""
    assert gateway_of(manifest)["settings"]["image"] == f"registry.example/gateway:1.2.3-{platform}{debug}"
    assert "${" not in json.dumps(manifest)


def test_values_are_texts_whatever_is_in_them(solution: Path, template: Document) -> None:
    desired = make(solution, template)["modulesContent"]["$edgeAgent"]["properties.desired"]
    credentials = desired["runtime"]["settings"]["registryCredentials"]["gateway"]
    assert credentials["password"] == VALUES["CONTAINER_REGISTRY_PASSWORD"]


def test_words_of_iot_edge_are_never_taken_for_variables(solution: Path, template: Document) -> None:
    plain = MANIFEST.written(make(solution, template))
    assert plain == MANIFEST.written(make(solution, template, upstream="XX", edgeHub="YY", edgeAgent="ZZ", body="WW"))
    assert b"INTO $upstream" in plain


@pytest.mark.parametrize(
    ("placeholder", "image"),
    [
        ("${MODULES.detector}", "registry.example/gateway:1.2.3-arm64v8"),
        ("${MODULES.detector.amd64}", "registry.example/gateway:1.2.3-amd64"),
        ("${MODULES.detector.debug}", "registry.example/gateway:1.2.3-arm64v8.debug"),
        ("${MODULEDIR<./elsewhere>}", "registry.example/gateway:1.2.3-arm64v8"),
        ("${MODULEDIR<elsewhere>.arm32v7}", "registry.example/gateway:1.2.3-arm32v7"),
        ("${SERVER}:5000/x:1", "registry.example:5000/x:1"),
    ],
)
def test_images_by_placeholder(solution: Path, template: Document, placeholder: str, image: str) -> None:
    gateway_of(template)["settings"]["image"] = placeholder
    assert gateway_of(make(solution, template, SERVER="registry.example"))["settings"]["image"] == image


def test_a_tag_may_have_a_word_of_its_own(solution: Path, template: Document) -> None:
    made = make(solution, template, CONTAINER_TAG="rc1")
    assert gateway_of(made)["settings"]["image"] == "registry.example/gateway:1.2.3-rc1-arm64v8"


def test_create_options_are_cut_at_512_characters_and_come_back_whole(solution: Path, template: Document) -> None:
    options = {"Env": [f"N{number}=ä" for number in range(800)]}
    gateway_of(template)["settings"]["createOptions"] = options
    settings = gateway_of(make(solution, template))["settings"]
    texts = [text for name, text in settings.items() if name.startswith("createOptions")]
    assert [len(text) for text in texts[:-1]] == [512] * (len(texts) - 1)
    assert len(texts) > 10
    assert list(settings)[1:12] == ["createOptions", *(f"createOptions{n:02}" for n in range(1, 11))]
    assert json.loads("".join(texts)) == options


def refused(solution: Path, template: Document, **values: str) -> str:
    with pytest.raises(MANIFEST.ManifestError) as caught:
        make(solution, template, **values)
    return str(caught.value)


FAULTS: Final[dict[str, tuple[Callable[[Document], object], str]]] = {
    "a name that is nearly one": (
        lambda d: gateway_of(d)["settings"].update(image="${CONTAINER_REGISTRY_SERVR}/x"),
        "(.env.tmp lists the names). Did you mean ${CONTAINER_REGISTRY_SERVER}?",
    ),
    "a module that is not there": (
        lambda d: gateway_of(d)["settings"].update(image="${MODULES.gatewy}"),
        "modules/gatewy/module.json cannot be read: No such file or directory",
    ),
    "a platform that the module has not": (
        lambda d: gateway_of(d)["settings"].update(image="${MODULES.gateway.riscv}"),
        "has no image for 'riscv'; it has amd64, amd64.debug",
    ),
    "a placeholder that does not end": (
        lambda d: gateway_of(d)["settings"].update(image="${MODULES.gateway"),
        "a '${' is left: only whole names in braces are filled in",
    ),
    "create options that are no JSON": (
        lambda d: gateway_of(d)["settings"].update(createOptions="{'a': 1}"),
        "the createOptions of gateway are no JSON",
    ),
    "create options that are a list": (
        lambda d: gateway_of(d)["settings"].update(createOptions="[]"),
        "the createOptions of gateway must be a JSON object",
    ),
    "create options without an end": (
        lambda d: gateway_of(d)["settings"].update(createOptions={"Labels": {"x": "y" * 60_000}}),
        "the createOptions of gateway have 60019 characters; 51200 are allowed",
    ),
    "a restart policy of another tool": (
        lambda d: gateway_of(d).update(restartPolicy="unless-stopped"),
        "modulesContent → $edgeAgent → properties.desired → modules → gateway → restartPolicy: 'unless-stopped' is not",
    ),
    "a twin with more than a hub keeps": (
        lambda d: d["modulesContent"]["gateway"]["properties.desired"].update(
            {f"long{number}": "x" * 4000 for number in range(10)}
        ),
        "gateway: the desired (gateway) properties would hold",
    ),
    "a value with more than a hub keeps": (
        lambda d: d["modulesContent"]["gateway"]["properties.desired"].update(long="x" * 5000),
        "gateway: ",
    ),
    "a name that no twin holds": (
        lambda d: d["modulesContent"]["gateway"]["properties.desired"]["routes"].update(
            {"a.b": "FROM /* INTO $upstream"}
        ),
        "gateway: ",
    ),
    "a member that is null": (
        lambda d: d["modulesContent"]["gateway"]["properties.desired"].update(topics=None),
        "gateway: a value is null, which removes a member of a twin: leave the member out",
    ),
    "more modules than a deployment has": (
        lambda d: d["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"].update(
            {f"m{number}": gateway_of(d) for number in range(50)}
        ),
        "a deployment has at most 50 modules",
    ),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_what_would_fail_later_is_refused_now(solution: Path, template: Document, fault: str) -> None:
    change, says = FAULTS[fault]
    change(template)
    assert says in refused(solution, template)


@pytest.mark.parametrize("server", ["https://registry.example", "registry.example/", "registry.example # ours", "a b"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_an_image_that_no_engine_can_fetch_is_refused(solution: Path, name: str, server: str) -> None:
    document = template_of(name)
    for credentials in json_members(document, "registryCredentials"):
        credentials.clear()
    said = refused(solution, document, CONTAINER_REGISTRY_SERVER=server)
    assert f"the image of gateway is '{server}/gateway:1.2.3-arm64v8" in said
    assert "an image is SERVER/NAME:TAG" in said


def json_members(value: Any, name: str) -> list[Any]:
    """All members of this name, however deep."""
    if not isinstance(value, dict):
        return []
    below = [found for member in value.values() for found in json_members(member, name)]
    return [*below, *([value[name]] if name in value else [])]


@pytest.mark.parametrize(
    "image", ["python", "localhost:5000/a/b_c.d:1.0-x", "[::1]:5000/x", "r.example/x:1@sha256:" + "0" * 64]
)
def test_an_image_may_be_named_in_every_way_that_engines_know(solution: Path, template: Document, image: str) -> None:
    gateway_of(template)["settings"]["image"] = image
    assert gateway_of(make(solution, template))["settings"]["image"] == image


def test_an_empty_value_is_none(solution: Path, template: Document) -> None:
    said = refused(solution, template, CONTAINER_REGISTRY_USERNAME="", CONTAINER_REGISTRY_PASSWORD="")
    assert said.count("has no value") == 2


LAYER_FAULTS: Final[dict[str, Callable[[Document], object]]] = {
    "a whole edgeAgent": lambda c: c["$edgeAgent"].update({"properties.desired": {}}),
    "a route with a dot in its name": lambda c: c["$edgeHub"].update(
        {"properties.desired.routes.a.b": "FROM /* INTO $upstream"}
    ),
    "a priority above 9": lambda c: c["$edgeHub"].update(
        {"properties.desired.routes.x": {"route": "FROM /* INTO $upstream", "priority": 12}}
    ),
    "a member that is no desired property": lambda c: c["gateway"].update({"properties.reported.x": 1}),
    "a module without a policy": lambda c: c["$edgeAgent"]["properties.desired.modules.gateway"].pop("restartPolicy"),
}


@pytest.mark.parametrize("fault", list(LAYER_FAULTS))
def test_a_layer_is_checked_too(solution: Path, fault: str) -> None:
    layer = template_of(TEMPLATES[2])
    LAYER_FAULTS[fault](layer["content"]["modulesContent"])
    assert "the template, at content → modulesContent" in refused(solution, layer)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "# a comment\n\nA=1\nexport B = 'two words' \nC=\"#x=y\"\nD=\n",
            {"A": "1", "B": "two words", "C": "#x=y", "D": ""},
        ),
        ("", {}),
        ("\ufeffA=1\r\nB=p#x$y\\z\r\n", {"A": "1", "B": "p#x$y\\z"}),
    ],
)
def test_an_env_file(tmp_path: Path, text: str, values: dict[str, str]) -> None:
    (tmp_path / ".env").write_text(text)
    assert MANIFEST.read_values(tmp_path / ".env") == values
    assert MANIFEST.read_values(tmp_path / "none") == {}


def test_a_line_that_is_no_value_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nB\n")
    with pytest.raises(MANIFEST.ManifestError, match="line 2: it must be NAME=value"):
        MANIFEST.read_values(tmp_path / ".env")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"A=p # mine", "line 1: put the comment on a line of its own, or the value in 'quotes'"),
        (b"A='p' # mine", "line 1: what is in quotes must end the line"),
        (b'A="p\\"q"', "line 1: what is in quotes must end the line"),
        (b"A='p", "line 1: what is in quotes must end the line"),
        (b"A=\xe9", "is no text in UTF-8"),
    ],
)
def test_what_tools_read_differently_is_refused(tmp_path: Path, line: bytes, says: str) -> None:
    (tmp_path / ".env").write_bytes(line)
    with pytest.raises(MANIFEST.ManifestError, match=re.escape(says)):
        MANIFEST.read_values(tmp_path / ".env")


def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, ROOT / "tools/manifest.py", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_writes_the_same_bytes_in_any_environment(solution: Path) -> None:
    (solution / "t.template.json").write_text((ROOT / TEMPLATES[0]).read_text())
    (solution / ".env").write_text("CONTAINER_REGISTRY_SERVER=registry.example\nCONTAINER_REGISTRY_USERNAME=puller\n")
    made = []
    for number, environment in enumerate(
        ({}, {"upstream": "XX", "edgeHub": "YY", "CONTAINER_REGISTRY_SERVER": "other"})
    ):
        output = solution / f"out{number}"
        done = run(
            *(solution / "t.template.json", "--env-file", solution / ".env", "--output", output),
            CONTAINER_REGISTRY_PASSWORD="from the pipeline",
            **environment,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"{output / 't.amd64.json'}\n"
        made.append((output / "t.amd64.json").read_bytes())
    assert made[0] == made[1]
    assert b"from the pipeline" in made[0]
    assert (output / "t.amd64.json").stat().st_mode & 0o777 == 0o600, "it holds a password"


def test_the_command_writes_nothing_if_anything_is_wrong(solution: Path) -> None:
    (solution / "t.template.json").write_text((ROOT / TEMPLATES[0]).read_text())
    output = solution / "out"
    values = {"CONTAINER_REGISTRY_SERVER": "registry.example", "CONTAINER_REGISTRY_PASSWORD": "secret"}
    done = run(solution / "t.template.json", "--env-file", solution / ".env", "--output", output, **values)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"manifest: {solution}/t.template.json: ${{CONTAINER_REGISTRY_USERNAME}} has no value" in done.stderr
    assert "secret" not in done.stderr
    assert not output.exists()


PAGES: Final = ("docs/deployment.md", "docs/pi.md", "docs/fleet.md")


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_the_pages_write_the_files_that_they_name(page: str, tmp_path: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    (tmp_path / ".env").write_text("".join(f"{name}='{value}'\n" for name, value in VALUES.items()))
    commands = re.findall(r"^make manifest(?: PLATFORM=(\w+))?(?: TEMPLATE=\"([^\"]+)\")?", text, re.MULTILINE)
    assert commands
    made = set()
    for platform, templates in commands:
        words = [str(ROOT / name) for name in templates.split()] + ["--platform", platform or "amd64"]
        assert MANIFEST.main([*words, "--env-file", str(tmp_path / ".env"), "--output", str(tmp_path / "config")]) == 0
        made |= {path.name for path in (tmp_path / "config").iterdir()}
    assert set(re.findall(r"config/([\w.-]+\.json)", text)) <= made


def test_the_makefile_passes_on_what_is_asked() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "manifest", "PLATFORM=arm32v7", "TEMPLATE=a.json b.json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1].endswith("tools/manifest.py a.json b.json --platform arm32v7")
