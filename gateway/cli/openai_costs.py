"""OpenAI's own figures, fetched: ``GET /v1/organization/costs`` with an admin key, page after page.

It goes the way that the gateway's calls go (``upstream:``'s proxy and certificates), to the account's
``base_url``. The key is read from the environment and goes nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import rich_click as click

from config.accounts.openai import OpenAIProvider
from config.loader import ConfigErrors, Loaded, load
from providers.base import ProviderError
from providers.http import UpstreamClient

KEY_NAME = "OPENAI_ADMIN_KEY"
PAGE_SECONDS = 60.0
MOST_PAGES = 100
MOST_BYTES = 32 * 2**20


def fetch(config: Path | None, provider: str, since: date, until: date) -> list[Any]:
    """The pages of [since, until), by line item, numbers as Decimal. Ends the command where they cannot be
    had."""
    try:
        loaded = load(config)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        raise SystemExit(1) from None
    account = loaded.settings.providers.get(provider)
    if not isinstance(account, OpenAIProvider):
        raise click.ClickException(f"--from-openai needs a provider of type openai; '{provider}' is none.")
    key = os.environ.get(KEY_NAME, "").strip()
    if not key:
        raise click.ClickException(f"--from-openai needs an admin key of OpenAI's in {KEY_NAME}.")
    return asyncio.run(_pages(loaded, account.base_url, key, since, until))


async def _pages(loaded: Loaded, base_url: str, key: str, since: date, until: date) -> list[Any]:
    client = UpstreamClient(loaded.settings.upstream, base=loaded.base)
    query = [
        ("start_time", str(_midnight(since))),
        ("end_time", str(_midnight(until))),
        ("bucket_width", "1d"),
        ("limit", "31"),
        ("group_by[]", "line_item"),
    ]
    pages: list[Any] = []
    after: list[tuple[str, str]] = []
    try:
        while len(pages) < MOST_PAGES:
            url = f"{base_url.rstrip('/')}/organization/costs?{urlencode([*query, *after])}"
            pages.append(await _page(client, url, key))
            further = pages[-1].get("next_page") if pages[-1].get("has_more") else None
            if further is None:
                return pages
            after = [("page", str(further))]
    finally:
        await client.aclose()
    raise click.ClickException(f"OpenAI's costs have more than {MOST_PAGES} pages.")


async def _page(client: UpstreamClient, url: str, key: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "accept": "application/json"}
    ends_at = asyncio.get_running_loop().time() + PAGE_SECONDS
    try:
        reply = await client.send("GET", url, headers, ends_at=ends_at, provider="openai")
        try:
            body = await reply.read(MOST_BYTES)
        finally:
            await reply.aclose()
    except ProviderError as error:
        raise click.ClickException(str(error)) from None
    if reply.status != 200:
        hint = " Is it an admin key?" if reply.status in (401, 403) else ""
        raise click.ClickException(f"OpenAI answered {reply.status} to the question for its costs.{hint}")
    try:
        found = json.loads(body, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise click.ClickException("OpenAI's answer to the question for its costs is not a JSON object.")
    return found


def _midnight(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
