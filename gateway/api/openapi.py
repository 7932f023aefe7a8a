"""``/openapi.json``: the routes as an OpenAPI 3.1 document, its fields from the validation's own table."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from litestar.types import HTTPScope, Receive, Send

from gateway.api.errors import not_allowed
from gateway.api.openapi_schemas import SCHEMAS, Document, ref
from gateway.api.replies import json_headers, reply
from gateway.api.request_ids import mark_of
from gateway.images.field_schema import PICTURE, field_schema
from gateway.images.fields import KNOWN, PROMPT_LENGTH
from providers.base import Operation

_RECORD = "ImageRequestRecord"
_ERRORS = {
    "400": "The request is wrong; 'param' says where.",
    "401": "No key, or one that is not valid.",
    "403": "The key may not use the model.",
    "410": "The answer under this Idempotency-Key is no longer kept.",
    "413": "The body, a file or a form field is too large.",
    "422": "The Idempotency-Key was used for another request.",
    "429": "A limit is reached; 'x-should-retry' says whether waiting helps.",
    "502": "The provider failed.",
    "503": "Nothing was sent; try again later.",
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
            "/v1/images/requests": {
                "get": {
                    **_read("This key's requests, newest first.", "ImageRequestRecords"),
                    "parameters": _words(
                        limit="1 to 100.",
                        after="The id of the request before the first.",
                        order="desc or asc.",
                        client_request_id="Your own id.",
                        idempotency_key="As long as it is known.",
                        status="running, succeeded, failed or unknown.",
                        model="The name that was asked for.",
                        since="ISO 8601, or seconds since 1970.",
                    ),
                }
            },
            "/v1/images/requests/{id}": {
                "get": {
                    **_read("What became of a request, and its answer while that is kept.", _RECORD),
                    "parameters": [
                        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
                    ],
                }
            },
            "/v1/models": {"get": _read("List the models that this key may use.", "ModelList")},
            "/v1/models/{model}": {
                "get": {
                    **_read("One model.", "Model"),
                    "parameters": [
                        {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}},
                        _switch("schema", "Also what its requests may hold, its sizing and its prices."),
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
            "schemas": SCHEMAS,
        },
    }


def _picture_operation(operation: Operation) -> Document:
    content: Document = {"application/json": {"schema": _request(operation, form=False)}}
    if operation is Operation.EDIT:
        content["multipart/form-data"] = {"schema": _request(operation, form=True)}
    return {
        "summary": "Make pictures." if operation is Operation.GENERATE else "Edit or combine pictures.",
        "operationId": f"images_{operation.value}",
        "parameters": _PICTURE_PARAMETERS,
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "Pictures; with 'stream': true OpenAI's image events; with 'dryRun=true' what "
                "the call would be and cost.",
                "headers": _PICTURE_HEADERS,
                "content": {
                    "application/json": {"schema": {"anyOf": [ref("ImagesResponse"), ref("DryRun")]}},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            "202": {
                "description": "'Prefer: respond-async': the call was sent; 'location' names its record.",
                "content": {"application/json": {"schema": ref(_RECORD)}},
            },
            **_error_responses(),
        },
    }


def _words(**meanings: str) -> list[Document]:
    """Words of a query."""
    return [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": meaning}
        for name, meaning in meanings.items()
    ]


def _switch(name: str, description: str) -> Document:
    return {"name": name, "in": "query", "schema": {"type": "boolean"}, "description": description}


def _header(name: str, description: str, values: Sequence[str] = ()) -> Document:
    schema: Document = {"type": "string", **({"enum": list(values)} if values else {})}
    return {"name": name, "in": "header", "schema": schema, "description": description}


_LATER = ("respond-async",)
_PICTURE_PARAMETERS = [
    _switch("dryRun", "Nothing is called, held or written: the answer says what would be."),
    _header(
        "x-imagegate-size-mode",
        "What is not served exactly: changed by the published rule and reported, or refused.",
        ("snap", "strict"),
    ),
    _header("x-imagegate-report", "Where it is told how the call was served.", ("headers", "body")),
    _header("x-client-request-id", "Your own id for the request."),
    _header("Idempotency-Key", "The same key gets the same answer, made and paid once (24 hours)."),
    _header("Prefer", "Answered with 202 and the request's record as soon as the call was sent.", _LATER),
    _header("x-imagegate-tags", "Tags for reports, as the configuration allows them: team=red, run=7."),
]
_PICTURE_HEADERS: Document = {
    name: {"schema": {"type": "string"}, "description": description}
    for name, description in {
        "x-request-id": "Names the request in records and logs.",
        "x-imagegate-provider": "Who made the pictures.",
        "x-imagegate-model": "The provider's own model.",
        "x-imagegate-attempts": "How many calls it took.",
        "x-imagegate-cost-usd": "What it cost, in exact dollars; absent where that is not known.",
        "x-imagegate-size": "What size was requested, sent and received, and by which rule (RFC 9651).",
        "x-imagegate-adjustments": "Every other change (RFC 9651).",
        "x-imagegate-partial": "How many of the pictures that were asked for came, such as 3/4.",
        "x-imagegate-replayed": "Another call made and paid for this answer.",
    }.items()
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
        properties["images"] = {"type": "array", "items": PICTURE, "minItems": 1, "maxItems": 16}
        properties |= {"mask": PICTURE, "markup": PICTURE}
        required.append("images")
    properties |= {
        field.name: field_schema(field)
        for field in KNOWN.values()
        if operation is Operation.EDIT or not field.edits_only
    }
    properties["response_format"] = {"type": "string", "enum": ["b64_json", "url"]}
    return {"type": "object", "required": required, "properties": properties}


def _read(summary: str, schema: str) -> Document:
    return {
        "summary": summary,
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": ref(schema)}}},
            **_error_responses("401", "429"),
        },
    }


def _health(summary: str) -> Document:
    return {"summary": summary, "security": [], "responses": {"200": {"description": "Yes."}}}


def _error_responses(*statuses: str) -> Document:
    return {
        status: {"description": text, "content": {"application/json": {"schema": ref("ErrorResponse")}}}
        for status, text in _ERRORS.items()
        if not statuses or status in statuses
    }
