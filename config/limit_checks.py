"""What must hold between limits and the rest of the settings, and where alerts and counters may live."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from config.counters import counters_address
from config.findings import Findings, Location
from config.limits import LimitSettings
from config.organization import OrganizationSettings, ProjectSettings
from config.problems import quoted
from config.schema import Settings

_IN_THE_OPEN = "holds a password; put the whole address into a variable and write env:NAME here"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_NEVER_A_NAME = {"authorization", "proxy-authorization", "cookie", "api-key", "x-imagegate-tags"}


def limit_lists(
    organization: OrganizationSettings,
) -> Sequence[tuple[Location, Sequence[LimitSettings], Collection[str] | None]]:
    """Every list of limits, with the models that its scope may use (None: all)."""
    place: Location = ("organization",)
    found: list[tuple[Location, Sequence[LimitSettings], Collection[str] | None]] = [
        ((*place, "limits"), organization.limits, None)
    ]
    for index, project in enumerate(organization.projects):
        here: Location = (*place, "projects", index)
        found.append(((*here, "limits"), project.limits, project.models))
        found.append(((*here, "end_user_limits"), project.end_user_limits, project.models))
        for number, key in enumerate(project.keys):
            spot: Location = (*here, "keys", number)
            models = project.models if key.models is None else key.models
            found.append(((*spot, "limits"), key.limits, models))
            found.append(((*spot, "end_user_limits"), key.end_user_limits, models))
    return found


def check_limits(settings: Settings, findings: Findings) -> None:
    """Model names in limits are checked where all model names are."""
    organization = settings.organization
    for location, limits, models in limit_lists(organization):
        _check_list(location, limits, models, findings)
    for index, project in enumerate(organization.projects):
        _check_attribution(("organization", "projects", index), project, organization.tags, findings)
    _check_unique(("organization", "tags"), organization.tags, findings)
    if organization.alerts is not None:
        _check_webhook(("organization", "alerts", "webhook"), organization.alerts.webhook, findings)
    origins = {origin.rstrip("/") for origin in organization.webhook_origins}
    for index, project in enumerate(organization.projects):
        if project.webhook is not None:
            here: Location = ("organization", "projects", index, "webhook", "url")
            parts = urlsplit(project.webhook.url)
            if f"{parts.scheme}://{parts.netloc}" not in origins:
                _check_webhook(here, project.webhook.url, findings, plain_here=False)
    _check_counters(settings.storage.quota, findings)


def _check_list(
    location: Location,
    limits: Sequence[LimitSettings],
    models: Collection[str] | None,
    findings: Findings,
) -> None:
    seen: dict[tuple[object, ...], int] = {}
    for index, limit in enumerate(limits):
        counted = (limit.measure, limit.per, limit.rolling, limit.model, limit.shadow)
        first = seen.setdefault(counted, index)
        if first != index:
            findings.problem(
                (*location, index),
                f"counts the same as {location[-1]}[{first}] ({limits[first].words}), so that only the lower "
                "of both means anything; keep one",
            )
        if models is not None and limit.model is not None and limit.model not in models:
            findings.problem(
                (*location, index, "model"),
                f"{quoted(limit.model)} may not be used here, so this limit would never count",
            )


def _check_attribution(
    location: Location, project: ProjectSettings, shared: Sequence[str], findings: Findings
) -> None:
    _check_unique((*location, "tags"), project.tags, findings)
    for index, tag in enumerate(project.tags):
        if tag in shared:
            findings.problem(
                (*location, "tags", index), f"the organization allows {quoted(tag)} already; leave it out"
            )
    header = project.end_user_header
    if header is None:
        return
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", header):
        findings.problem((*location, "end_user_header"), f"{quoted(header)} is not a header's name")
    elif header.lower() in _NEVER_A_NAME:
        findings.problem(
            (*location, "end_user_header"),
            f"{header} never names an end user; name the header that your application sends",
        )


def _check_unique(location: Location, names: Sequence[str], findings: Findings) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            findings.problem((*location, index), f"{quoted(name)} stands here twice")


def _check_webhook(location: Location, url: str, findings: Findings, *, plain_here: bool = True) -> None:
    """``plain_here``: whether http:// to this machine is taken."""
    only = "; http:// only on this machine" if plain_here else ""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        findings.problem(location, "expected an address such as https://alerts.example/imagegate")
        return
    plain = plain_here and parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not (parts.scheme == "https" or plain) or not parts.hostname or re.search(r"[\s#]", url):
        findings.problem(
            location,
            f"expected an address such as https://alerts.example/imagegate{only}",
        )
    elif parts.username is not None or parts.password is not None:
        findings.problem(location, "holds a user or a password; messages are signed with its secret")


def _check_counters(quota: str, findings: Findings) -> None:
    location: Location = ("storage", "quota")
    if quota == "local":
        return
    scheme, _, rest = quota.partition(":")
    if scheme in ("env", "file"):
        if not rest.strip():
            findings.problem(location, "expected env:NAME or file:PATH")
        return
    try:
        address = counters_address(quota)
    except ValueError as wrong:
        findings.problem(location, _IN_THE_OPEN if "password=" in quota else str(wrong))
        return
    if address.has_password:
        findings.problem(location, _IN_THE_OPEN)


def look_at_limits(settings: Settings, today: date, findings: Findings) -> None:
    """Warnings: what means nothing as the rest is set today."""
    organization = settings.organization
    every = [
        ((*location, index), limit)
        for location, limits, _ in limit_lists(organization)
        for index, limit in enumerate(limits)
    ]
    for location, limit in every:
        if limit.temporary is not None and _is_over(limit.temporary.until, organization.timezone, today):
            findings.warn(
                (*location, "temporary"),
                f"this raise is over, and {limit.measure}: {limit.amount} holds; remove it",
            )
        if limit.when_away is not None and settings.storage.quota == "local":
            findings.warn(
                (*location, "when_away"),
                "the counters are in the process (storage.quota: local), so they are never away",
            )
    if organization.alerts is not None and not any(limit.alert_at for _, limit in every):
        findings.warn(("organization", "alerts"), "no limit has alert_at, so nothing is ever sent")
    if settings.storage.allowance != type(settings.storage.allowance)() and not any(
        limit.when_away == "allowance" for _, limit in every
    ):
        findings.warn(
            ("storage", "allowance"),
            "no limit has when_away: allowance, so nothing is set aside; write it on a spend_usd limit",
        )


def _is_over(until: date, timezone: str, today: date) -> bool:
    """To the day, as everything that ``imagegate check`` says of time. ``today`` is a day in UTC."""
    if isinstance(until, datetime):
        aware = until if until.tzinfo is not None else until.replace(tzinfo=ZoneInfo(timezone))
        return aware.astimezone(ZoneInfo("UTC")).date() < today
    return until < today - timedelta(days=1)
