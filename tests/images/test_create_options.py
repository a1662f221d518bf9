"""The template's create options as podman's: none is left out."""

import json
from typing import Any

import pytest

from support.container_site import ROOT, TEMPLATE, gateway_in
from support.create_options import podman_options

FOLDERS = {"/var/lib/edge-gateway": "/tmp/data"}


def options_of(template: str = TEMPLATE.name) -> Any:
    return gateway_in(ROOT / template)["settings"]["createOptions"]


def test_each_option_of_the_template_is_given() -> None:
    assert podman_options(options_of(), FOLDERS) == [
        *("--publish", "8883:8883/tcp", "--publish", "5671:5671/tcp", "--publish", "443:8443/tcp"),
        *("--read-only", "--read-only-tmpfs=false"),
        *("--tmpfs", "/tmp:rw,noexec,nosuid,nodev,size=16m,mode=1777"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--memory", "268435456", "--pids-limit", "128"),
        *("--log-driver", "k8s-file", "--log-opt", "max-size=10m"),
        *("--user", "13699:13699", "--stop-timeout", "15"),
        *("--volume", "/tmp/data:/data"),
    ]


@pytest.mark.parametrize("template", ["deployment.template.json", "deployment.debug.template.json"])
def test_what_a_template_has_is_known(template: str) -> None:
    assert podman_options(options_of(template), FOLDERS)


@pytest.mark.parametrize("where", ["", "HostConfig"])
def test_an_option_that_no_test_would_see_fails(where: str) -> None:
    options = json.loads(json.dumps(options_of()))
    (options[where] if where else options)["Sysctls"] = {}
    with pytest.raises(AssertionError, match="Sysctls"):
        podman_options(options, FOLDERS)


def test_an_address_of_the_host_is_kept() -> None:
    options = options_of("deployment.debug.template.json")
    assert "127.0.0.1:5678:5678/tcp" in podman_options(options, FOLDERS)
