"""What becomes of each event of OpenRouter's streams (docs/providers/openrouter.md): OpenAI's, with fewer
fields."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from decimal import Decimal

from providers.base import ImageRequest, ImageResult, Operation, ProviderError
from providers.openrouter_usage import cost_of, count, usage_of


class Events:
    """Of one answer. ``refused`` tells what an error means; ``result`` gets the cost."""

    def __init__(
        self,
        request: ImageRequest,
        result: ImageResult,
        refused: Callable[[Mapping[str, object]], ProviderError],
    ) -> None:
        asked = request.params.get("partial_images")
        self._partials_left = asked if isinstance(asked, int) else 0
        self._params = request.params
        self._name = "image_edit" if request.operation is Operation.EDIT else "image_generation"
        self._result = result
        self._refused = refused
        self._costs: list[Decimal | None] = []

    def __call__(self, document: dict[str, object]) -> Mapping[str, object] | None:
        said = document.get("error")
        if document.get("type") == "error" or isinstance(said, dict):
            raise self._refused(
                said if isinstance(said, dict) else {"message": "The stream ended in an error."}
            )
        match document.get("type"):
            case "image_generation.partial_image" if self._partials_left > 0:
                self._partials_left -= 1
                index = count(document, "partial_image_index") or 0
                return self._event("partial_image", document) | {"partial_image_index": index}
            case "image_generation.completed":
                usage = document.get("usage")
                usage = usage if isinstance(usage, dict) else {}
                self._costs.append(cost_of(usage))
                told = [cost for cost in self._costs if cost is not None]
                self._result.cost = sum(told, Decimal()) if len(told) == len(self._costs) else None
                return self._event("completed", document) | usage_of(usage)
        return None

    def _event(self, kind: str, document: Mapping[str, object]) -> dict[str, object]:
        """OpenAI's fields that OpenRouter's events lack are as asked; the gateway puts right what the picture
        shows otherwise."""
        asked = {name: self._params.get(name, "auto") for name in ("size", "quality", "background")}
        return {
            "type": f"{self._name}.{kind}",
            "created_at": count(document, "created") or int(time.time()),
            **asked,
            "output_format": self._params.get("output_format", "png"),
        }
