"""A fake of Google's image models: the Gemini API (a key) and Google Cloud (bearer tokens, Imagen's wire and
a token service), with their strict schemas, their safety signals inside 200 and their quota errors.

What a prompt holds makes it misbehave: see :data:`SIGNALS` and :meth:`GoogleUpstream._candidates`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.simulators.json_upstream import JSONUpstream, Reply, Seen, said

TOKEN = "ya29.sim-0123456789abcdef"
PROJECT = "sim-project"
TEN = {
    "1:1": (1024, 1024), "2:3": (848, 1264), "3:2": (1264, 848), "3:4": (896, 1200), "4:3": (1200, 896),
    "4:5": (928, 1152), "5:4": (1152, 928), "9:16": (768, 1376), "16:9": (1376, 768), "21:9": (1584, 672),
}  # fmt: skip
FOURTEEN = {**TEN, "1:4": (512, 2048), "4:1": (2048, 512), "1:8": (384, 3072), "8:1": (3072, 384)}
OLD = {
    "1:1": (1024, 1024), "2:3": (832, 1248), "3:2": (1248, 832), "3:4": (864, 1184), "4:3": (1184, 864),
    "4:5": (896, 1152), "5:4": (1152, 896), "9:16": (768, 1344), "16:9": (1344, 768), "21:9": (1536, 672),
}  # fmt: skip
SCALE = {"512": 0.5, "1K": 1, "2K": 2, "4K": 4}

MODELS: dict[str, dict[str, Any]] = {
    "gemini-nano-banana-2.1": {
        "ratios": FOURTEEN, "tokens": {"1K": 1120, "2K": 1680, "4K": 3760}, "input": 1120,
    },
    "gemini-3.1-flash-image": {
        "ratios": FOURTEEN, "tokens": {"512": 747, "1K": 1120, "2K": 1680, "4K": 2520}, "input": 1120,
    },
    "gemini-3.1-flash-lite-image": {"ratios": FOURTEEN, "tokens": {"1K": 1120}, "input": 1120},
    "gemini-3-pro-image": {"ratios": TEN, "tokens": {"1K": 1120, "2K": 1120, "4K": 2000}, "input": 560},
    "gemini-2.5-flash-image": {"ratios": OLD, "tokens": {}, "input": 1290},
}  # fmt: skip
LEVELS = {
    "gemini-nano-banana-2.1": ("minimal", "medium", "high"),
    "gemini-3.1-flash-image": ("minimal", "high"),
    "gemini-3.1-flash-lite-image": ("minimal", "high"),
}
IMAGEN = {
    "1:1": (1024, 1024),
    "3:4": (896, 1280),
    "4:3": (1280, 896),
    "9:16": (768, 1408),
    "16:9": (1408, 768),
}

SIGNALS = {
    "image_safety": "IMAGE_SAFETY",
    "recitation": "IMAGE_RECITATION",
    "no_image": "NO_IMAGE",
    "image_other": "IMAGE_OTHER",
    "disabled": "PUP_LIMITED_DISABLED",
}
"""A word of the prompt → the reason with which its candidate finishes, without a picture."""

_CATEGORIES = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
_THRESHOLDS = ("BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF")
_GEMINI = re.compile(r"/v1beta/models/([^/:]+):generateContent")
_CLOUD = re.compile(rf"/v1/projects/{PROJECT}/locations/([^/]+)/publishers/google/models/([^/:]+):(\w+)")
_HELP = {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "Learn more", "url": "x"}]}


class Refused(Exception):
    def __init__(self, reply: Reply) -> None:
        self.reply = reply


def fault(http: int, status: str, message: str, details: Iterable[Mapping[str, object]] = ()) -> Reply:
    """Google's envelope."""
    error: dict[str, object] = {"code": http, "message": message, "status": status}
    listed = list(details)
    if listed:
        error["details"] = listed
    return said(http, {"error": error})


def quota(quota_id: str, value: str = "10", delay: str | None = None) -> Reply:
    """A 429, as full as they come."""
    failure = {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": "generate_requests", "quotaId": quota_id, "quotaValue": value}],
    }
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    details: list[Mapping[str, object]] = [_HELP, failure, *([retry] if delay else [])]
    return fault(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)


def invalid(message: str) -> Refused:
    return Refused(fault(400, "INVALID_ARGUMENT", message))


