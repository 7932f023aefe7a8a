"""One account in one region: ``POST /model/ID/invoke``, signed or with a Bedrock API key."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from urllib.parse import quote, urlsplit

import msgspec

from config.accounts.bedrock import BedrockProvider
from providers.account import Account, Resolve
from providers.base import (
    Certainty,
    ImageRequest,
    ImageResult,
    Kind,
    Operation,
    Probe,
    ProviderError,
)
from providers.bedrock import errors
from providers.bedrock.models import Shape, shape_of
from providers.bedrock.signing import Keys, Signer
from providers.bfl_moderation import moderated
from providers.credential import NO_CREDENTIAL, bearer
from providers.http import Reply, UpstreamClient
from providers.json_body import bare_base64, json_body, weight_of
from providers.openai_errors import request_id
from providers.scrub import Scrubber
from providers.splicing import Path, as_openai
from providers.unsendable import unsendable
from providers.upload import Upload

MOST_BODY = 25_000_000
"""Bytes of a request's body, at most."""

_SIGNING_SECONDS = 20.0
"""Finding credentials may take several tries at other machines."""

_INPUT = ("Filter reason: prompt", "Filter reason: input image")


class _Summary(msgspec.Struct, rename="camel"):
    model_id: str


class _Models(msgspec.Struct, rename="camel"):
    model_summaries: list[_Summary] = []


class Bedrock(Account):
    """Its answers hold neither token counts nor costs: a picture has a price."""

    type = "bedrock"

    def __init__(
        self, name: str, settings: BedrockProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        """Raises :class:`providers.extras.ExtraMissing` where calls are to be signed and cannot be."""
        base_url = settings.base_url or f"https://bedrock-runtime.{settings.region}.amazonaws.com"
        self._signer: Signer | None = None
        fixed = NO_CREDENTIAL
        if settings.api_key is not None:
            fixed = bearer(resolve(settings.api_key))
        else:
            keys = _keys(settings, resolve)
            self._signer = Signer(name, settings.region, keys, settings.profile)
        super().__init__(name, client, base_url, fixed)
        self._secrets = fixed.secrets

    def url(self, operation: Operation, model: str) -> str:
        # A colon may stand in a path, and the transport writes it so: what is signed must be what is sent.
        return f"{self.base_url}/model/{quote(model, safe=':')}/invoke"

    def models_url(self) -> str:
        """``ListFoundationModels``, which the control plane beside the runtime answers for free."""
        parts = urlsplit(self.base_url)
        host = parts.netloc.replace("bedrock-runtime", "bedrock", 1)
        return f"{parts.scheme}://{host}{parts.path}/foundation-models"

    async def sign(
        self, method: str, url: str, headers: Mapping[str, str], upload: Upload | None
    ) -> Mapping[str, str]:
        if self._signer is None:
            return headers
        try:
            async with asyncio.timeout(_SIGNING_SECONDS):
                signed = await asyncio.to_thread(self._signer.sign, method, url, headers, upload)
        except TimeoutError:
            raise ProviderError(
                Kind.AUTH,
                Certainty.NOT_SENT,
                f"The call to provider '{self.name}' failed: AWS credentials could not be had in time.",
            ) from None
        if signed.secrets != self._secrets:
            self._secrets, self._scrub = signed.secrets, Scrubber(signed.secrets)
        return signed.headers

    async def body(self, request: ImageRequest) -> Upload:
        shape = shape_of(request.model)
        given = {name: value for name, value in request.params.items() if value is not None}
        fields: dict[str, object] = {"prompt": request.prompt} if shape.prompt else {}
        if request.operation is Operation.EDIT:
            if len(request.images) > len(shape.pictures):
                raise _invalid(f"This model takes {len(shape.pictures)} input pictures at most.", "image")
            fields |= {**shape.unless_given, **given, **shape.fixed, **_pictures(request, shape)}
        else:
            fields |= given
        upload = await json_body(fields, weight=weight_of(request.images))
        if upload.length > MOST_BODY:
            raise _invalid(
                f"With its pictures in base64 the request is {upload.length} bytes, and Bedrock takes "
                f"{MOST_BODY} at most. Send smaller pictures.",
                "image",
            )
        return upload

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        return errors.refusal(status, headers, body, provider=self.name, scrub=self._scrub, prompt=prompt)

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        self.content_type(reply, "application/json")
        number = request_id(reply.headers)
        rest = partial(_rest, provider=self.name, number=number)
        return ImageResult(
            body=as_openai(reply.body, _is_picture, rest, provider=self.name),
            upstream_request_id=number,
            scrub=self._scrub,
            aclose=reply.aclose,
        )

    def probed(self, status: int, body: bytes) -> Probe:
        if status != 200:
            return Probe(reachable=True, detail=f"HTTP {status} for the list of models")
        try:
            summaries = msgspec.json.decode(body, type=_Models).model_summaries
        except msgspec.DecodeError:
            return Probe(reachable=True, detail="the list of models is not in AWS's form; check base_url")
        return Probe(reachable=True, key_accepted=True, models=tuple(each.model_id for each in summaries))


def _keys(settings: BedrockProvider, resolve: Resolve) -> Keys | None:
    if settings.access_key_id is None or settings.secret_access_key is None:
        return None
    token = None if settings.session_token is None else resolve(settings.session_token).reveal()
    return Keys(resolve(settings.access_key_id).reveal(), resolve(settings.secret_access_key).reveal(), token)


def _pictures(request: ImageRequest, shape: Shape) -> dict[str, object]:
    """Fewer pictures than the model has fields are its own to refuse."""
    given = dict(zip(shape.pictures, request.images, strict=False))
    if shape.mask and request.mask is not None:
        given["mask"] = request.mask
    return {name: bare_base64(picture) for name, picture in given.items()}


def _is_picture(path: Path) -> bool:
    return len(path) == 2 and path[0] == "images"


def _rest(
    document: Mapping[str, object], pictures: int, *, provider: str, number: str | None
) -> Mapping[str, object]:
    """Nothing is added to the pictures. A filter, or a model that failed, is told in a 200."""
    reasons = document.get("finish_reasons")
    told = [each for each in reasons if isinstance(each, str)] if isinstance(reasons, list) else []
    if pictures and not told:
        return {}
    for reason in told:
        stage = "input" if reason in _INPUT else "output"
        if reason.startswith("Filter reason"):
            raise ProviderError(
                Kind.MODERATION,
                Certainty.REJECTED if stage == "input" else Certainty.ANSWERED,
                f"Provider '{provider}' refused the request for its content: {reason[:64]}.",
                status=200,
                code="content_filter",
                details={"moderation_stage": stage, "categories": []},
                upstream_request_id=number,
            )
        raise ProviderError(
            Kind.SERVER,
            Certainty.FAILED,
            f"Provider '{provider}' failed: {reason[:64]}.",
            status=500,
            upstream_request_id=number,
        )
    refused = moderated(document, provider=provider, number=number)
    if refused is not None:
        raise refused
    return {}


def _invalid(message: str, param: str) -> ProviderError:
    return unsendable(message, param=param, code="invalid_value")
