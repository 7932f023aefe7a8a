"""What proves who calls: sent as it must be, and never shown."""

from __future__ import annotations

import pytest

from config.secrets import Secret
from providers.credential import NO_CREDENTIAL, Credential, bearer, key_in

WORD = "key-0123456789"


@pytest.mark.parametrize(
    ("credential", "headers"),
    [
        (bearer(Secret(WORD)), {"authorization": f"Bearer {WORD}"}),
        (key_in("x-goog-api-key", Secret(WORD)), {"x-goog-api-key": WORD}),
    ],
)
def test_a_key_goes_into_its_header_and_into_nothing_that_is_shown(
    credential: Credential, headers: dict[str, str]
) -> None:
    assert (credential.headers, credential.secrets) == (headers, (WORD,))
    assert WORD not in repr(credential)


def test_none_proves_nothing() -> None:
    assert (NO_CREDENTIAL.headers, NO_CREDENTIAL.secrets) == ({}, ())
