"""``/openapi.json``: the routes as an OpenAPI 3.1 document, its fields from the validation's own table."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from litestar.types import HTTPScope, Receive, Send

from gateway.api.errors import not_allowed
from gateway.api.replies import json_headers, reply
from gateway.api.request_ids import mark_of
from gateway.images.fields import BY_OPERATION, FIELDS, PROMPT_LENGTH, Field, Kind
from gateway.images.inputs import URL_LENGTH
from gateway.quota.away import Away
from gateway.quota.terms import Level
from providers.base import Operation

Document = dict[str, object]

_JSON_TYPES = {
    Kind.STRING: "string",
    Kind.INTEGER: "integer",
    Kind.BOOLEAN: "boolean",
    Kind.OBJECT: "object",
}
_ERRORS = {
    "400": "The request is wrong; 'param' says where.",
    "401": "No key, or one that is not valid.",
    "403": "The key may not use the model.",
    "413": "The body, a file or a form field is too large.",
    "429": "A limit is reached; 'x-should-retry' says whether waiting helps.",
    "502": "The provider failed.",
    "503": "Nothing was sent; try again later.",
}
_PICTURE_URL = {
    "type": "object",
    "required": ["image_url"],
    "properties": {"image_url": {"type": "string", "maxLength": URL_LENGTH}},
}


class OpenApi:
    """Serves one document, encoded once."""

    def __init__(self, version: str, public_url: str | None) -> None:
        self._body = msgspec.json.encode(document(version, public_url))

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], mark_of(scope).path, "GET, HEAD")
        await reply(send, 200, json_headers(len(self._body)), self._body)


def document(version: str, public_url: str | None) -> Document:
    return {
        "openapi": "3.1.0",
        "info": {"title": "imagegate", "version": version},
        "servers": [{"url": (public_url or "").rstrip("/") or "/"}],
        "security": [{"bearer": []}, {"apiKey": []}],
        "paths": {
            "/v1/images/generations": {"post": _picture_operation(Operation.GENERATE)},
            "/v1/images/edits": {"post": _picture_operation(Operation.EDIT)},
            "/v1/models": {"get": _read("List the models that this key may use.", "ModelList")},
            "/v1/models/{model}": {
                "get": {
                    **_read("One model.", "Model"),
                    "parameters": [
                        {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
                    ],
                }
            },
            "/v1/usage": {
                "get": {
                    **_read("Where the limits of this key stand.", "Usage"),
                    "parameters": [
                        {
                            "name": "end_user",
                            "in": "query",
                            "schema": {"type": "string"},
                            "description": "Also the limits of this end user of the key.",
                        }
                    ],
                }
            },
            "/livez": {"get": _health("The process answers.")},
            "/readyz": {"get": _health("The gateway can take work.")},
        },
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
            },
            "schemas": _SCHEMAS,
        },
    }


def _picture_operation(operation: Operation) -> Document:
    content: Document = {"application/json": {"schema": _request(operation, form=False)}}
    if operation is Operation.EDIT:
        content["multipart/form-data"] = {"schema": _request(operation, form=True)}
    return {
        "summary": "Make pictures." if operation is Operation.GENERATE else "Edit or combine pictures.",
        "operationId": f"images_{operation.value}",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "Pictures, or with 'stream': true OpenAI's image events.",
                "content": {
                    "application/json": {"schema": _ref("ImagesResponse")},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            **_error_responses(),
        },
    }


def _request(operation: Operation, *, form: bool) -> Document:
    binary = {"type": "string", "format": "binary"}
    properties: Document = {
        "model": {"type": "string"},
        "prompt": {"type": "string", "minLength": 1, "maxLength": PROMPT_LENGTH},
    }
    required = ["model", "prompt"]
    if operation is Operation.EDIT and form:
        properties["image"] = {"oneOf": [binary, {"type": "array", "items": binary, "maxItems": 16}]}
        properties |= {"mask": binary, "markup": binary}
        required.append("image")
    elif operation is Operation.EDIT:
        properties["images"] = {"type": "array", "items": _PICTURE_URL, "minItems": 1, "maxItems": 16}
        properties |= {"mask": _PICTURE_URL, "markup": _PICTURE_URL}
        required.append("images")
    properties |= {name: _property(field) for name, field in BY_OPERATION[operation].items()}
    properties["response_format"] = {"type": "string", "enum": ["b64_json"]}
    return {"type": "object", "required": required, "properties": properties}


def _property(field: Field) -> Document:
    bounds: Mapping[str, object] = {"minimum": field.minimum, "maximum": field.maximum}
    schema: Document = {
        "type": _JSON_TYPES[field.kind],
        **{name: value for name, value in bounds.items() if value is not None},
    }
    if field.choices:
        schema["enum"] = list(field.choices)
    if field.members:
        schema["properties"] = {member.name: _property(member) for member in field.members}
    return schema


def _read(summary: str, schema: str) -> Document:
    return {
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": _ref(schema)}}},
            **_error_responses("401", "429"),
        },
    }


def _health(summary: str) -> Document:
    return {"summary": summary, "security": [], "responses": {"200": {"description": "Yes."}}}


def _error_responses(*statuses: str) -> Document:
    return {
        status: {"description": text, "content": {"application/json": {"schema": _ref("ErrorResponse")}}}
        for status, text in _ERRORS.items()
        if not statuses or status in statuses
    }


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: list[str], **properties: object) -> Document:
    return {"type": "object", "required": required, "properties": properties}


_STRING = {"type": "string"}
_INTEGER = {"type": "integer"}
_NULLABLE = {"type": ["string", "null"]}
_NAMED = _object(["id", "name"], id=_STRING, name=_STRING)
_AMOUNT = {"type": ["string", "integer"], "description": "Dollars are exact text, all else whole numbers."}
_LIMIT: Document = {
    "scope": {"enum": [level.value for level in Level]},
    "model": _NULLABLE,
    "measure": {"enum": ["spend_usd", "images", "requests", "tokens", "concurrent"]},
    "per": _NULLABLE,
    "rolling": {"type": "boolean"},
    "shadow": {"type": "boolean"},
    "limit": _AMOUNT,
    "used": _AMOUNT,
    "held": _AMOUNT,
    "unknown": _AMOUNT,
    "remaining": _AMOUNT,
    "resets_at": _NULLABLE,
}
_SCHEMAS: Document = {
    "ErrorResponse": _object(
        ["error"],
        error=_object(
            ["message", "type", "param", "code"],
            message=_STRING,
            type=_STRING,
            param=_NULLABLE,
            code=_NULLABLE,
        ),
    ),
    "ImagesResponse": _object(
        ["created"],
        created=_INTEGER,
        data={"type": "array", "items": _object([], b64_json=_STRING)},
        size=_STRING,
        usage=_object([], input_tokens=_INTEGER, output_tokens=_INTEGER, total_tokens=_INTEGER),
        **{name: _property(FIELDS[name]) for name in ("background", "output_format", "quality")},
    ),
    "Model": _object(
        ["id", "object", "created", "owned_by"],
        id=_STRING,
        object={"const": "model"},
        created=_INTEGER,
        owned_by=_STRING,
        shutdown_date=_NULLABLE,
    ),
    "Usage": _object(
        ["object", "as_of", "project", "key", "limits"],
        object={"const": "usage"},
        as_of=_STRING,
        project=_NAMED,
        key=_NAMED,
        end_user=_NULLABLE,
        limits={"type": "array", "items": _ref("Limit")},
    ),
    "Limit": _object(
        [*_LIMIT, "alerts", "when_away", "raised_until"],
        **_LIMIT,
        alerts={
            "type": "array",
            "items": _object(
                ["at", "amount", "reached"], at=_STRING, amount=_AMOUNT, reached={"type": "boolean"}
            ),
        },
        when_away={"enum": [mode.value for mode in Away]},
        raised_until=_NULLABLE,
    ),
    "ModelList": _object(
        ["object", "data"], object={"const": "list"}, data={"type": "array", "items": _ref("Model")}
    ),
}
