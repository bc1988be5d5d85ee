"""What the schema says of the two routes that read their bodies themselves, so that bad events are answered one by
one."""

from __future__ import annotations

from dataclasses import dataclass

from litestar.openapi.spec import (
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Reference,
    RequestBody,
    Schema,
)  # fmt: skip
from litestar.openapi.spec.enums import OpenAPIFormat
from litestar.openapi.spec.enums import OpenAPIType as T

from matinee.types import EVENT_KINDS

TEXT, NUMBER, INTEGER = Schema(type=T.STRING), Schema(type=T.NUMBER), Schema(type=T.INTEGER)
TEXTS = Schema(type=T.ARRAY, items=TEXT)


def _or_none(schema: Schema) -> Schema:
    return Schema(one_of=[schema, Schema(type=T.NULL)])


def event_schema() -> Schema:
    properties: dict[str, Reference | Schema] = {
        "id": Schema(type=T.STRING, description="Given by the client: sending an event twice changes nothing."),
        "user": TEXT,
        "kind": Schema(type=T.STRING, enum=list(EVENT_KINDS)),
        "item": _or_none(TEXT),
        "at": Schema(one_of=[NUMBER, TEXT, Schema(type=T.NULL)], description="Unix seconds or ISO 8601; none: now."),
        "value": _or_none(Schema(type=T.NUMBER, minimum=0, description="Seconds or share watched, or stars.")),
        "text": _or_none(TEXT), "session": _or_none(TEXT), "slate": _or_none(TEXT),
    }  # fmt: skip
    return Schema(type=T.OBJECT, properties=properties, required=["id", "user", "kind"], additional_properties=False)


def item_schema() -> Schema:
    properties: dict[str, Reference | Schema] = {
        **dict.fromkeys(("id", "title", "description", "language", "collection"), TEXT),
        **dict.fromkeys(("tags", "categories", "creators"), TEXTS),
        **dict.fromkeys(("duration", "released", "expires"), _or_none(NUMBER)),
        **dict.fromkeys(("media", "cover", "series"), _or_none(TEXT)),
        **dict.fromkeys(("season", "episode"), _or_none(INTEGER)),
        "properties": Schema(type=T.OBJECT),
    }
    return Schema(type=T.OBJECT, properties=properties, additional_properties=False)


def _body(schema: Schema, *, required: bool = True) -> RequestBody:
    return RequestBody(content={"application/json": OpenAPIMediaType(schema=schema)}, required=required)


@dataclass
class EventsOperation(Operation):
    def __post_init__(self) -> None:
        event = event_schema()
        self.request_body = _body(Schema(one_of=[event, Schema(type=T.ARRAY, items=event)]))


@dataclass
class ItemOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = _body(item_schema(), required=False)  # nothing said is an item with an id alone


@dataclass
class StreamOperation(Operation):
    def __post_init__(self) -> None:
        content = {
            "application/x-ndjson": OpenAPIMediaType(schema=Schema(type=T.STRING, description="an event a line"))
        }
        self.request_body = RequestBody(content=content, required=True)


@dataclass
class FeedbackOperation(Operation):
    def __post_init__(self) -> None:
        time = Schema(one_of=[NUMBER, TEXT, Schema(type=T.NULL)])
        said = Schema(
            type=T.OBJECT, required=["item"], additional_properties=False,
            properties={
                "item": TEXT, "kind": Schema(type=T.STRING, enum=list(EVENT_KINDS)),
                "value": _or_none(Schema(type=T.NUMBER, minimum=0)), "at": time,
            },
        )  # fmt: skip
        properties: dict[str, Reference | Schema] = {
            "user": TEXT, "shown": TEXTS, "events": Schema(type=T.ARRAY, items=said), "session": _or_none(TEXT),
        }  # fmt: skip
        self.request_body = _body(
            Schema(type=T.OBJECT, properties=properties, required=["user"], additional_properties=False)
        )


@dataclass
class BatchOperation(Operation):
    def __post_init__(self) -> None:
        properties: dict[str, Reference | Schema] = {
            "users": Schema(type=T.ARRAY, items=TEXT, min_items=1, max_items=200),
            "n": Schema(type=T.INTEGER, minimum=1, maximum=200),
            "categories": TEXTS, "collection": TEXT, "where": TEXT, "scenario": TEXT,
            "diversity": _or_none(Schema(type=T.NUMBER, minimum=0, maximum=1)),
        }  # fmt: skip
        self.request_body = _body(
            Schema(type=T.OBJECT, properties=properties, required=["users"], additional_properties=False)
        )


