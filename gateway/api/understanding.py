"""From a request's words to a call and the public model that it is for: which model is meant, how strictly it
is served, and what the words say (images/validation.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from config.catalog import Catalog
from config.normalization import NormalizationSettings
from gateway.api.intake import JsonBody
from gateway.api.json_body import decode_object
from gateway.api.model_choice import Retired, choose_model, served_by
from gateway.api.preferences import Preferences
from gateway.caller import Caller
from gateway.images.call import ImageCall
from gateway.images.fields import known_names
from gateway.images.raw import Encoding, RawRequest
from gateway.images.validation import Reading, model_name, validate
from gateway.routing.directory import ModelDirectory, PublicModel


class Understanding:
    """Reads calls. It waits for nothing, so a worker thread can do it for a large body."""

    def __init__(
        self,
        normalization: NormalizationSettings,
        directory: ModelDirectory,
        catalog: Catalog,
        today: Callable[[], date],
    ) -> None:
        self._normalization = normalization
        self._directory = directory
        self._catalog = catalog
        self._known = known_names(catalog.entries)
        self._today = today

    def call(
        self, body: RawRequest | JsonBody, caller: Caller, wishes: Preferences, deployment: str | None = None
    ) -> tuple[ImageCall, PublicModel]:
        """What ``caller`` asks for and the model that serves it; ``deployment`` is the model where the path
        names one. Raises :class:`gateway.errors.GatewayError`."""
        raw = body
        if isinstance(raw, JsonBody):
            raw = RawRequest(raw.operation, Encoding.JSON, decode_object(raw.data))
        usual = self._normalization.mode
        name = deployment or model_name(raw, self._normalization.default_model)
        retired = Retired(
            self._normalization.legacy_models, wishes.is_strict(caller.normalization, None, usual)
        )
        model = choose_model(name, caller, self._directory, self._catalog, self._today(), retired)
        if self._directory.forced(name) is not None:
            name = model.name
        call = validate(
            raw,
            name=name,
            entries=(model.entry, *(target.entry for target in model.usable)),
            defaults=model.defaults,
            reading=Reading(
                strict=wishes.is_strict(caller.normalization, model.mode, usual),
                unknown=self._normalization.unknown_fields,
                known=self._known,
                default_format=wishes.response_format,
                report=wishes.reports(caller.normalization),
            ),
        )
        return served_by(call, model), model

    def swapped(
        self, body: RawRequest | JsonBody, caller: Caller, wishes: Preferences, model: str
    ) -> tuple[ImageCall, PublicModel]:
        """The same for another public model, which a rule puts in the place of the one that was named: leave
        is needed for that one alone."""
        return self.call(body, replace(caller, models=None), wishes, model)
