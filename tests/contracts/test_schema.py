"""The OpenAPI schema is true: what the server answers is what the schema says, and the schema names every field."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from matinee.serve.edge import Edge
from matinee.serve.http import application
from matinee.serve.service import Service
from matinee.settings import Library
from matinee.store import open_store
from tests.properties.test_api_machine import NoEncoder
from tests.walks.test_serve import fill


class Api:
    """The application in this process."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(Library.create(folder).database)
        app = application(Service(Library.open(folder), self.store, NoEncoder()))
        self.loop = asyncio.new_event_loop()
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(Edge(app)), base_url="http://localhost")
        self.schema = self.ask("GET", "/schema").json()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.loop.run_until_complete(self.client.request(method, path, **more))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("library")
    fill(folder)
    made = Api(folder)
    yield made
    made.loop.run_until_complete(made.client.aclose())
    made.loop.run_until_complete(made.loop.shutdown_default_executor())
    made.loop.close()
    made.store.close()


def faults(value: Any, schema: dict[str, Any], root: dict[str, Any], place: str = "$") -> list[str]:
    """Where a value is not what a schema says: the part of JSON Schema that ours uses."""
    if ref := schema.get("$ref"):
        return faults(value, root["components"]["schemas"][ref.rsplit("/", 1)[1]], root, place)
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        found = [faults(value, choice, root, place) for choice in choices]
        return [] if any(not f for f in found) else min(found, key=len)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    name = {str: "string", bool: "boolean", int: "integer", float: "number", dict: "object", list: "array"}
    kind = "null" if value is None else name[type(value)]
    if kinds and kind not in kinds and not (kind == "integer" and "number" in kinds):
        return [f"{place}: {kind} instead of {kinds}"]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        wrong = [f"{place}.{k}: missing" for k in schema.get("required", []) if k not in value]
        for key, one in value.items():
            if key in known:
                wrong += faults(one, known[key], root, f"{place}.{key}")
            elif isinstance(more := schema.get("additionalProperties"), dict):
                wrong += faults(one, more, root, f"{place}.{key}")
            elif known:
                wrong.append(f"{place}.{key}: not in the schema")
        return wrong
    if isinstance(value, list) and "items" in schema:
        return [f for i, one in enumerate(value) for f in faults(one, schema["items"], root, f"{place}[{i}]")]
    return []


