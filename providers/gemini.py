"""Google's Gemini API, with a key (docs/providers/gemini.md): one picture a call."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from config.accounts.google import GeminiProvider
from providers.account import Account, Resolve
from providers.base import ImageRequest, ImageResult, Operation, Probe, ProviderError
from providers.credential import key_in
from providers.google.errors import refusal
from providers.google.generate_content import Answer, call_body
from providers.http import Reply, UpstreamClient
from providers.upload import Upload


class _Model(msgspec.Struct):
    name: str


class _ModelList(msgspec.Struct):
    models: list[_Model] = []


class Gemini(Account):
    """The key goes into a header; in the address it would stand in every log on the way."""

    type = "gemini"

    def __init__(self, name: str, settings: GeminiProvider, client: UpstreamClient, resolve: Resolve) -> None:
        key = key_in("x-goog-api-key", resolve(settings.api_key))
        super().__init__(name, client, settings.base_url, key)
        self._safety = {str(category): str(level) for category, level in settings.safety.items()}

    def url(self, operation: Operation, model: str) -> str:
        return f"{self.base_url}/models/{quote(model, safe='')}:generateContent"

    async def body(self, request: ImageRequest) -> Upload:
        return await call_body(request, self._safety)

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        return refusal(status, headers, body, provider=self.name, scrub=self._scrub, prompt=prompt)

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        self.content_type(reply, "application/json")
        result = ImageResult(body=reply.body, aclose=reply.aclose, scrub=self._scrub)
        result.body = Answer(self.name, self._scrub, request.prompt).spoken(reply.body, result)
        return result

    def models_url(self) -> str:
        return f"{self.base_url}/models?pageSize=1000"

    def probed(self, status: int, body: bytes) -> Probe:
        """A wrong key is answered with 400."""
        if status == 400:
            return Probe(reachable=True, key_accepted=False, detail="HTTP 400: the key was refused")
        if status != 200:
            return Probe(reachable=True, detail=f"HTTP {status} for the list of models")
        try:
            listed = msgspec.json.decode(body, type=_ModelList).models
        except msgspec.DecodeError:
            return Probe(reachable=True, detail="the list of models is not in Google's form; check base_url")
        models = tuple(model.name.removeprefix("models/") for model in listed)
        return Probe(reachable=True, key_accepted=True, models=models)
