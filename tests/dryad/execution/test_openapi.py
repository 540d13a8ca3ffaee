"""The operations of an OpenAPI document become tools that really call their server."""

from dataclasses import replace
from typing import Any

import pytest

from dryad.execution.http_tools import call
from dryad.execution.openapi import Wanted, read_operations
from dryad.execution.outside import Outside
from dryad.execution.tool_calls import ToolOutcome
from dryad.foundation.errors import Conflict, InvalidRequest, Refused, Unavailable
from dryad.foundation.schemas import violation
from dryad.foundation.tools import ToolSpec
from tests.dryad.execution.conftest import ACME, Desk, done_by, episode, talking_to
from tests.servers import free_port
from tests.web import Answer, reply, scripted, serve

PET = {"$ref": "#/components/schemas/Pet"}
COMPONENTS: dict[str, Any] = {
    "parameters": {"Limit": {"name": "limit", "in": "query", "schema": {
        "type": "integer", "minimum": 0, "exclusiveMinimum": True}}},
    "schemas": {
        "Pet": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "born": {"type": "string", "nullable": True},
                "friends": {"type": "array", "items": PET},
            },
        }
    },
}  # fmt: skip


def document(**more: Any) -> dict[str, Any]:
    """Return the document of a small shop of pets."""
    answer = {"content": {"application/json": {"schema": PET}}}
    number = {"name": "petId", "in": "path", "required": True, "schema": {"type": "integer"}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Pets", "version": "1.4"},
        "servers": [{"url": "https://pets.example.org/v1"}],
        "paths": {
            "/pets": {
                "get": {
                    "operationId": "listPets",
                    "summary": "List pets",
                    "parameters": [
                        {"name": "tag", "in": "query", "schema": {
                            "type": "array", "items": {"type": "string"}}},
                        {"$ref": "#/components/parameters/Limit"},
                        {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                        {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                    ],
                    "responses": {"200": {"content": {"application/json": {"schema": {
                        "type": "array", "items": PET}}}}},
                },
                "post": {
                    "operationId": "add_pet",
                    "requestBody": {"required": True, "content": {"application/json": {
                        "schema": PET}}},
                    "responses": {"201": answer},
                },
            },
            "/pets/{petId}": {
                "parameters": [number],
                "get": {"operationId": "getPet", "responses": {"200": answer}},
                "put": {"responses": {"default": {"description": "?"}}},
            },
            "/photos": {"post": {
                "operationId": "upload",
                "requestBody": {"required": True, "content": {"image/png": {}}},
                "responses": {},
            }},
        },
        "components": COMPONENTS,
        **more,
    }  # fmt: skip


def shop(url: str, **more: Any) -> dict[str, ToolSpec]:
    wanted = Wanted(base=url, private_hosts=(url.removeprefix("http://"),), **more)
    return {spec.name: spec for spec in read_operations(document(), wanted).tools}


def answering(status: int, body: Any) -> Answer:
    return lambda handler, _received, _number: reply(handler, status, body)


async def use(spec: ToolSpec, **arguments: Any) -> ToolOutcome:
    return await call(Outside(), spec, arguments, "run/step#1")


def test_each_operation_is_a_tool_with_its_risk():
    found = read_operations(document(), Wanted(tiers={"get-pet": "external"}))
    tools = {spec.name: spec for spec in found.tools}
    assert {name: (t.tier, t.idempotent) for name, t in tools.items()} == {
        "list-pets": ("read", True),
        "add_pet": ("external", False),
        "get-pet": ("external", True),
        "put-pets-pet-id": ("external", True),
    }
    assert list(found.left_out) == ["upload"]
    assert {spec.version for spec in found.tools} == {"1.4"}
    assert tools["list-pets"].config["hosts"] == ["pets.example.org"]
    assert tools["list-pets"].description == "List pets"
    only = read_operations(document(), Wanted(only=["get-pet"]))
    assert [spec.name for spec in only.tools] == ["get-pet"]


def test_the_schemas_of_a_document_say_the_same_as_json_schemas():
    tools = {spec.name: spec for spec in read_operations(document(), Wanted()).tools}
    inputs = tools["add_pet"].input_schema
    good = {"body": {"name": "Rex", "born": None, "friends": [{"name": "Tom"}]}}
    assert not violation(inputs, good)
    assert "'name' is a required" in violation(inputs, {"body": {"friends": [{}], "name": "x"}})
    assert violation(inputs, {})
    listing = tools["list-pets"].input_schema
    assert "less than or equal" in violation(listing, {"limit": 0})
    assert not violation(listing, {"limit": 1, "tag": ["a"]})
    assert "session" not in listing["properties"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"openapi": "2.0"}, "OpenAPI 3 is needed"),
        ({"openapi": None}, "OpenAPI 3 is needed"),
        ({"servers": [{"url": "/v1"}]}, "absolute address"),
        ({"paths": []}, "are objects"),
        ({"info": "x"}, "are objects"),
    ],
)
def test_what_is_no_document_is_refused(wrong: dict[str, Any], says: str):
    with pytest.raises(InvalidRequest, match=says):
        read_operations(document(**wrong), Wanted())
    with pytest.raises(InvalidRequest, match="no operation 'nothing'"):
        read_operations(document(), Wanted(only=["nothing"]))
    incomplete = {"openapi": "3.0.0", "info": {}}
    with pytest.raises(InvalidRequest, match="'paths'"):
        read_operations(incomplete, Wanted())