EVENT = {"id": "sc1", "user": "u1", "item": "i1", "kind": "like"}
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/api/v1/users/u1", {"json": {"country": "CN", "age": 31, "vip": True, "tongues": ["zh", "en"]}}),
    ("GET", "/api/v1/users/u1", {}),
    ("GET", "/api/v1/users/u1/recommendations?n=5&exploration=0.5", {}),
    ("GET", "/api/v1/users/nobody/recommendations?collection=none", {}),
    ("GET", "/api/v1/users/u1/rows?n=5", {}),
    ("GET", "/api/v1/users/u1/events", {}),
    ("GET", "/api/v1/users/u1/export", {}),
    ("GET", "/api/v1/users?n=3", {}),
    ("GET", "/api/v1/items/i3", {}),
    ("GET", "/api/v1/items/i3/similar", {}),
    ("GET", "/api/v1/items/i3/similar?by=sound", {}),
    ("GET", "/api/v1/search?q=jazz", {}),
    ("GET", "/api/v1/collections", {}),
    ("GET", "/api/v1/scenarios?lang=zh", {}),
    ("GET", "/api/v1/health", {}),
    ("POST", "/api/v1/events", {"json": [EVENT, {"bad": 1}]}),
    ("POST", "/api/v1/events/stream", {"content": b'{"id":"s","user":"u1","kind":"search","text":"x"}'}),
    ("POST", "/api/v1/recommendations", {"json": {"users": ["u1", "new"], "n": 2}}),
    ("PUT", "/api/v1/items/fresh", {"json": {"title": "t", "tags": ["a"], "duration": 3, "properties": {"a": [1]}}}),
    ("DELETE", "/api/v1/items/fresh", {}),
    ("DELETE", "/api/v1/users/u9?confirm=u9", {}),
    ("POST", "/api/v1/users/u7/merge", {"json": {"session": "before login"}}),
    ("POST", "/api/v1/users/u8/merge", {"json": {"session": "before login"}}),
    ("POST", "/api/v1/users/u7/merge", {"json": {"session": "u7"}}),
    ("POST", "/api/v1/users/u7/merge", {"json": {"sitting": "s"}}),
    ("POST", "/api/v1/session", {"json": {"key": "abc"}}),
    ("GET", "/api/v1/items/none", {}),
    ("GET", "/api/v1/items/i1/cover", {}),
    ("GET", "/api/v1/users/u1/recommendations?n=0", {}),
    ("GET", "/api/v1/users/u1/recommendations?where=1+%2B", {}),
    ("PUT", "/api/v1/items/fresh", {"json": {"titel": "t"}}),
    ("POST", "/api/v1/events", {"content": b"{"}),
    ("POST", "/api/v1/recommendations", {"json": {}}),
    ("DELETE", "/api/v1/users/none?confirm=none", {}),
    ("DELETE", "/api/v1/users/u1?confirm=other", {}),
    ("GET", "/api/v1/events?n=5", {}),
    ("GET", "/api/v1/events?after=0&kind=like", {}),
    ("GET", "/api/v1/items?n=3&sort=new", {}),
    ("GET", "/api/v1/items?sort=ugly", {}),
    ("GET", "/api/v1/items/i3/captions.vtt", {}),
    ("GET", "/api/v1/items/i3/frames/0", {}),
    ("GET", "/api/v1/users/u1/reasons/i3", {}),
    ("GET", "/api/v1/users/u1/reasons/none", {}),
    ("GET", "/api/v1/users/u1/interests", {}),
    ("DELETE", "/api/v1/users/u1/interests/category:jazz", {}),
    ("PUT", "/api/v1/users/u1/interests/category:jazz", {}),
    ("PUT", "/api/v1/users/u1/interests/jazz", {}),
    ("POST", "/api/v1/slates/none/feedback", {"json": [EVENT]}),
    ("POST", "/api/v1/search/picture", {"content": b"no picture"}),
    ("POST", "/api/v1/search/sound", {"content": b""}),
    ("GET", "/api/v1/console/settings", {}),
    ("GET", "/api/v1/console/refused", {}),
    ("GET", "/api/v1/console/ingest", {}),
    ("GET", "/api/v1/console/events?n=3", {}),
    ("GET", "/api/v1/console/releases", {}),
    ("GET", "/api/v1/console/releases/compare", {}),
    ("POST", "/api/v1/console/releases/use", {"json": {"release": "none"}}),
    ("GET", "/api/v1/console/catalogue", {}),
    ("GET", "/api/v1/console/coverage", {}),
    ("GET", "/api/v1/console/map", {}),
    ("GET", "/api/v1/console/map?space=none", {}),
    ("GET", "/api/v1/console/request?user=u1&n=5", {}),
]


@pytest.mark.parametrize(("method", "path", "more"), REQUESTS)
def test_an_answer_is_what_the_schema_says(api: Api, method: str, path: str, more: dict[str, Any]) -> None:
    answer = api.ask(method, path, **more)
    bare = path.split("?")[0]
    fits = [p for p in api.schema["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", p), bare)]
    told = api.schema["paths"][fits[0]][method.lower()]["responses"]
    assert str(answer.status_code) in told, answer.text
    content = told[str(answer.status_code)].get("content") or {}
    if not answer.content:
        return
    kind = answer.headers["content-type"].split(";")[0]
    assert kind in content
    assert faults(answer.json(), content[kind]["schema"], api.schema) == []


def test_every_route_is_asked(api: Api) -> None:
    asked = {(m, p.split("?")[0]) for m, p, _ in REQUESTS}
    for path, methods in api.schema["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        for method in methods:
            if not path.endswith("/media"):  # bytes: the walk tests look at them
                assert any(m == method.upper() and re.fullmatch(pattern, p) for m, p in asked), (method, path)


def test_the_check_finds_a_lie(api: Api) -> None:
    answer = api.ask("GET", "/api/v1/health").json()
    schema = {"$ref": "#/components/schemas/Health"}
    assert faults(answer, schema, api.schema) == []
    assert faults({**answer, "items": "many"}, schema, api.schema)
    assert faults({**answer, "more": 1}, schema, api.schema)
    assert faults({k: v for k, v in answer.items() if k != "status"}, schema, api.schema)
