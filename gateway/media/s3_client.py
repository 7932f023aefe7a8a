"""obstore's client of one bucket (the extra ``storage``).

The environment's ``AWS_*`` have no part in an endpoint, or in keys, that the settings name.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from config.media import S3Settings
from config.secrets import Secret, SecretMissing
from config.storage import Bucket
from gateway.errors import Unavailable

_TRIES = 3

Keys = Callable[[], tuple[Secret, Secret]]
"""The access key's id and its secret, as they are now. Raises :class:`config.secrets.SecretMissing`."""


def library() -> Any:
    """``obstore``. Raises :class:`gateway.errors.Unavailable`, for the operator, where it is missing."""
    try:
        import obstore
        import obstore.store
    except ImportError:
        raise Unavailable(
            "storage.media names an S3 bucket, which needs the extra 'storage': install "
            "'imagegate[storage]' and start the gateway again."
        ) from None
    return obstore


def client_of(place: Bucket, settings: S3Settings, keys: Keys | None, endpoint: str | None) -> Any:
    """An ``obstore.store.S3Store`` that connects to nothing yet. ``keys`` None: AWS's own chain; ``endpoint``
    None: AWS's own. Raises as :func:`library`, and what ``keys`` raises now."""
    path_style = endpoint is not None if settings.path_style is None else settings.path_style
    options: dict[str, Any] = {"region": settings.region}
    if endpoint is not None:
        # The one option that no variable of the environment goes before.
        options["aws_endpoint_url_s3"] = endpoint if path_style else _with_bucket(endpoint, place.name)
    if keys is not None:
        # Given as options, they would be joined by the environment's AWS_SESSION_TOKEN.
        options["credential_provider"] = _Provider(keys)
    return library().store.S3Store(
        place.name,
        prefix=place.prefix or None,
        virtual_hosted_style_request=not path_style,
        client_options={
            "allow_http": (endpoint or "").startswith("http://"),
            "connect_timeout": "5s",
            # Of one read, and of a whole exchange, which a slow client draws out.
            "read_timeout": "30s",
            "timeout": "600s",
        },
        retry_config={"max_retries": _TRIES, "retry_timeout": timedelta(seconds=15)},
        **options,
    )


def _with_bucket(endpoint: str, bucket: str) -> str:
    """obstore takes an endpoint of that style with the bucket already in its host."""
    parts = urlsplit(endpoint)
    return parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()


class _Provider:
    """Gives obstore the keys of the moment; where they cannot be had, those of before may still do."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known = keys()

    def __call__(self) -> dict[str, Any]:
        with suppress(SecretMissing):
            self._known = self._keys()
        return {
            "access_key_id": self._known[0].reveal(),
            "secret_access_key": self._known[1].reveal(),
            "token": None,
            "expires_at": datetime.now(UTC),  # so that the next request asks again
        }
