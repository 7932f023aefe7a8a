"""Black Forest Labs' models on Foundry (docs/providers/azure.md): BFL's fields in one call that waits, the
answer in OpenAI's form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import quote, urlencode

from config.accounts.azure import FLUX_PATHS, AzureFluxProvider
from config.sizing import pixels_of
from providers.account import Account, Resolve
from providers.azure import credential_of
from providers.base import (
    Certainty,
    ImageRequest,
    ImageResult,
    Kind,
    Operation,
    Probe,
    ProviderError,
)
from providers.bfl_moderation import moderated
from providers.http import Reply, UpstreamClient
from providers.json_body import bare_base64, json_body, weight_of
from providers.openai_dialect import kept
from providers.openai_errors import refusal, request_id
from providers.splicing import Path, as_openai
from providers.upload import Upload

_WORDS: Mapping[str, str] = {"guidance_scale": "guidance"}
"""The common word for a field, and BFL's."""


class AzureFlux(Account):
    """A key goes as a bearer token here. Answers hold neither token counts nor costs."""

    type = "azure-flux"

    def __init__(
        self, name: str, settings: AzureFluxProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        credential = credential_of(settings, resolve, as_bearer=True)
        super().__init__(name, client, settings.base_url, credential)
        self._paths = {**FLUX_PATHS, **settings.paths}
        self._query = urlencode({"api-version": settings.api_version})

    def url(self, operation: Operation, model: str) -> str:
        path = self._paths.get(model)
        if path is None:
            raise ProviderError(
                Kind.NOT_FOUND,
                Certainty.NOT_SENT,
                f"Provider '{self.name}' has no address for '{model}'; name its model's under paths.",
            )
        return f"{self.base_url}/providers/blackforestlabs/v1/{quote(path, safe='')}?{self._query}"

    async def body(self, request: ImageRequest) -> Upload:
        given = {name: value for name, value in request.params.items() if value is not None}
        size = given.pop("size", None)
        pixels = pixels_of(size) if isinstance(size, str) else None
        document: dict[str, object] = {"model": request.model, "prompt": request.prompt}
        if pixels is not None:
            document |= {"width": pixels[0], "height": pixels[1]}
        document |= {_WORDS.get(name, name): value for name, value in given.items()}
        for number, picture in enumerate(request.images, 1):
            document["input_image" if number == 1 else f"input_image_{number}"] = bare_base64(picture)
        return await json_body(document, weight=weight_of(request.images))

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        return refusal(status, headers, body, provider=self.name, scrub=self._scrub, prompt=prompt)

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        rest = partial(_rest, provider=self.name)
        return ImageResult(
            body=as_openai(reply.body, _is_picture, rest, provider=self.name),
            content_type=self.content_type(reply, "application/json"),
            upstream_request_id=request_id(reply.headers),
            headers=kept(reply.headers),
            scrub=self._scrub,
            aclose=reply.aclose,
        )

    def models_url(self) -> str:
        """The resource's list of models, which all of its dialects share."""
        return f"{self.base_url}/openai/v1/models"

    def probed(self, status: int, body: bytes) -> Probe:
        """The list says nothing of FLUX; that it came says that the account is there."""
        if status == 200:
            return Probe(reachable=True, key_accepted=True)
        return Probe(reachable=True, detail=f"HTTP {status} for the list of models")


def _is_picture(path: Path) -> bool:
    return len(path) == 3 and path[0] == "data" and path[2] in ("b64_json", "url")


def _rest(document: Mapping[str, object], pictures: int, *, provider: str) -> Mapping[str, object]:
    """What is said in place of pictures: BFL's words for a filter, else an error that the gateway reads."""
    if pictures:
        return {}
    refused = moderated(document, provider=provider)
    if refused is not None:
        raise refused
    return {"error": document["error"]} if document.get("error") else {}
