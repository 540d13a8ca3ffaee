"""Tell reviewers that a run waits for them, wherever `DRYAD_REVIEW_WEBHOOK` points.

An automation of the Prefect server does it, with a block that holds the address: both stand in the
UI, and go when the setting does. What is told are names: the task, the run, where to look. What is
asked stays behind the login. Other channels (mail, Teams, …) are automations of the operator's own.
"""

import json
from datetime import timedelta
from urllib.parse import urlsplit

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import BlockDocument
from prefect.events.actions import CallWebhook
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from dryad.foundation.errors import InvalidRequest

NAME = "dryad-reviewers"
"""Of the automation and of its block."""

_NAME = "{{ flow_run.name|urlencode }}"
"""Whoever starts a run in the UI may name it: here it is text in JSON, and no link."""

_WAITS = EventTrigger(
    expect={"prefect.flow-run.Suspended"},
    match_related=ResourceSpecification.model_validate(
        {"prefect.resource.role": "flow", "prefect.resource.name": "orchestrate-task"}
    ),
    for_each={"prefect.resource.id"},
    posture=Posture.Reactive,
    threshold=1,
    within=timedelta(0),
)


def keep(client: SyncPrefectClient, webhook: SecretStr | None, *, ui_url: str) -> None:
    """Bring the automation and its block to what the setting says; what was paused stays paused.

    Args:
        client: Of the installation's server.
        webhook: Where messages go; None: nobody is told.
        ui_url: Where people find the Prefect UI.

    Raises:
        InvalidRequest: it is no address of a server.
    """
    found = client.read_automations_by_name(NAME)
    if webhook is None:
        for old in found:
            client.delete_automation(old.id)
        if block := _block(client):
            client.delete_block_document(block.id)
        return
    address = urlsplit(webhook.get_secret_value())
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise InvalidRequest(
            "DRYAD_REVIEW_WEBHOOK must be an address such as https://chat.example.com/hooks/x"
        )
    Webhook(url=webhook).save(NAME, overwrite=True)
    block = _block(client)
    assert block is not None
    wanted = AutomationCore(
        name=NAME,
        description="Tells reviewers that a run waits for them; see DRYAD_REVIEW_WEBHOOK.",
        enabled=all(old.enabled for old in found),
        trigger=_WAITS,
        actions=[CallWebhook(block_document_id=block.id, payload=_payload(ui_url))],
    )
    if found:
        client.update_automation(found[0].id, wanted)
    else:
        client.create_automation(wanted)
    for twin in found[1:]:  # two registrations at once each made one
        client.delete_automation(twin.id)


def _payload(ui_url: str) -> str:
    """Return the message as the server fills it in; `text` is what Slack and its like show."""
    run = f"{ui_url}/runs/flow-run/{{{{ flow_run.id }}}}"
    message = {
        "text": f"A task waits for a person: {_NAME}. Look at {run} or at `dryad inbox`.",
        "event": "question.waits",
        "task": _NAME,
        "run": "{{ flow_run.id }}",
        "url": run,
    }
    return json.dumps(message)


def _block(client: SyncPrefectClient) -> BlockDocument | None:
    try:
        return client.read_block_document_by_name(NAME, Webhook.get_block_type_slug())
    except ObjectNotFound:
        return None
