"""Redis, or Valkey, as the mirror of short-term memory."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from dryad.foundation.errors import Unavailable
from dryad.foundation.ids import TenantId
from dryad.memory.recent.port import Change, Copy, Entry, Slot, Trace, milliseconds

FENCED_MS = 60_000
"""A fence falls after this; a publication that comes later than its fence is refused."""

GONE_MS = 2 * FENCED_MS
"""How long it is known that a slot is empty: longer than an older publication may be late."""

_SCANNED = 1_000

# The run id changes with each start of the server: what it read from its disk may be old.
_SAME_SERVER = """
if string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') ~= ARGV[1] then
    return redis.error_reply('OTHERSERVER started anew')
end
"""
_READ = f"""{_SAME_SERVER}
if redis.call('EXISTS', KEYS[2]) == 1 then return false end
return redis.call('HMGET', KEYS[1], 'sequence', 'body', 'expires')
"""
_TRACE = """
local found = redis.call('HMGET', KEYS[1], 'sequence', 'expires', 'body')
if not found[2] then return false end
return {found[1], redis.sha1hex(found[3] or ''), found[2]}
"""
_FENCE = f"""{_SAME_SERVER}
redis.call('SADD', KEYS[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], {FENCED_MS})
return 1
"""
_PUBLISH = f"""{_SAME_SERVER}
if ARGV[2] ~= '' and redis.call('SREM', KEYS[2], ARGV[2]) == 0 then return 0 end
local have = redis.call('HGET', KEYS[1], 'sequence')
if have and tonumber(have) >= tonumber(ARGV[3]) then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[4] == '' then
    redis.call('HSET', KEYS[1], 'sequence', ARGV[3])
    redis.call('PEXPIRE', KEYS[1], {GONE_MS})
else
    redis.call('HSET', KEYS[1], 'sequence', ARGV[3], 'expires', ARGV[4], 'body', ARGV[5])
    redis.call('PEXPIREAT', KEYS[1], ARGV[4])
end
return 1
"""


class RedisMirror:
    """A copy of short-term memory in Redis, below a prefix of this installation's own."""

    def __init__(
        self,
        url: str,
        *,
        installation: str,
        timeout: timedelta = timedelta(milliseconds=500),
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            url: `redis://` or `rediss://` address with its password.
            installation: The epoch of the installation: two may share a server.
            timeout: Longest wait for one answer.
        """
        # The client's own types are partly unknown.
        self._redis: Any = cast("Any", Redis).from_url(
            url,
            socket_timeout=timeout.total_seconds(),
            socket_connect_timeout=timeout.total_seconds(),
            retry=Retry(NoBackoff(), 1),  # an idle connection that was closed meanwhile
        )
        self._prefix = f"dryad:{installation}:"
        self._read, self._fence, self._publish, self._trace = (
            self._redis.register_script(script) for script in (_READ, _FENCE, _PUBLISH, _TRACE)
        )

    def close(self) -> None:
        """Give the connections back."""
        self._redis.close()

    def server(self) -> str:
        """See `RecentMirror.server`."""
        with _answered():
            return str(self._redis.info("server")["run_id"])

    def read(self, copy: Copy, slot: Slot) -> Entry | None:
        """See `RecentMirror.read`."""
        with _answered():
            found = self._read(keys=self._keys(copy, slot), args=[copy.server])
        if not found or found[1] is None:
            return None
        sequence, body, expires = found
        return Entry(int(sequence), body, _instant(int(expires)))

    def fence(self, copy: Copy, slot: Slot, token: str) -> None:
        """See `RecentMirror.fence`."""
        with _answered():
            self._fence(keys=self._keys(copy, slot)[1:], args=[copy.server, token])

    def publish(self, copy: Copy, changes: Sequence[Change], *, token: str | None = None) -> None:
        """See `RecentMirror.publish`."""
        with _answered():
            if len(changes) == 1:
                self._publish(**self._arguments(copy, changes[0], token))
                return
            with self._redis.pipeline(transaction=False) as pipe:
                for change in changes:
                    self._publish(**self._arguments(copy, change, token), client=pipe)
                pipe.execute()

    def held(self, copy: Copy) -> Iterator[tuple[Slot, Trace]]:
        """See `RecentMirror.held`."""
        prefix = f"{self._prefix}{copy.generation}:value:"
        names: list[bytes] = []
        with _answered():
            for name in self._redis.scan_iter(match=f"{prefix}*", count=_SCANNED):
                names.append(name)
                if len(names) == _SCANNED:
                    yield from self._traces(names, prefix)
                    names = []
            yield from self._traces(names, prefix)

    def drop_others(self, copy: Copy) -> None:
        """See `RecentMirror.drop_others`."""
        own = f"{self._prefix}{copy.generation}:".encode()
        with _answered():
            others: list[bytes] = []
            for name in self._redis.scan_iter(match=f"{self._prefix}*", count=_SCANNED):
                if not name.startswith(own):
                    others.append(name)
                if len(others) == _SCANNED:
                    self._redis.unlink(*others)
                    others = []
            if others:
                self._redis.unlink(*others)

    def _traces(self, names: Sequence[bytes], prefix: str) -> Iterator[tuple[Slot, Trace]]:
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                self._trace(keys=[name], client=pipe)
            found = cast("list[list[bytes] | None]", pipe.execute() if names else [])
        for name, trace in zip(names, found, strict=True):
            if trace is not None:
                tenant, agent, key = name.decode().removeprefix(prefix).split(":", 2)
                sequence, digest, expires = trace
                told = Trace(int(sequence), digest.decode(), int(expires))
                yield Slot(TenantId(tenant), agent, key), told

    def _keys(self, copy: Copy, slot: Slot) -> list[str]:
        """Return the names of a value and of its fences; tenant and agent hold no colon."""
        place = f"{slot.tenant}:{slot.agent}:{slot.key}"
        return [f"{self._prefix}{copy.generation}:{kind}:{place}" for kind in ("value", "fence")]

    def _arguments(self, copy: Copy, change: Change, token: str | None) -> dict[str, Any]:
        expires, body = "", b""
        if change.entry is not None:
            expires = str(milliseconds(change.entry.expires))
            body = change.entry.body
        return {
            "keys": self._keys(copy, change.slot),
            "args": [copy.server, token or "", change.sequence, expires, body],
        }


@contextmanager
def _answered() -> Generator[None]:
    try:
        yield
    except NoScriptError as error:  # a pipeline loads its scripts before; the server was restarted
        raise Unavailable("Redis was started anew") from error
    except RedisError as error:
        raise Unavailable(f"Redis did not answer: {str(error)[:200]}") from error


def _instant(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
