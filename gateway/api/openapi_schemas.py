"""The shapes that ``/openapi.json`` refers to by name."""

from __future__ import annotations

from gateway.ledger.request_records import Status
from gateway.quota.away import Away
from gateway.quota.terms import Level

Document = dict[str, object]


def ref(name: str) -> Document:
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
_WHOLE = {"type": ["integer", "null"]}
_USD: Document = _object(["usd", "micros"], usd=_STRING, micros=_INTEGER)
_RANGE: Document = {
    **_object(["low", "expected", "high"], low=_USD, expected=_USD, high=_USD),
    "type": ["object", "null"],
}
_ANY_OBJECT = {"type": "object"}
_RECORD: Document = _object(
    ["id", "object", "status", "http_status", "error", "model", "attempts", "cost_usd", "result"],
    id=_STRING,
    object={"const": "image.request"},
    created_at=_INTEGER,
    status={"enum": [status.value for status in Status]},
    http_status=_WHOLE,
    error={"type": ["object", "null"], "properties": {"code": _NULLABLE, "message": _NULLABLE}},
    operation=_STRING,
    model=_STRING,
    n=_INTEGER,
    quality=_NULLABLE,
    output_format=_NULLABLE,
    client_request_id=_NULLABLE,
    idempotency_key=_NULLABLE,
    end_user=_NULLABLE,
    tags={"type": "object"},
    images=_WHOLE,
    size=_object([], requested=_NULLABLE, sent=_NULLABLE, received=_NULLABLE, rule=_NULLABLE),
    adjustments={"type": "array", "items": {"type": "object"}},
    attempts={"type": "array", "items": {"type": "object"}},
    cost_usd=_NULLABLE,
    client_gone={"type": "boolean"},
    timings={"type": "object"},
    result={"type": ["object", "null"]},
)
SCHEMAS: Document = {
    "ImageRequestRecord": _RECORD,
    "ImageRequestRecords": _object(
        ["object", "data", "first_id", "last_id", "has_more"],
        object={"const": "list"},
        data={"type": "array", "items": ref("ImageRequestRecord")},
        first_id=_NULLABLE,
        last_id=_NULLABLE,
        has_more={"type": "boolean"},
    ),
    "DryRun": _object(
        ["estimated", "model", "provider", "total_cost_micros", "currency", "components", "plan"],
        estimated={"const": True},
        model=_STRING,
        provider=_STRING,
        total_cost_micros={
            **_WHOLE,
            "description": "The expected cost in millionths of a dollar, rounded up.",
        },
        currency={"const": "USD"},
        components={
            "type": "array",
            "items": _object(
                ["type", "metric", "quantity", "billable_quantity", "unit_price", "total_cost"],
                type={"enum": ["input", "output", "minimum"]},
                metric=_STRING,
                quantity=_AMOUNT,
                billable_quantity=_AMOUNT,
                unit_price={"type": "string", "description": "Exact dollars."},
                total_cost={"type": "integer", "description": "Millionths of a dollar."},
            ),
        },
        cost_range=_RANGE,
        held={"type": ["object", "null"], "description": "What the call would hold while it runs."},
        limits=_object(
            ["admitted", "error", "applying"],
            admitted={"type": ["boolean", "null"], "description": "Null: nobody can tell now."},
            error={"type": ["object", "null"]},
            applying={"type": "array", "items": _ANY_OBJECT},
        ),
        plan={"type": "array", "items": _object(["provider", "model", "request", "cost"])},
        excluded={"type": "array", "items": _object(["provider", "model", "capability", "reason"])},
        routing=_object(
            ["rule", "passed", "select", "order", "left_out"],
            rule=_NULLABLE,
            passed={"type": "array", "items": _object(["rule", "unmet"])},
            select=_STRING,
            order={"type": "array", "items": _object(["provider", "model", "place", "state"])},
            left_out={"type": "array", "items": _object(["provider", "model", "because"])},
        ),
    ),
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
        data={"type": "array", "items": _object([], b64_json=_STRING, url=_STRING)},
        size=_STRING,
        usage=_object([], input_tokens=_INTEGER, output_tokens=_INTEGER, total_tokens=_INTEGER),
        **dict.fromkeys(("background", "output_format", "quality"), _STRING),
    ),
    "Model": _object(
        ["id", "object", "created", "owned_by"],
        id=_STRING,
        object={"const": "model"},
        created=_INTEGER,
        owned_by=_STRING,
        shutdown_date=_NULLABLE,
        schema={**_ANY_OBJECT, "description": "JSON Schema (2020-12) of the body, by operation."},
        defaults=_ANY_OBJECT,
        targets={"type": "array", "items": _ANY_OBJECT},
    ),
    "Usage": _object(
        ["object", "as_of", "project", "key", "limits"],
        object={"const": "usage"},
        as_of=_STRING,
        project=_NAMED,
        key=_NAMED,
        end_user=_NULLABLE,
        limits={"type": "array", "items": ref("Limit")},
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
        ["object", "data"], object={"const": "list"}, data={"type": "array", "items": ref("Model")}
    ),
}
