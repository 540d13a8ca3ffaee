"""Every page of the Prefect server says that it reaches nobody else and stands in no frame."""

import httpx
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from deployments.server import guarded, policy


async def test_every_response_carries_the_policy():
    async def page(_: object) -> PlainTextResponse:
        return PlainTextResponse("hello")

    said = policy("http://127.0.0.1:4200/api")
    app = guarded(Starlette(routes=[Route("/", page)]), said)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost"
    ) as client:
        for answer in (await client.get("/"), await client.get("/nowhere")):
            assert answer.headers["content-security-policy"] == said
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_pages_may_call_their_own_api_and_nothing_else():
    rules = dict(rule.split(" ", 1) for rule in policy("http://127.0.0.1:4200/api").split("; "))
    assert rules["connect-src"].split() == [
        "'self'", "data:", "http://127.0.0.1:4200", "https://127.0.0.1:4200",
        "ws://127.0.0.1:4200", "wss://127.0.0.1:4200",
    ]  # fmt: skip
    assert rules["frame-ancestors"] == rules["object-src"] == "'none'"
    assert not {"http:", "https:", "*"} & {word for rule in rules.values() for word in rule.split()}
