"""AWS credentials and Signature Version 4, both botocore's (the extra ``bedrock``).

Finding credentials may read files and ask other machines, and the hash of a body is taken from all of it: so
everything here runs in a thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.base import Certainty, Kind, ProviderError
from providers.extras import ExtraMissing
from providers.upload import InputGone, Upload

_SERVICE = "bedrock"


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials by value."""

    access_key: str
    secret_key: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """Headers to send, and the secrets that no message may repeat."""

    headers: Mapping[str, str]
    secrets: tuple[str, ...]


class Signer:
    """One account's. Without ``keys`` botocore's own chain is asked: environment, shared files (``profile``),
    web identity, container and instance roles; what expires it renews by itself."""

    def __init__(self, provider: str, region: str, keys: Keys | None, profile: str | None) -> None:
        """Raises :class:`ExtraMissing` where botocore is not installed."""
        try:
            import botocore.auth
            import botocore.awsrequest
            import botocore.credentials
            import botocore.session
        except ImportError:
            raise ExtraMissing("signed calls to Bedrock", "bedrock") from None
        # Its debug log spells out what is signed.
        logging.getLogger("botocore.auth").setLevel(logging.INFO)
        self._botocore: Any = botocore
        self._provider = provider
        self._region = region
        self._keys = keys
        self._profile = profile
        self._found: Any = None
        self._finding = threading.Lock()

    def sign(self, method: str, url: str, headers: Mapping[str, str], upload: Upload | None) -> Signed:
        """Call it in a thread. ``url`` is signed as it stands. Raises :class:`ProviderError` (not_sent)."""
        keys = self._frozen()
        request = self._botocore.awsrequest.AWSRequest(method, url, dict(headers))
        if upload is not None:
            request.headers["content-type"] = upload.content_type
            try:
                request.headers["x-amz-content-sha256"] = upload.sha256()
            except (OSError, ValueError, InputGone):
                raise self._failed(Kind.SERVER, "an input file could not be read again") from None
        self._botocore.auth.SigV4Auth(keys, _SERVICE, self._region).add_auth(request)
        secrets = tuple(each for each in (keys.access_key, keys.secret_key, keys.token) if each)
        return Signed({name.lower(): value for name, value in request.headers.items()}, secrets)

    def _frozen(self) -> Any:
        """Access key, secret key and session token of this moment."""
        try:
            with self._finding:
                if self._found is None:
                    self._found = self._find()
            return self._found.get_frozen_credentials()
        except ProviderError:
            raise
        except Exception as error:
            # Its own words may hold paths and answers of others.
            what = f"AWS credentials could not be had ({type(error).__name__})"
            raise self._failed(Kind.AUTH, what) from error

    def _find(self) -> Any:
        if self._keys is not None:
            keys = self._keys
            return self._botocore.credentials.Credentials(keys.access_key, keys.secret_key, keys.token)
        session = self._botocore.session.Session(profile=self._profile)
        found = session.get_credentials()
        if found is None:
            raise self._failed(Kind.AUTH, "no AWS credentials were found; set api_key or access_key_id")
        return found

    def _failed(self, kind: Kind, what: str) -> ProviderError:
        return ProviderError(
            kind, Certainty.NOT_SENT, f"The call to provider '{self._provider}' failed: {what}."
        )
