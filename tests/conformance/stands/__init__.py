"""Every adapter's stand, by the adapter's type."""

from __future__ import annotations

from collections.abc import Mapping

from tests.conformance.stand import Stand
from tests.conformance.stands.bedrock import BEDROCK
from tests.conformance.stands.cloudflare import CLOUDFLARE
from tests.conformance.stands.foundry import FLUX, MAI
from tests.conformance.stands.google import GEMINI, VERTEX
from tests.conformance.stands.openai import AZURE, COMPATIBLE, OPENAI
from tests.conformance.stands.openrouter import OPENROUTER
from tests.conformance.stands.sandbox import SANDBOX
from tests.conformance.stands.xai import XAI

STANDS: Mapping[str, Stand] = {
    stand.type: stand
    for stand in (
        OPENAI,
        AZURE,
        FLUX,
        MAI,
        COMPATIBLE,
        XAI,
        OPENROUTER,
        CLOUDFLARE,
        GEMINI,
        VERTEX,
        BEDROCK,
        SANDBOX,
    )
}
