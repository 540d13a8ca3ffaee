"""Send one message to the tenant's address, or put it into the tenant's mailbox."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dryad.execution import mailbox as mailboxes
from dryad.execution.tool_calls import ToolOutcome
from dryad.foundation.clock import Clock
from dryad.foundation.errors import Refused, Unavailable
from dryad.foundation.tool_history import Errand
from dryad.foundation.tools import ToolSpec

_SECONDS = 10


async def send(
    arguments: Mapping[str, Any],
    errand: Errand,
    *,
    step: str,
    spec: ToolSpec,
    mailbox: Path,
    clock: Clock,
) -> ToolOutcome:
    """Post one JSON document to the tenant's address; a redirect is not followed.

    A tenant without an address has a mailbox on this machine, so that a message that was approved
    goes somewhere a person can read it.

    Raises:
        Refused: the address is none.
        Unavailable: nobody knows whether it arrived.
    """
    import httpx  # noqa: PLC0415 - slow, and only senders need it

    url = spec.config.get("url")
    if url is None:
        letter = {**arguments, "task": errand.task, "agent": errand.agent, "step": step}
        letter["at"] = clock().isoformat()
        await asyncio.to_thread(mailboxes.deliver, mailbox, errand.tenant, letter)
        return ToolOutcome({"status": 200, "delivered_to": f"mailbox/{errand.tenant}.jsonl"})
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise Refused(
            f"the address of tool {spec.name} is no URL",
            f'`dryad tools configure {spec.name} \'{{"url": "https://…"}}\'` sets one.',
        )
    letter = {**arguments, "task": errand.task, "agent": errand.agent}
    try:
        async with httpx.AsyncClient(
            timeout=_SECONDS, follow_redirects=False, trust_env=False
        ) as client:
            answer = await client.post(url, json=letter, headers={"Idempotency-Key": step})
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol):
        return ToolOutcome(failed="the receiver cannot be reached; nothing was sent")
    except httpx.InvalidURL as error:
        raise Refused(f"the address of tool {spec.name} is no URL") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"the receiver did not confirm: {type(error).__name__}") from error
    if answer.status_code >= 500:
        raise Unavailable(f"the receiver failed with HTTP {answer.status_code}")
    if not answer.is_success:
        return ToolOutcome(failed=f"the receiver refused with HTTP {answer.status_code}")
    return ToolOutcome({"status": answer.status_code, "delivered_to": httpx.URL(url).host})
