"""A Chroma server as the mirror of long-term memory's vectors.

The server alone opens its files: several processes on one directory lose vectors. Tenants share a
few collections: thousands cost gigabytes, and one for all of them is slow to filter.
"""

from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from zlib import crc32

import numpy as np

from dryad.foundation.errors import Unavailable
from dryad.foundation.ids import TenantId
from dryad.memory.index.port import MOST_ROWS, Vector
from dryad.memory.vectors import Floats

if TYPE_CHECKING:
    from chromadb import Collection as Group
    from chromadb.api import ClientAPI

GROUPS = 8
"""Collections of a copy; a tenant is in one of them."""


class ChromaIndex:
    """Copies of the ledger's vectors in a Chroma server, below a name of the installation's own."""

    def __init__(
        self, url: str, *, installation: str, timeout: timedelta = timedelta(seconds=5)
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            url: `http://` or `https://` address.
            installation: The epoch of the installation: two may share a server.
            timeout: Longest wait for one answer.
        """
        self._url = urlsplit(url)
        self._prefix = f"dryad-{installation}"
        self._timeout = timeout.total_seconds()
        self._groups: dict[str, Group] = {}

    def close(self) -> None:
        """Give the connections back."""
        if "_client" in self.__dict__:
            for session in _sessions(self.__dict__.pop("_client")):
                session.close()

    def generations(self) -> set[int]:
        """See `VectorIndex.generations`."""
        with self._answered():
            names = {group.name for group in self._client.list_collections(limit=10_000)}
        numbers = {int(name.split("-")[2]) for name in names if self._owns(name)}
        return {n for n in numbers if all(self._name(n, g) in names for g in range(GROUPS))}

    def create(self, generation: int) -> None:
        """See `VectorIndex.create`."""
        with self._answered():
            for group in range(GROUPS):
                self._client.get_or_create_collection(
                    self._name(generation, group),
                    embedding_function=None,  # its default would download a model
                    configuration={"hnsw": {"space": "cosine", "ef_search": 200}},
                )

    def drop_others(self, generation: int) -> None:
        """See `VectorIndex.drop_others`."""
        with self._answered():
            for group in self._client.list_collections(limit=10_000):
                if self._owns(group.name) and int(group.name.split("-")[2]) != generation:
                    self._client.delete_collection(group.name)
                    self._groups.pop(group.name, None)

    def upsert(self, generation: int, tenant: TenantId, rows: Sequence[Vector]) -> None:
        """See `VectorIndex.upsert`."""
        with self._answered():
            self._group(generation, tenant).upsert(
                ids=[_id(tenant, row.number) for row in rows],
                embeddings=[row.direction for row in rows],
                metadatas=[
                    {
                        "tenant": tenant,
                        "number": row.number,
                        "document": row.document,
                        "category": row.category,
                        "agent": row.agent,
                    }
                    for row in rows
                ],
            )

    def remove(self, generation: int, tenant: TenantId, document: str, *, upto: int) -> None:
        """See `VectorIndex.remove`."""
        where: dict[str, Any] = {
            "$and": [{"tenant": tenant}, {"document": document}, {"number": {"$lte": upto}}]
        }
        with self._answered():
            self._group(generation, tenant).delete(where=where)

    def nearest(
        self,
        generation: int,
        tenant: TenantId,
        direction: Floats,
        *,
        limit: int,
        category: str | None = None,
        agents: Collection[str] | None = None,
    ) -> list[int]:
        """See `VectorIndex.nearest`."""
        where: list[dict[str, Any]] = [{"tenant": tenant}]
        if category is not None:
            where.append({"category": category})
        if agents is not None:
            where.append({"agent": {"$in": sorted(agents)}})
        with self._answered():
            found = self._group(generation, tenant).query(
                query_embeddings=[direction],
                n_results=limit,
                where=where[0] if len(where) == 1 else {"$and": where},
                include=[],
            )
        return [_number(identity) for identity in found["ids"][0]]

    def held(self, generation: int, tenant: TenantId) -> Mapping[int, str]:
        """See `VectorIndex.held`."""
        with self._answered():
            group = self._group(generation, tenant)
            found: dict[int, str] = {}
            while True:
                page = group.get(
                    where={"tenant": tenant},
                    limit=MOST_ROWS,
                    offset=len(found),
                    include=["metadatas"],
                )
                for data in page["metadatas"] or []:
                    found[int(cast("int", data["number"]))] = str(data["document"])
                if len(page["ids"]) < MOST_ROWS:
                    return found

    def rows(self, generation: int, tenant: TenantId, numbers: Collection[int]) -> list[Vector]:
        """See `VectorIndex.rows`."""
        with self._answered():
            found = self._group(generation, tenant).get(
                ids=[_id(tenant, number) for number in sorted(numbers)],
                include=["metadatas", "embeddings"],
            )
        labels, directions = found["metadatas"], found["embeddings"]
        assert labels is not None
        assert directions is not None
        return [
            Vector(
                _number(identity),
                document=str(label.get("document")),
                category=str(label.get("category")),
                agent=str(label.get("agent")),
                direction=np.asarray(direction, np.float32),
            )
            for identity, label, direction in zip(found["ids"], labels, directions, strict=True)
        ]

    def discard(self, generation: int, tenant: TenantId, numbers: Collection[int]) -> None:
        """See `VectorIndex.discard`."""
        with self._answered():
            group = self._group(generation, tenant)
            ids = [_id(tenant, number) for number in sorted(numbers)]
            for start in range(0, len(ids), MOST_ROWS):
                group.delete(ids=ids[start : start + MOST_ROWS])

    @cached_property
    def _client(self) -> "ClientAPI":
        import chromadb  # noqa: PLC0415 - half a second, and only where a server is configured
        from chromadb.config import Settings  # noqa: PLC0415

        secure = self._url.scheme == "https"
        client = chromadb.HttpClient(
            host=self._url.hostname or "127.0.0.1",
            port=self._url.port or (443 if secure else 8000),
            ssl=secure,
            settings=Settings(anonymized_telemetry=False),
        )
        for session in _sessions(client):
            session.timeout = self._timeout
        return client

    def _group(self, generation: int, tenant: TenantId) -> "Group":
        name = self._name(generation, crc32(tenant.encode()) % GROUPS)
        if name not in self._groups:
            self._groups[name] = self._client.get_collection(name, embedding_function=None)
        return self._groups[name]

    def _name(self, generation: int, group: int) -> str:
        return f"{self._prefix}-{generation}-{group}"

    def _owns(self, name: str) -> bool:
        return name.startswith(f"{self._prefix}-") and name.count("-") == 3

    @contextmanager
    def _answered(self) -> Generator[None]:
        """Translate whatever the client raises: it has no base class of errors.

        Raises:
            Unavailable: the server does not answer, or does not know what is asked for.
        """
        try:
            yield
        except Exception as error:
            self._groups.clear()  # made anew, a collection has another id
            raise Unavailable(f"Chroma did not answer: {str(error)[:200]}") from error


def _sessions(client: Any) -> list[Any]:
    """Return the connections of a client: they wait for ever, and nothing public changes that."""
    return [part._server._session for part in (client, client._admin_client)]  # noqa: SLF001


def _id(tenant: TenantId, number: int) -> str:
    return f"{tenant}/{number}"


def _number(identity: str) -> int:
    return int(identity.rpartition("/")[2])
