"""The pages' ```sh blocks, typed as they stand into one shell per page, at a gateway and a stand-in that run.

Replaced are the words that the pages tell their readers to replace. The reader has what the page says that he has.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edgewire.iothub import sas
from support.gateway_process import GATEWAY, clean_environment
from support.gateway_site import KEY, GatewaySite
from support.page_blocks import ALONE, AT_A_SITE, ROOT, blocks_of
from support.recipe import Shell

TOPICS = [
    {
        "listener": "plain",
        "match": "site/+room/+kind",
        "device": "{room}",
        "properties": {"kind": "{kind}"},
        "contentType": "application/json",
        "contentEncoding": "utf-8",
    }
]
ROUTES = {"all": "FROM /messages/* INTO $upstream"}
ARRIVE = {"docs/quick-start.md": 1, "docs/connect.md": 4, "docs/https.md": 1, "docs/publishers.md": 1}
"""Messages that the blocks of a page send."""


@pytest.mark.timeout(600)
async def test_the_blocks_of_pages_do_what_they_say_at_a_site(site: GatewaySite) -> None:
    site.hub.add_device("boiler", keys=(sas.encode_key(KEY),))
    settings = site.write_settings(routes=ROUTES, topics=TOPICS, topicDevices={"create": True})
    await site.gateway.start(
        GATEWAY_WEBSOCKET_PORT="443",
        GATEWAY_PLAIN_PORT="1883",
        GATEWAY_PLAIN_ADDRESS=site.address,
        GATEWAY_SETTINGS_FILE=str(settings),
        GATEWAY_UPSTREAM_AMQP="edgehub",
    )
    for page in AT_A_SITE:
        with tempfile.TemporaryDirectory(prefix="page-") as name:
            furnish(Path(name), site)
            await follow(page, Path(name), environment(page, site), lambda text: here(text, site))
    await site.arrived(sum(ARRIVE.values()))
    await site.gateway.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", ALONE)
async def test_the_blocks_of_a_page_do_what_they_say(page: str, tmp_path: Path) -> None:
    found = clean_environment({})
    await follow(page, tmp_path, found | {"PATH": f"{GATEWAY.parent}:{found['PATH']}"}, lambda text: text)


async def follow(page: str, folder: Path, environ: Mapping[str, str], word: Callable[[str], str]) -> None:
    """Type the blocks of a page into a shell of its own."""
    async with Shell.open(folder, environ) as shell:
        for block in blocks_of(page):
            if not block.reason:
                code, said = await shell.type(checked(word(block.text)))
                assert code == 0, f"{page}\n{block.text}\n{said}"


def furnish(folder: Path, site: GatewaySite) -> None:
    """The reader's folder: the repository's files, the run folder of `make run`, the root."""
    for name in ("docs", "deployment.template.json", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "run").mkdir()
    (folder / "run/cloud").symlink_to(site.hub.directory)
    (folder / "run/gateway").symlink_to(site.data)
    (folder / "root.pem").symlink_to(site.root_file)


def environment(page: str, site: GatewaySite) -> Mapping[str, str]:
    """What the reader has set when he comes to the page."""
    found = clean_environment({"GATEWAY_DATA_DIR": str(site.data)})
    found["PATH"] = f"{GATEWAY.parent}:{found['PATH']}"
    if page == "docs/https.md":  # its devices are there, and have what they prove themselves by
        site.register("boiler")
        found |= {"TOKEN": site.token("boiler"), "KEY": sas.encode_key(KEY), "PASSWORD": "red-lamp-42"}
    return found


def here(text: str, site: GatewaySite) -> str:
    """A block with the words replaced that readers replace."""
    words = {
        "gateway.local": site.address,
        "hub.example": site.hub.hub_name,
        "standin-hub.test": site.hub.hub_name,
        "127.0.0.8": site.address,
    }
    for word, meant in words.items():
        text = text.replace(word, meant)
    return text


def checked(block: str) -> str:
    """The block, which fails if one of its commands does."""
    begin = "FAILED=; trap 'FAILED=${FAILED:-$BASH_COMMAND}' ERR"
    end = 'trap - ERR; [ -z "$FAILED" ] || (echo "failed: $FAILED"; false)'
    return f"{begin}\n{block}{end}"


async def test_a_block_fails_with_any_of_its_commands(tmp_path: Path) -> None:
    async with Shell.open(tmp_path, clean_environment({})) as shell:
        assert await shell.type(checked("true\nX=1\n")) == (0, "")
        code, said = await shell.type(checked("false\ntrue\n"))
        assert (code, said.strip()) == (1, "failed: false")
