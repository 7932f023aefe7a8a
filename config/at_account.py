"""What an account serves of what its models can do, and which models it cannot call at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from config.accounts.azure import FLUX_PATHS, AzureFluxProvider
from config.accounts.kinds import ProviderSettings
from config.accounts.openai import OpenAICompatibleProvider
from config.catalog import CatalogModel
from config.inputs import Form
from config.problems import quoted

_FORMS: Mapping[str, Sequence[Form]] = {
    "azure-flux": ("file", "data"),
    "azure-mai": ("file",),
    "bedrock": ("file", "data"),
    "cloudflare": ("file",),
    "gemini": ("file", "data"),
    "vertex": ("file", "data"),
}
"""How input pictures can be put into an adapter's wire; of types that are not here, in each way."""


def at_account(entry: CatalogModel, account: ProviderSettings) -> CatalogModel:
    """``entry`` without the operations that the account's server does not have (``edits: false``), and
    without forms of input pictures that its wire has no place for: where nobody has described a model, that
    is known all the same."""
    changes: dict[str, object] = {}
    if isinstance(account, OpenAICompatibleProvider) and not account.edits:
        changes["operations"] = [each for each in entry.operations if each != "edits"]
    taken = _FORMS.get(account.type)
    if taken is not None and not set(entry.inputs.forms) <= set(taken):
        changes["inputs"] = entry.inputs.model_copy(update={"forms": list(taken)})
    return entry.model_copy(update=changes) if changes else entry


def unaddressed(account: ProviderSettings, upstream: str) -> str | None:
    """Why an account has no address for a model, and what to write; None where it has one."""
    if not isinstance(account, AzureFluxProvider) or upstream in {**FLUX_PATHS, **account.paths}:
        return None
    return (
        f"the account has no address for {quoted(upstream)}; write its model's under the account's paths, "
        f"such as {upstream}: {FLUX_PATHS['FLUX.2-pro']}"
    )
