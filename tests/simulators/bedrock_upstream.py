"""A fake of AWS Bedrock with Stability's models: signatures checked with botocore's own code, each model's
own fields, filters inside 200, exceptions by header.

Prompts that hold ``blocked`` are filtered before any work, ``withheld`` after it, ``broken`` fail in the
model; ``large`` answers a picture of 3 MB.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from PIL import Image

from tests.simulators.json_upstream import JSONUpstream, Reply, Seen, said

REGION = "us-west-2"
MOST_BODY = 25_000_000
TEXT_SIZES = {
    "1:1": (1024, 1024), "16:9": (1344, 768), "21:9": (1536, 640), "2:3": (832, 1216), "3:2": (1216, 832),
    "4:5": (896, 1088), "5:4": (1088, 896), "9:16": (768, 1344), "9:21": (640, 1536),
}  # fmt: skip

_UNIT = (0, 1)
_SEED = (0, 4_294_967_294)
_SIDE = (0, 2000)
_TEXT: dict[str, Any] = {
    "prompt": str,
    "negative_prompt": str,
    "seed": _SEED,
    "aspect_ratio": set(TEXT_SIZES),
}
_EDIT: dict[str, Any] = {
    "image": bytes, "prompt": str, "negative_prompt": str, "seed": _SEED,
    "output_format": {"png", "jpeg", "webp"},
}  # fmt: skip


def _edit(*without: str, **more: Any) -> dict[str, Any]:
    return {**{name: kind for name, kind in _EDIT.items() if name not in without}, **more}


# A field's kind: a type (bytes: a picture in base64), a range, or a set of words.
FIELDS: dict[str, dict[str, Any]] = {
    "stability.stable-image-core-v1:1": {**_TEXT, "output_format": {"png", "jpeg"}},
    "stability.stable-image-ultra-v1:1": {**_TEXT, "output_format": {"png", "jpeg"}},
    "stability.sd3-5-large-v1:0": {
        **_TEXT, "output_format": {"png", "jpeg", "webp"}, "image": bytes, "strength": _UNIT,
        "mode": {"text-to-image", "image-to-image"},
    },
    "us.stability.stable-image-inpaint-v1:0": _edit(mask=bytes, grow_mask=(0, 20)),
    "us.stability.stable-outpaint-v1:0": _edit(
        "negative_prompt", left=_SIDE, right=_SIDE, up=_SIDE, down=_SIDE, creativity=_UNIT
    ),
    "us.stability.stable-image-search-replace-v1:0": _edit(search_prompt=str),
    "us.stability.stable-image-search-recolor-v1:0": _edit(select_prompt=str),
    "us.stability.stable-image-erase-object-v1:0": _edit(
        "prompt", "negative_prompt", mask=bytes, grow_mask=(0, 20)
    ),
    "us.stability.stable-image-remove-background-v1:0": {"image": bytes, "output_format": {"png", "webp"}},
    "us.stability.stable-image-control-sketch-v1:0": _edit(control_strength=_UNIT),
    "us.stability.stable-image-control-structure-v1:0": _edit(control_strength=_UNIT),
    "us.stability.stable-image-style-guide-v1:0": _edit(fidelity=_UNIT, aspect_ratio=set(TEXT_SIZES)),
    "us.stability.stable-style-transfer-v1:0": _edit(
        "image", init_image=bytes, style_image=bytes, composition_fidelity=_UNIT, style_strength=_UNIT,
        change_strength=_UNIT,
    ),
    "us.stability.stable-creative-upscale-v1:0": _edit(creativity=(0.1, 0.5)),
    "us.stability.stable-conservative-upscale-v1:0": _edit(),
    "us.stability.stable-fast-upscale-v1:0": _edit("prompt", "negative_prompt", "seed"),
}  # fmt: skip
OPTIONAL_PROMPT = ("outpaint", "erase", "remove-background", "fast-upscale", "style-transfer")

EXCEPTIONS = {
    "ValidationException": 400,
    "ServiceQuotaExceededException": 400,
    "AccessDeniedException": 403,
    "ResourceNotFoundException": 404,
    "ModelTimeoutException": 408,
    "ModelErrorException": 424,
    "ThrottlingException": 429,
    "ModelNotReadyException": 429,
    "InternalServerException": 500,
    "ServiceUnavailableException": 503,
}


class Refused(Exception):
    def __init__(self, name: str, message: str, status: int | None = None) -> None:
        self.reply = exception(name, message, status)


def exception(name: str, message: str = "Something is wrong.", status: int | None = None) -> Reply:
    """An exception as AWS's REST-JSON protocol sends it."""
    return said(
        status or EXCEPTIONS[name],
        {"message": message},
        x_amzn_errortype=f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/",
        x_amzn_requestid="5f2c-refused",
    )


