"""Gemini image models on Google Cloud (docs/providers/vertex.md), with a bearer token; and, where the account
says so, Imagen's older wire."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from config.accounts.google import VertexProvider
from providers.account import Account, Resolve
from providers.base import Certainty, ImageRequest, ImageResult, Kind, Operation, Probe, ProviderError
from providers.credential import NO_CREDENTIAL, bearer
from providers.google import generate_content, predict
from providers.google.credentials import CloudCredentials
from providers.google.errors import refusal
from providers.http import Reply, UpstreamClient
from providers.scrub import Scrubber
from providers.upload import Upload


class Vertex(Account):
    """A fixed token, a service account's key, or what the machine is allowed to."""

    type = "vertex"

    def __init__(self, name: str, settings: VertexProvider, client: UpstreamClient, resolve: Resolve) -> None:
        """Raises :class:`providers.extras.ExtraMissing` where tokens are to be had and google-auth is not."""
        self._credentials: CloudCredentials | None = None
        fixed = NO_CREDENTIAL
        if settings.access_token is not None:
            fixed = bearer(resolve(settings.access_token))
        else:
            key = settings.service_account_key
            self._credentials = CloudCredentials(name, client, resolve(key).reveal() if key else None)
        super().__init__(name, client, settings.base_url or _host(settings.location), fixed)
        self._safety = {str(category): str(level) for category, level in settings.safety.items()}
        self._imagen = settings.imagen
        place = f"projects/{quote(settings.project, safe='')}/locations/{quote(settings.location, safe='')}"
        self._place = f"{self.base_url}/v1/{place}"

    async def sign(
        self, method: str, url: str, headers: Mapping[str, str], upload: Upload | None
    ) -> Mapping[str, str]:
        if self._credentials is None:
            return headers
        token = await self._credentials.token()
        self._scrub = Scrubber([token.value])
        signed = {**headers, "authorization": f"Bearer {token.value}"}
        if token.quota_project is not None:
            signed["x-goog-user-project"] = token.quota_project
        return signed

    def url(self, operation: Operation, model: str) -> str:
        verb = "predict" if _is_imagen(model) else "generateContent"
        return f"{self._place}/publishers/google/models/{quote(model, safe='')}:{verb}"

    async def body(self, request: ImageRequest) -> Upload:
        if not _is_imagen(request.model):
            return await generate_content.call_body(request, self._safety, _output(request.params))
        if not self._imagen:
            raise ProviderError(
                Kind.NOT_FOUND,
                Certainty.NOT_SENT,
                f"Provider '{self.name}' serves no Imagen models: Google retired them. An account that still "
                "has them says so with imagen: true.",
            )
        return await predict.call_body(request)

    def refused(self, status: int, headers: Mapping[str, str], body: bytes, prompt: str) -> ProviderError:
        return refusal(status, headers, body, provider=self.name, scrub=self._scrub, prompt=prompt)

    def result(self, reply: Reply, request: ImageRequest) -> ImageResult:
        self.content_type(reply, "application/json")
        result = ImageResult(body=reply.body, aclose=reply.aclose, scrub=self._scrub)
        if _is_imagen(request.model):
            result.body = predict.spoken(reply.body, provider=self.name)
        else:
            answer = generate_content.Answer(self.name, self._scrub, request.prompt)
            result.body = answer.spoken(reply.body, result)
        return result

    def models_url(self) -> str:
        """Google's models have no list here; the place itself can be asked for."""
        return self._place

    def probed(self, status: int, body: bytes) -> Probe:
        if status != 200:
            return Probe(reachable=True, detail=f"HTTP {status} for the project's location")
        return Probe(reachable=True, key_accepted=True)


def _host(location: str) -> str:
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def _is_imagen(model: str) -> bool:
    return model.startswith("imagen-")


def _output(params: Mapping[str, object]) -> dict[str, object]:
    """What only Google Cloud takes in ``imageConfig``."""
    person, made = params.get("person_generation"), params.get("output_format")
    options = {
        "mimeType": f"image/{made}" if made else None,
        "compressionQuality": params.get("output_compression"),
    }
    return {
        "personGeneration": person.upper() if isinstance(person, str) else None,
        "imageOutputOptions": {name: value for name, value in options.items() if value is not None},
    }