async def test_arguments_go_where_the_document_says():
    with serve(answering(200, [{"name": "Rex"}])) as server:
        tools = shop(server.url, headers={"X-Key": "planted", "x-trace": "ours"})
        await use(tools["list-pets"], tag=["a b", "c&d"], limit=2, **{"X-Trace": "theirs"})
        outcome = await use(tools["list-pets"])
    first = server.received[0]
    assert (first.method, first.path) == ("GET", "/pets?tag=a+b&tag=c%26d&limit=2")
    assert first.headers["X-Key"] == "planted"
    assert first.headers.get_all("X-Trace") == ["ours"]
    assert outcome == ToolOutcome({"status": 200, "body": [{"name": "Rex"}]}, untrusted=True)


async def test_what_changes_something_carries_its_key_and_its_body():
    with serve(answering(201, {"name": "Rex"})) as server:
        tools = shop(server.url)
        outcome = await use(tools["add_pet"], body={"name": "Rex"})
        await use(tools["put-pets-pet-id"], petId=7)
    assert outcome.value == {"status": 201, "body": {"name": "Rex"}}
    posted, put = server.received
    assert (posted.body, posted.headers["Idempotency-Key"]) == ({"name": "Rex"}, "run/step#1")
    assert (put.method, put.path) == ("PUT", "/pets/7")


@pytest.mark.parametrize("value", ["..", ".", ""])
async def test_a_path_cannot_be_climbed_with_an_argument(value: str):
    with serve(answering(200, {})) as server:
        spec = shop(server.url)["get-pet"]
        with pytest.raises(InvalidRequest, match="in an address"):
            await use(spec, petId=value)
        await use(spec, petId="../../admin?x#y")
    assert [letter.path for letter in server.received] == ["/pets/..%2F..%2Fadmin%3Fx%23y"]


async def test_a_failure_is_certain_when_nothing_changed_and_in_doubt_else():
    with serve(answering(500, b"broken")) as server:
        tools = shop(server.url)
        assert "HTTP 500: broken" in (await use(tools["list-pets"])).failed
        with pytest.raises(Unavailable, match="HTTP 500"):
            await use(tools["add_pet"], body={"name": "Rex"})
    with serve(answering(404, b"no such pet")) as server:
        assert "HTTP 404: no such pet" in (await use(shop(server.url)["get-pet"], petId=1)).failed
    gone = shop(f"http://127.0.0.1:{free_port()}")
    assert "nothing was sent" in (await use(gone["add_pet"], body={"name": "Rex"})).failed


async def test_the_servers_own_address_is_not_private_without_leave():
    with serve(answering(200, {})) as server:
        (spec,) = read_operations(document(), Wanted(base=server.url, only=["get-pet"])).tools
        with pytest.raises(Refused, match="private address"):
            await use(spec, petId=1)
    assert server.received == []


async def test_an_agent_uses_an_operation_it_was_granted(desk: Desk):
    script = scripted([("get-pet", {"petId": 7})], [("get-pet", {"petId": "x"})], "Rex it is.")
    with serve(answering(200, {"name": "Rex"})) as server, serve(script) as provider:
        tools = list(shop(server.url, headers={"X-Key": "planted"}).values())
        desk.tools.register_all(ACME, tools)
        with pytest.raises(Conflict):
            desk.tools.register_all(ACME, tools)
        desk.tools.grant(ACME, "messenger", "get-pet")
        done = await done_by(desk, talking_to(provider.url), episode("Who?", "messenger"))
    assert [use.outcome for use in done.progress.tools] == ["done", "failed"]
    assert done.progress.untrusted
    assert [letter.path for letter in server.received] == ["/pets/7"]
    assert "planted" not in str([request.body for request in provider.received])
    assert "cannot take these arguments: petId:" in str(provider.received[-1].body)


async def test_an_answer_that_breaks_the_document_is_a_failure(desk: Desk):
    with (
        serve(answering(200, {"name": 7})) as server,
        serve(scripted([("get-pet", {"petId": 7})], "Hm.")) as provider,
    ):
        desk.tools.register(ACME, replace(shop(server.url)["get-pet"]))
        desk.tools.grant(ACME, "messenger", "get-pet")
        await done_by(desk, talking_to(provider.url), episode("Who?", "messenger"))
    assert "returned what it must not: body/name: 7 is not" in str(provider.received[-1].body)
