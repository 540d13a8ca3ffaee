"""Tools at the command line: called, looked back on, described, described anew, removed."""

import json
from pathlib import Path

from dryad.foundation.ids import TenantId
from tests.dryad.api.conftest import House
from tests.dryad.cli.conftest import Dryad
from tests.dryad.cli.test_cli import data, fails


def test_a_call_is_made_and_shows_in_the_history(dryad: Dryad, installation: House):
    installation.services.provide_tenant(TenantId("default"))
    made = data(dryad("tools", "call", "analyst", "calculate", '{"expression": "6*7"}', "--json"))
    assert made["value"] == {"value": 42}
    fails(dryad("tools", "call", "researcher", "calculate", '{"expression": "1"}'), 1, "no grant")
    fails(dryad("tools", "call", "analyst", "calculate", "6*7"), 2, "ARGUMENTS")
    refused, done = data(dryad("tools", "history", "--json"))
    assert (refused["outcome"], refused["agent"]) == ("refused", "researcher")
    assert (done["outcome"], done["digest"]) == ("done", made["digest"])
    assert [one["calls"] for one in data(dryad("tools", "sessions", "--json"))] == [1, 1]


def test_a_version_is_described_described_anew_and_removed(
    dryad: Dryad, installation: House, tmp_path: Path
):
    body = {"name": "count", "version": "1", "description": "Count", "tier": "read"}
    (tmp_path / "count.json").write_text(json.dumps({**body, "config": {"code": "print(1)"}}))
    registered = dryad("tools", "register", str(tmp_path / "count.json"), "--json")
    assert data(registered)["category"] == "code_execution"
    changed = data(dryad("tools", "edit", "count", "1", "--category", "analysis", "--json"))
    assert (changed["category"], changed["description"]) == ("analysis", "Count")
    document = data(dryad("tools", "interface", "count"))
    assert list(document["paths"]) == ["/tools/count/execute"]
    found = data(dryad("tools", "list", "--category", "analysis", "--json"))
    assert [tool["name"] for tool in found] == ["count"]
    assert dryad("tools", "grant", "ada", "count", "--days", "2").returncode == 0
    (grant,) = installation.services.tools.grants(TenantId("default"))
    assert grant.expires is not None
    assert dryad("tools", "delete", "count", "1").returncode == 0
    fails(dryad("tools", "show", "count"), 1, "no tool count")