@dataclass
class SessionOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = _body(Schema(type=T.OBJECT, properties={"key": TEXT}, additional_properties=False))


@dataclass
class ProfileOperation(Operation):
    def __post_init__(self) -> None:
        one = Schema(one_of=[TEXT, NUMBER, Schema(type=T.BOOLEAN), TEXTS, Schema(type=T.NULL)])
        usual: dict[str, Reference | Schema] = dict.fromkeys(("country", "language", "gender", "occupation"), TEXT)
        usual["age"] = Schema(one_of=[NUMBER, TEXT])
        self.request_body = _body(Schema(type=T.OBJECT, properties=usual, additional_properties=one), required=False)


@dataclass
class MergeOperation(Operation):
    def __post_init__(self) -> None:
        session = Schema(type=T.STRING, min_length=1, max_length=1024, description="the anonymous session's id")
        self.request_body = _body(
            Schema(type=T.OBJECT, properties={"session": session}, required=["session"], additional_properties=False)
        )


def _file(*types: str) -> RequestBody:
    raw = OpenAPIMediaType(schema=Schema(type=T.STRING, format=OpenAPIFormat.BINARY))
    return RequestBody(content=dict.fromkeys((*types, "application/octet-stream"), raw), required=True)


@dataclass
class PictureOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = _file("image/*")


@dataclass
class SoundOperation(Operation):
    def __post_init__(self) -> None:
        self.request_body = _file("audio/*", "video/*")


AS_ARRAYS = ("Point",)  # structs that are written without the names of their fields
PROBLEMS = {
    400: "The request is wrong; ``detail`` says how to mend it.",
    401: "A key is needed.",
    403: "The key may not do this, or the page is foreign.",
    404: "There is no such thing.",
    409: "It contradicts what is there already.",
    413: "The body is too large.",
    422: "The file is not what it should be, or cannot be read.",
    429: "Too many requests; ``Retry-After`` says when to come back.",
    503: "Too busy; ``Retry-After`` says when to come back.",
    507: "The disk is full; what was acknowledged is kept.",
}


def make_true(schema: OpenAPI) -> None:
    """Says in the schema what really comes: problems as application/problem+json, pictures and media as bytes."""
    shape = Schema(
        type=T.OBJECT,
        properties={"type": TEXT, "title": TEXT, "status": INTEGER, "detail": TEXT, "code": TEXT},
        required=["type", "title", "status", "detail", "code"],
    )
    for name in AS_ARRAYS:
        if name in schema.components.schemas:
            schema.components.schemas[name] = Schema(type=T.ARRAY, description="Its fields, in their order.")
    for path, item in (schema.paths or {}).items():
        for method in ("get", "put", "post", "delete", "head"):
            operation: Operation | None = getattr(item, method)
            if operation is None or operation.responses is None:
                continue
            for status, about in PROBLEMS.items():
                if _fits(status, method, path):
                    content = {"application/problem+json": OpenAPIMediaType(schema=shape)}
                    operation.responses[str(status)] = OpenAPIResponse(description=about, content=content)
            for empty in ("204", "205"):  # nothing comes with these
                if isinstance(told := operation.responses.get(empty), OpenAPIResponse):
                    told.content = None
            if path.endswith(("/cover", "/media")):
                _bytes(operation, path)


def _fits(status: int, method: str, path: str) -> bool:
    writes = method in ("put", "post", "delete")
    return {
        404: "{" in path or path.endswith("/console/map"),
        409: path.endswith("/merge"),
        413: method in ("put", "post"),
        422: "/search/" in path,
        507: writes,
    }.get(status, True)


def _bytes(operation: Operation, path: str) -> None:
    raw = {"application/octet-stream": OpenAPIMediaType(schema=Schema(type=T.STRING, format=OpenAPIFormat.BINARY))}
    told = {"200": "All of it, under its own type."}
    if path.endswith("/media"):
        told |= {"206": "The range that was asked for.", "416": "The range lies outside the file."}
    responses = operation.responses or {}
    for status, about in told.items():
        responses[status] = OpenAPIResponse(description=about, content=None if status == "416" else raw)