def only(value: object, names: Iterable[str], where: str) -> dict[str, Any]:
    """The object, which has these fields and no other."""
    if not isinstance(value, dict):
        raise invalid(f"Invalid value at '{where}'.")
    for name in value.keys() - set(names):
        raise invalid(
            f"Invalid JSON payload received. Unknown name \"{name}\" at '{where}': Cannot find field."
        )
    return value


class GoogleUpstream(JSONUpstream):
    """``pad`` is the least size in bytes of the pictures that it draws."""

    key = "AIzaSim-0123456789abcdefghijklmnopqrstuv"

    def __init__(self, *, pad: int = 0) -> None:
        super().__init__()
        self.pad = pad
        self.tokens = {TOKEN}
        self._private = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def base_url(self) -> str:
        """Of the Gemini API."""
        return f"{self.origin}/v1beta"

    def service_account(self) -> str:
        """A key file whose tokens this fake gives and takes."""
        pem = self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "sim",
                "private_key": pem.decode(),
                "client_email": f"images@{PROJECT}.iam.gserviceaccount.com",
                "client_id": "1",
                "token_uri": f"{self.origin}/token",
            }
        )

    def answer(self, call: Seen) -> Reply:
        try:
            if call.path == "/token":
                return self._token(call)
            if call.path.startswith("/v1beta/"):
                self._keyed(call)
                return self._gemini(call)
            if call.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
                raise Refused(
                    fault(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
                )
            return self._cloud(call)
        except Refused as refused:
            return refused.reply

    # -- who calls

    def _keyed(self, call: Seen) -> None:
        shown = call.headers.get("x-goog-api-key")
        if shown is None:
            message = "Method doesn't allow unregistered callers (callers without established identity)."
            raise Refused(fault(403, "PERMISSION_DENIED", message))
        if shown != self.key:
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
            message = "API key not valid. Please pass a valid API key."
            raise Refused(fault(400, "INVALID_ARGUMENT", message, [reason]))

    def _token(self, call: Seen) -> Reply:
        """``urn:ietf:params:oauth:grant-type:jwt-bearer``: a token for an assertion that is signed right."""
        form = {name: values[0] for name, values in parse_qs(call.body.decode()).items()}
        signed, _, signature = form["assertion"].rpartition(".")
        claims = json.loads(_unpadded(signed.split(".")[1]))
        try:
            self._private.public_key().verify(
                _unpadded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            return said(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        assert claims["aud"].endswith("/token")
        assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
        token = f"ya29.issued-{len(self.tokens):06d}-abcdef"
        self.tokens.add(token)
        return said(200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"})

    # -- what is asked

    def _gemini(self, call: Seen) -> Reply:
        if call.method == "GET" and call.path == "/v1beta/models":
            methods = ["generateContent", "countTokens"]
            models = [{"name": f"models/{name}", "supportedGenerationMethods": methods} for name in MODELS]
            return said(200, {"models": models})
        found = _GEMINI.fullmatch(call.path)
        if call.method != "POST" or found is None or found[1] not in MODELS:
            name = found[1] if found else call.path
            message = f"models/{name} is not found for API version v1beta, or is not supported."
            raise Refused(fault(404, "NOT_FOUND", message))
        return self._generated(call, found[1], cloud=False)

    def _cloud(self, call: Seen) -> Reply:
        if call.method == "GET" and call.path.startswith(f"/v1/projects/{PROJECT}/locations/"):
            return said(200, {"name": call.path.removeprefix("/v1/"), "locationId": "global"})
        found = _CLOUD.fullmatch(call.path)
        if found is not None and found[3] == "predict" and found[2].startswith("imagen-"):
            return self._predicted(call, edit="capability" in found[2])
        if found is None or found[3] != "generateContent" or found[2] not in MODELS:
            raise Refused(
                fault(404, "NOT_FOUND", "Publisher Model was not found or your project has no access.")
            )
        return self._generated(call, found[2], cloud=True)

    def _generated(self, call: Seen, model: str, *, cloud: bool) -> Reply:
        body = only(call.fields, ("contents", "generationConfig", "safetySettings"), "")
        if len(body.get("contents", [])) != 1:
            raise invalid("contents is not specified")
        content = only(body["contents"][0], ("role", "parts"), "contents[0]")
        if content.get("role") != "user":
            raise invalid("Please use a valid role: user, model.")
        prompt, pictures = _parts(content.get("parts"))
        if len(pictures) > 14:
            raise invalid("Too many images.")
        for setting in body.get("safetySettings", []):
            only(setting, ("category", "threshold"), "safety_settings")
            known = _CATEGORIES + (tuple(f"IMAGE_{name}" for name in ("HATE", "HARASSMENT")) if cloud else ())
            if setting["category"].removeprefix("HARM_CATEGORY_") not in known:
                raise invalid("Invalid value at 'safety_settings[0].category'")
            if setting["threshold"] not in _THRESHOLDS:
                raise invalid("Invalid value at 'safety_settings[0].threshold'")
        size, tier, kind = _config(body.get("generationConfig", {}), model, cloud=cloud)
        return self._candidates(prompt, len(pictures), model, size, tier, kind, cloud=cloud)

    def _candidates(
        self,
        prompt: str,
        pictures: int,
        model: str,
        size: tuple[int, int],
        tier: str,
        kind: str,
        *,
        cloud: bool,
    ) -> Reply:
        tokens_in = [{"modality": "TEXT", "tokenCount": len(prompt) // 4 + 1}]
        if pictures:
            tokens_in.append({"modality": "IMAGE", "tokenCount": pictures * MODELS[model]["input"]})
        into = sum(int(entry["tokenCount"]) for entry in tokens_in)  # type: ignore[call-overload]
        meta: dict[str, object] = {"promptTokenCount": into, "totalTokenCount": into}
        rest = {"usageMetadata": meta, "modelVersion": model, "responseId": f"resp-{self._serial}"}
        if "prohibited" in prompt:
            return said(200, {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **rest})
        meta["promptTokensDetails"] = tokens_in
        for word, reason in SIGNALS.items():
            if word in prompt:
                ratings = [{"category": "HARM_CATEGORY_SEXUALLY_EXPLICIT", "blocked": True}]
                empty: dict[str, object] = {
                    "finishReason": reason,
                    "finishMessage": "Unable to show the generated image.",
                    "index": 0,
                }
                if word == "image_safety":
                    empty["safetyRatings"] = ratings
                return said(200, {"candidates": [empty], **rest})
        if "refuse" in prompt:
            words = {"role": "model", "parts": [{"text": f"I cannot draw {prompt}."}]}
            return said(200, {"candidates": [{"content": words, "finishReason": "STOP", "index": 0}], **rest})
        mime = "image/jpeg" if kind == "jpeg" else "image/png"

        def drawn(size: tuple[int, int]) -> dict[str, object]:
            return {"inlineData": {"mimeType": mime, "data": self.drawn(*size, format=kind, size=self.pad)}}

        parts: list[dict[str, object]] = [{"text": "Here it is."}]
        if "draft" in prompt:
            parts.append({**drawn((256, 256)), "thought": True})
        if "twice" in prompt:
            parts.append(drawn((512, 512)))
        parts.append({**drawn(size), "thoughtSignature": "c2ln" * 5000})
        if "afterthought" in prompt:
            parts.append({**drawn((256, 256)), "thought": True})
        image = MODELS[model]["tokens"].get(tier, 1290)
        thoughts = 175 if model in LEVELS or "pro" in model else 0
        meta["candidatesTokenCount"] = image + 10
        meta["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": image}]
        meta["thoughtsTokenCount"] = thoughts
        meta["totalTokenCount"] = into + image + 10 + thoughts
        if cloud:
            meta["trafficType"] = "ON_DEMAND"
        if "untold" in prompt:
            del rest["usageMetadata"]
        if "undetailed" in prompt:
            del meta["candidatesTokensDetails"], meta["promptTokensDetails"]
        content = {"role": "model", "parts": parts}
        return said(200, {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], **rest})

    def _predicted(self, call: Seen, *, edit: bool) -> Reply:
        body = only(call.fields, ("instances", "parameters"), "")
        (instance,) = body["instances"]
        only(instance, ("prompt", "referenceImages") if edit else ("prompt",), "instances[0]")
        known = "sampleCount aspectRatio sampleImageSize negativePrompt guidanceScale personGeneration " \
            "outputOptions includeRaiReason"  # fmt: skip
        parameters = only(body["parameters"], (*known.split(), *(["editMode"] if edit else [])), "parameters")
        if not 1 <= parameters["sampleCount"] <= 4 or parameters.get("aspectRatio", "1:1") not in IMAGEN:
            raise invalid("Image generation failed with the following error: invalid parameter.")
        if edit:
            _references(instance["referenceImages"], parameters["editMode"])
        prompt = instance["prompt"]
        if "prohibited" in prompt:
            message = "Image generation failed with the following error: The prompt could not be submitted. "
            raise invalid(message + "Support codes: 58061214")
        size = IMAGEN[parameters.get("aspectRatio", "1:1")]
        scale = {"1K": 1, "2K": 2}[parameters.get("sampleImageSize", "1K")]
        mime = parameters.get("outputOptions", {}).get("mimeType", "image/png")
        slots: list[dict[str, object]] = []
        for number in range(parameters["sampleCount"]):
            if "filtered" in prompt or ("partly" in prompt and number == 0):
                reason = "Your image was filtered by policy. Support codes: 56562880"
                slots.append({"raiFilteredReason": reason})
                continue
            data = self.drawn(size[0] * scale, size[1] * scale, format=mime[6:], size=self.pad)
            slots.append({"mimeType": mime, "bytesBase64Encoded": data, "prompt": "a longer prompt"})
        return said(200, {"predictions": slots})


def _parts(parts: object) -> tuple[str, list[str]]:
    """The text of a call and the media types of its pictures."""
    texts, pictures = [], []
    if not isinstance(parts, list) or not parts:
        raise invalid("contents.parts must not be empty.")
    for part in parts:
        if "text" in only(part, ("text", "inlineData"), "contents[0].parts"):
            texts.append(part["text"])
            continue
        inline = only(part.get("inlineData"), ("mimeType", "data"), "contents[0].parts[0].inline_data")
        if inline["mimeType"] not in [f"image/{name}" for name in ("png", "jpeg", "webp", "heic", "heif")]:
            raise invalid(f"Unsupported MIME type: {inline['mimeType']}")
        try:
            base64.b64decode(inline["data"], validate=True)
        except binascii.Error:
            raise invalid("Base64 decoding failed.") from None
        pictures.append(inline["mimeType"])
    return " ".join(texts), pictures


def _config(value: object, model: str, *, cloud: bool) -> tuple[tuple[int, int], str, str]:
    """Pixels, tier and format."""
    known = ("responseModalities", "imageConfig", "thinkingConfig", "seed")
    config = only(value, known, "generation_config")
    if "IMAGE" not in config.get("responseModalities", []):
        raise invalid("The requested combination of response modalities is not supported by the model.")
    extras = ("personGeneration", "imageOutputOptions") if cloud else ()
    image = only(
        config.get("imageConfig", {}), ("aspectRatio", "imageSize", *extras), "generation_config.image_config"
    )
    facts = MODELS[model]
    ratios = {**facts["ratios"], **({"9:21": (672, 1584)} if cloud and "3.1-flash-image" in model else {})}
    ratio = image.get("aspectRatio", "1:1")
    if ratio not in ratios:
        raise invalid(f"aspect_ratio must be one of {sorted(ratios)}")
    tier = image.get("imageSize", "1K")
    if "imageSize" in image and tier not in facts["tokens"]:
        raise invalid(f"Unsupported image size: {tier}")
    level = only(config.get("thinkingConfig", {}), ("thinkingLevel",), "thinking_config").get("thinkingLevel")
    if level is not None and level not in LEVELS.get(model, ()):
        raise invalid("Thinking level is not supported for this model.")
    if image.get("personGeneration", "ALLOW_ALL") not in ("ALLOW_ALL", "ALLOW_ADULT", "ALLOW_NONE"):
        raise invalid("Invalid value at 'generation_config.image_config.person_generation'")
    options = only(image.get("imageOutputOptions", {}), ("mimeType", "compressionQuality"), "output_options")
    kind = options.get("mimeType", "image/jpeg" if "pro" in model else "image/png").removeprefix("image/")
    if kind not in ("png", "jpeg"):
        raise invalid("Unsupported output MIME type.")
    width, height = ratios[ratio]
    return (int(width * SCALE[tier]), int(height * SCALE[tier])), tier, kind


def _references(listed: list[dict[str, Any]], mode: str) -> None:
    kinds = [entry["referenceType"] for entry in listed]
    masked = kinds.count("REFERENCE_TYPE_MASK")
    if mode == "EDIT_MODE_INPAINT_INSERTION" and masked != 1:
        raise invalid("A mask is needed.")
    for number, entry in enumerate(listed, 1):
        only(
            entry,
            ("referenceType", "referenceId", "referenceImage", "maskImageConfig"),
            "instances[0].reference_images",
        )
        if entry["referenceId"] != number or not base64.b64decode(
            entry["referenceImage"]["bytesBase64Encoded"], validate=True
        ):
            raise invalid("Invalid reference image.")


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
