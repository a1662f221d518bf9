"""A person makes a code on the page of a gateway's process, and a board comes by it."""

import asyncio
import json
import re
import ssl
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

from support.gateway_site import GatewaySite
from support.new_board import Board, ask, secret_of

TLS_PORT = 8443
PAGE_PORT = 9600
PATIENCE_S = 45.0
NONCE = "0123456789abcdef" * 2


class Browser:
    """What a browser does with a page: one host, a cookie, and where a form comes from."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.cookie = ""

    async def get(self, path: str) -> tuple[int, str, str]:
        """Status, text and where it leads."""
        return await asyncio.to_thread(self._ask, "GET", path, None, {})

    async def post(self, path: str, **fields: str) -> tuple[int, str, str]:
        """A form of this host."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{self.host}"}
        return await asyncio.to_thread(self._ask, "POST", path, urlencode(fields), headers)

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, str, str]:
        connection = HTTPConnection(self.host, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, headers | ({"Cookie": self.cookie} if self.cookie else {}))
            answer = connection.getresponse()
            self.cookie = answer.headers.get("Set-Cookie", self.cookie).partition(";")[0]
            return answer.status, answer.read().decode(), answer.headers.get("Location", "")
        finally:
            connection.close()


async def address_of_page(site: GatewaySite, *options: str) -> str:
    """Where `gateway page` leads: the gateway that runs has an address of its own."""
    said = await site.command("page", "--json", *options)
    assert said.code == 0, said.error
    url = urlsplit(json.loads(said.out)["url"])
    assert url.netloc == f"{site.address}:{PAGE_PORT}"
    return f"{url.path}?{url.query}"


async def test_a_code_that_was_made_on_the_page_lets_a_board_in(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_WEBSOCKET_PORT=str(TLS_PORT))
    browser = Browser(f"{site.address}:{PAGE_PORT}")
    assert (await browser.get("/claims"))[0] == 401
    assert (await browser.get("/login?token=guessed"))[0] == 403
    login = await address_of_page(site)
    assert await browser.get(login) == (303, "", "/")
    status, page, _ = await browser.post("/claims", boards="1", expires="24h", id_prefix="node-", model="nodemcu")
    assert status == 200
    (code,) = re.findall(r'<output class="code">([\w-]+)</output>', page)

    board = Board(device="node-1", secret=secret_of(code))
    tls: ssl.SSLContext = site.client_tls()
    answer = await asyncio.to_thread(
        ask, site.address, TLS_PORT, "POST", "/bootstrap/v1/contact", board.contact(NONCE), tls=tls
    )
    assert board.accept(answer, NONCE)[0]["deviceId"] == "node-1"
    _, page, _ = await browser.get("/claims")
    assert re.search(r">used<.*>one board &#x27;node-…&#x27; of model nodemcu<.*>node-1<", page)
    (listed,) = json.loads((await site.command("claims", "list", "--json")).out)["codes"]
    assert (listed["status"], [use["id"] for use in listed["uses"]]) == ("used", ["node-1"])
    assert (await browser.post(f"/claims/{listed['name']}/revoke"))[0] == 303
    assert "no codes" in (await site.command("claims", "list")).out

    assert (await address_of_page(site, "--new")) != login
    assert (await browser.get("/claims"))[0] == 401
    assert (await browser.get(login))[0] == 403
    assert await site.counted('gateway_refused_page_requests_total{reason="wrong_token"}', 2) == 2
    assert await site.counted('gateway_page_actions_total{action="code_made"}') == 1
    told = site.gateway.transcript()
    assert f"code '{listed['name']}' was made on the page, from 127.0.0.1" in told
    token = login.partition("=")[2]
    for secret in (code, code.replace("-", ""), token, browser.cookie.partition("=")[2]):
        assert secret not in told


async def test_a_form_of_another_site_and_another_name_for_this_host_change_nothing(site: GatewaySite) -> None:
    await site.gateway.start()
    browser = Browser(f"{site.address}:{PAGE_PORT}")
    await browser.get(await address_of_page(site))
    foreign = {"Origin": "http://evil.example", "Content-Type": "application/x-www-form-urlencoded"}
    assert (await asyncio.to_thread(browser._ask, "POST", "/claims", "boards=1", foreign))[0] == 403
    rebound = {"Host": f"evil.example:{PAGE_PORT}"}
    assert (await asyncio.to_thread(browser._ask, "GET", "/claims", None, rebound))[0] == 403
    assert "no codes" in (await site.command("claims", "list")).out
    for reason in ("foreign_origin", "foreign_host"):
        assert await site.counted(f'gateway_refused_page_requests_total{{reason="{reason}"}}') == 1
