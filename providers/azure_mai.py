"""Microsoft's own image models on Foundry (docs/providers/azure.md): OpenAI's dialect with a size in two
numbers, and token counts under names of their own."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from config.accounts.azure import AzureMAIProvider
from config.sizing import pixels_of
from providers.account import Resolve
from providers.azure import credential_of
from providers.base import ImageRequest, ImageResult, Operation
from providers.http import Reply, UpstreamClient
from providers.openai_dialect import OpenAIDialect, kept
from providers.openai_errors import request_id
from providers.splicing import Path, as_openai


class AzureMAI(OpenAIDialect):
    """``model`` is the deployment's name. An edit has one picture, and the size of that: its catalog
    entry says so, and none is sent."""

    type = "azure-mai"

    def __init__(
        self, name: str, settings: AzureMAIProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        super().__init__(name, client, settings.base_url, credential_of(settings, resolve))
        self._query = f"?{urlencode({'api-version': settings.api_version})}" if settings.api_version else ""

    def url(self, operation: Operation, model: str) -> str:
        return f"{self.base_url}/mai/v1/images/{operation}{self._query}"

    def models_url(self) -> str:
        """The resource's list of models, which all of its dialects share."""
        return f"{self.base_url}/openai/v1/models"

    def params(self, request: ImageRequest) -> dict[str, object]:
        params = super().params(request)
        size = params.pop("size", None)
        pixels = pixels_of(size) if isinstance(size, str) else None
        if pixels is None:
            return params
        return {**params, "width": pixels[0], "height": pixels[1]}

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        return ImageResult(
            body=as_openai(reply.body, _is_picture, _rest, provider=self.name),
            content_type=self.content_type(reply, "application/json"),
            upstream_request_id=request_id(reply.headers),
            headers=kept(reply.headers),
            scrub=self._scrub,
            aclose=reply.aclose,
        )


def _is_picture(path: Path) -> bool:
    return len(path) == 3 and path[0] == "data" and path[2] == "b64_json"


def _rest(document: Mapping[str, object], pictures: int) -> dict[str, object]:
    told = {name: document[name] for name in ("error", "size") if document.get(name) is not None}
    usage = document.get("usage")
    return {**told, "usage": _usage(usage)} if isinstance(usage, dict) else told


def _usage(usage: Mapping[str, object]) -> Mapping[str, object]:
    """OpenAI's words for it; what comes in these already stays as it is."""
    if "output_tokens" in usage:
        return usage
    text, image = _count(usage, "num_input_text_tokens"), _count(usage, "num_input_image_tokens")
    made = _count(usage, "num_output_tokens")
    return {
        "input_tokens": text + image,
        "input_tokens_details": {"text_tokens": text, "image_tokens": image},
        "output_tokens": made,
        "total_tokens": text + image + made,
    }


def _count(usage: Mapping[str, object], name: str) -> int:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