class BedrockUpstream(JSONUpstream):
    """``key`` is a Bedrock API key; calls may be signed with the three others instead."""

    key = "ABSKQmVkcm9ja0FQSUtleS0xMjM0"
    access_key = "AKIAIMAGEGATETEST001"
    secret_key = "secret/of+the/tests+0123456789abcdefghij"
    token: str | None = None

    def answer(self, call: Seen) -> Reply:
        try:
            self._authenticate(call)
            if call.method == "GET" and call.path == "/foundation-models":
                return said(
                    200, {"modelSummaries": [{"modelId": name, "modelName": name} for name in FIELDS]}
                )
            found = re.fullmatch(r"/model/([^/]+)/invoke", call.target)
            if call.method != "POST" or found is None:
                raise Refused("UnknownOperationException", "Unknown operation.", 404)
            if len(call.body) > MOST_BODY:
                raise Refused("ValidationException", "Request is too large.", 413)
            return self._made(unquote(found[1]), call.fields)
        except Refused as refused:
            return refused.reply

    def _authenticate(self, call: Seen) -> None:
        given = call.headers.get("authorization", "")
        scheme, _, rest = given.partition(" ")
        if scheme == "Bearer":
            if rest != self.key:
                raise Refused("AccessDeniedException", "Authentication failed: invalid API key.")
            return
        if scheme != "AWS4-HMAC-SHA256":
            raise Refused("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        parts = dict(re.findall(r"(Credential|SignedHeaders|Signature)=([^,\s]+)", rest))
        access_key, day, region, service, _ = parts["Credential"].split("/")
        if access_key != self.access_key or call.headers.get("x-amz-security-token") != self.token:
            raise Refused(
                "UnrecognizedClientException", "The security token included in the request is invalid.", 403
            )
        stamp = call.headers["x-amz-date"]
        sent = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if abs(datetime.now(UTC) - sent) > timedelta(minutes=5) or not stamp.startswith(day):
            raise Refused("InvalidSignatureException", "Signature expired.", 403)
        if (region, service) != (REGION, "bedrock"):
            raise Refused("InvalidSignatureException", "Credential should be scoped to a valid region.", 403)
        names = parts["SignedHeaders"].split(";")
        if not {"host", "x-amz-date", *(["x-amz-security-token"] if self.token else [])} <= set(names):
            raise Refused("InvalidSignatureException", "'Host' or 'X-Amz-Date' must be signed.", 403)
        expected, canonical = self._signature(call, names, stamp)
        body = hashlib.sha256(call.body).hexdigest()
        whole = call.headers.get("x-amz-content-sha256", body) == body
        if not whole or not hmac.compare_digest(expected, parts["Signature"]):
            raise Refused(
                "InvalidSignatureException",
                "The request signature we calculated does not match the signature you provided. "
                f"The Canonical String for this request should have been\n'{canonical}'",
                403,
            )

    def _signature(self, call: Seen, names: list[str], stamp: str) -> tuple[str, str]:
        """botocore's, over the request line and the headers as they came."""
        request = AWSRequest(call.method, f"{self.origin}{call.target}", data=call.body)
        for name in names:
            request.headers[name] = call.headers[name]
        request.context["timestamp"] = stamp
        auth = SigV4Auth(Credentials(self.access_key, self.secret_key, self.token), "bedrock", REGION)
        canonical = auth.canonical_request(request)
        return auth.signature(auth.string_to_sign(request, canonical), request), canonical

    def _made(self, model: str, fields: dict[str, Any]) -> Reply:
        if model not in FIELDS:
            raise Refused("ValidationException", "The provided model identifier is invalid.")
        for name, value in fields.items():
            self._check(name, value, FIELDS[model].get(name))
        edits = [value for name, value in fields.items() if name.endswith("image")]
        optional = any(word in model for word in OPTIONAL_PROMPT)
        if not optional and not fields.get("prompt"):
            raise Refused("ValidationException", "required key [prompt] not found")
        self._check_together(model, fields)
        prompt = str(fields.get("prompt", ""))
        for word, reason in (("blocked", "prompt"), ("withheld", "output image")):
            if word in prompt:
                return self._said({"finish_reasons": [f"Filter reason: {reason}"]})
        if "broken" in prompt:
            return self._said({"finish_reasons": ["Inference error"]})
        size = _pixels(edits[0]) if edits else TEXT_SIZES["1:1"]
        if "aspect_ratio" in fields:
            size = TEXT_SIZES[fields["aspect_ratio"]]
        made = self.drawn(
            *size,
            format=str(fields.get("output_format", "png")),
            size=3_000_000 if "large" in prompt else 0,
        )
        seeds = [fields.get("seed") or 1234567]
        return self._said({"seeds": seeds, "finish_reasons": [None], "images": [made]})

    def _said(self, document: dict[str, object]) -> Reply:
        return said(200, document, x_amzn_requestid=f"5f2c-{self._serial}")

    @staticmethod
    def _check(name: str, value: Any, kind: Any) -> None:
        if kind is None:
            raise Refused("ValidationException", f"extraneous key [{name}] is not permitted")
        right = False
        if kind is bytes:
            right = isinstance(value, str) and min(_pixels(value)) >= 64
        elif isinstance(kind, type):
            right = isinstance(value, kind)
        elif isinstance(kind, set):
            right = value in kind
        elif isinstance(value, int | float) and not isinstance(value, bool):
            right = kind[0] <= value <= kind[1]
        if not right:
            raise Refused("ValidationException", f"[{name}] has a value that is not valid")

    @staticmethod
    def _check_together(model: str, fields: dict[str, Any]) -> None:
        if "sd3-5" in model:
            edit = fields.get("mode") == "image-to-image"
            if (
                edit != ("image" in fields)
                or edit != ("strength" in fields)
                or (edit and "aspect_ratio" in fields)
            ):
                raise Refused(
                    "ValidationException", "image-to-image needs image and strength, no aspect_ratio"
                )
            return
        missing = [name for name, kind in FIELDS[model].items() if kind is bytes and name not in fields]
        missing += [
            name for name in ("search_prompt", "select_prompt") if name in FIELDS[model].keys() - fields
        ]
        if missing:
            raise Refused("ValidationException", f"required key [{missing[0]}] not found")
        if "outpaint" in model and not any(fields.get(side) for side in ("left", "right", "up", "down")):
            raise Refused("ValidationException", "at least one of left, right, up, down must be positive")


def _pixels(encoded: str) -> tuple[int, int]:
    try:
        return Image.open(io.BytesIO(base64.b64decode(encoded, validate=True))).size
    except (binascii.Error, OSError):
        raise Refused("ValidationException", "an image is not valid base64 of a picture") from None
