"""From limits that refused to errors for the caller, and from standings to OpenAI's rate headers. Pure.

===========  =============================================================  =========================
what binds   error                                                          may be tried again
===========  =============================================================  =========================
dollars      429 ``insufficient_quota``; ``organization_spend_limit_…``,    no
             ``project_spend_limit_exceeded`` or ``insufficient_quota``
counts       429 ``rate_limit_exceeded``                                    if it fits within 60 s
concurrency  429 ``concurrency_limit``                                      if it fits at all
===========  =============================================================  =========================

The strongest reason gives the code, and every limit that refused is named: in the message, and under
``error.limits`` for programs. A scope is named as the caller knows it; of other keys nothing is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.caller import Caller
from gateway.errors import GatewayError, InvalidRequest, RateLimited, SpendLimitReached
from gateway.images.amounts import NanoDollars, dollars
from gateway.quota.holds import Amounts
from gateway.quota.outcomes import Binding, Refused, Standing
from gateway.quota.terms import Kind, Level, Limit, Measure

RETRY_WITHIN_MS = 60_000
"""A wait that clients are asked to sit out; a longer one is told in words."""

TYPICAL_WAIT_SECONDS = 5
"""How soon a running call ends, where nothing better is known."""

_SPEND_CODES: Mapping[Level, str] = {
    Level.ORGANIZATION: "organization_spend_limit_exceeded",
    Level.PROJECT: "project_spend_limit_exceeded",
}
_HEADERS: Mapping[Measure, str] = {
    Measure.REQUESTS: "requests",
    Measure.TOKENS: "tokens",
    Measure.IMAGES: "images",
}
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another form of the same call and what it would hold, e.g. ``quality: medium``."""

    change: str
    amounts: Amounts


def refusal(
    refused: Refused,
    caller: Caller,
    model: str,
    alternatives: Sequence[Alternative] = (),
    *,
    now: datetime,
    typical_wait: float = TYPICAL_WAIT_SECONDS,
) -> GatewayError:
    """The error for a call that was not admitted. ``alternatives``, nearest first, are offered where they
    fit; ``typical_wait`` (seconds) is how soon a place is likely to be free under a concurrency limit."""
    spend = [each for each in refused.bindings if each.limit.measure is Measure.SPEND]
    running = [each for each in refused.bindings if each.limit.kind is Kind.CONCURRENT]
    counts = [each for each in refused.bindings if each not in spend and each not in running]
    sentences = [
        *(_spend_words(each, caller) for each in spend),
        *(_count_words(each, caller, model) for each in counts),
        *(_running_words(each, caller) for each in running),
    ]
    headers = dict(rate_headers(refused.standings, now))
    extra = {"limits": [described(each.standing, each.needed) for each in (*spend, *counts, *running)]}
    if spend:
        message = " ".join([*sentences, _offer(refused.bindings, alternatives)]).strip()
        code = _SPEND_CODES.get(spend[0].limit.scope.level, "insufficient_quota")
        return SpendLimitReached(message, code=code, headers=headers, extra=extra)
    if counts:
        waits = [each.retry_after_ms for each in counts]
        wait = None if None in waits else max(each for each in waits if each is not None)
        soon = wait is not None and wait <= RETRY_WITHIN_MS
        message = " ".join([*sentences, "" if soon else _offer(refused.bindings, alternatives)]).strip()
        return RateLimited(
            message,
            type=_HEADERS[counts[0].limit.measure],
            retryable=soon,
            retry_after=None if wait is None else wait / 1000,
            headers=headers,
            extra=extra,
        )
    fits = all(each.needed <= each.limit.amount for each in running)
    return RateLimited(
        " ".join([*sentences, "" if fits else _offer(refused.bindings, alternatives)]).strip(),
        code="concurrency_limit",
        retryable=fits,
        retry_after=typical_wait if fits else None,
        headers=headers,
        extra=extra,
    )


def price_unknown(model: str, why: str = "", *, measure: Measure = Measure.SPEND) -> InvalidRequest:
    """400: a limit on dollars (or tokens) applies, and nobody can say beforehand what the call would take.
    ``why`` is a sentence."""
    takes, limit = ("cost", "dollar") if measure is Measure.SPEND else ("take in tokens", "token")
    return InvalidRequest(
        f"What a call of '{model}' can {takes} is not known to this gateway, and a {limit} limit applies to "
        f"your key, so the call was not made.{' ' + why if why else ''} The operator can write its price "
        f"(models.{model}.targets[].prices) or name a catalog entry that has one "
        f"(models.{model}.targets[].catalog).",
        param="model",
        code="price_unknown",
    )


def rate_headers(
    standings: Sequence[Standing], now: datetime, *, enforced: bool = True
) -> list[tuple[str, str]]:
    """``x-ratelimit-{limit,remaining,reset}-{requests,tokens,images}``: of several limits on one measure, the
    one with least left. ``enforced`` False says that nobody counted."""
    lines: list[tuple[str, str]] = []
    for measure, name in _HEADERS.items():
        found = [each for each in standings if each.limit.measure is measure and not each.limit.shadow]
        if not found:
            continue
        tightest = min(found, key=lambda each: each.left)
        lines.append((f"x-ratelimit-limit-{name}", str(tightest.limit.amount)))
        lines.append((f"x-ratelimit-remaining-{name}", str(tightest.left)))
        if tightest.resets_at is not None:
            lines.append((f"x-ratelimit-reset-{name}", duration(tightest.resets_at - now)))
    if not enforced:
        lines.append(("x-ratelimit-enforced", "false"))
    return lines


def duration(span: timedelta) -> str:
    """As OpenAI writes it: ``0s``, ``20ms``, ``1s``, ``6m0s``, ``720h0m0s``; rounded up."""
    ms = max(-(-span // _MILLISECOND) if span > timedelta() else 0, 0)
    if 0 < ms < 1000:
        return f"{ms}ms"
    seconds = -(-ms // 1000)
    if seconds < 60:
        return f"{seconds}s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{seconds}s" if hours else f"{minutes}m{seconds}s"


def amount_of(limit: Limit, amount: int) -> str | int:
    """For programs: dollars as exact text, everything else as a number."""
    return dollars(NanoDollars(amount)) if limit.measure is Measure.SPEND else amount


def moment(at: datetime) -> str:
    """UTC, to the second."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def described(standing: Standing, needed: int | None = None) -> dict[str, object]:
    """One limit and where it stands, for programs. The words are those of the configuration."""
    limit = standing.limit
    found: dict[str, object] = {
        "scope": limit.scope.level.value,
        "model": limit.scope.model,
        "measure": "spend_usd" if limit.measure is Measure.SPEND else limit.measure.value,
        "per": limit.per,
        "rolling": limit.rolling,
        "shadow": limit.shadow,
        "limit": amount_of(limit, limit.amount),
        "used": amount_of(limit, standing.charged),
        "held": amount_of(limit, standing.held),
        "unknown": amount_of(limit, standing.unknown),
        "remaining": amount_of(limit, standing.left),
        "resets_at": None if standing.resets_at is None else moment(standing.resets_at),
    }
    if needed is not None:
        found["needed"] = amount_of(limit, needed)
    return found


def noted(refused: Refused) -> dict[str, object]:
    """For the request's log line: which limits refused, what was wanted and what was left."""
    kept = ("scope", "model", "measure", "per", "remaining", "needed")
    told = [described(each.standing, each.needed) for each in refused.bindings]
    return {"refused_by": [{name: each[name] for name in kept} for each in told]}


def _spend_words(binding: Binding, caller: Caller) -> str:
    standing, limit = binding.standing, binding.limit
    rest = f"${_usd(standing.charged)} is spent, running calls hold ${_usd(standing.held)}"
    if standing.unknown:
        rest += f" and ${_usd(standing.unknown)} is of unknown outcome"
    text = (
        f"This call can cost ${_usd(binding.needed)}, and the spend limit of {_scope(limit, caller)} "
        f"(${_usd(limit.amount)} {_per(limit)}) has ${_usd(standing.left)} left: {rest}."
    )
    if binding.needed > limit.amount:
        return f"{text} It is more than the whole limit."
    return f"{text} {_resets(standing)}"


def _count_words(binding: Binding, caller: Caller, model: str) -> str:
    """OpenAI's words, which clients read the wait from."""
    standing, limit = binding.standing, binding.limit
    per = "min" if limit.per == "minute" else _per(limit).removeprefix("per ")
    text = (
        f"Rate limit reached for {model} in {_scope(limit, caller)} on {limit.measure} "
        f"{per if limit.per == 'total' else f'per {per}'}: Limit {limit.amount}, Used {standing.used}, "
        f"Requested {binding.needed}."
    )
    if binding.needed > limit.amount:
        return f"{text} One call asks for more than the whole limit; ask for less at once."
    wait = binding.retry_after_ms
    if wait is not None and wait <= RETRY_WITHIN_MS:
        return f"{text} Please try again in {duration(timedelta(milliseconds=wait))}."
    return f"{text} {_resets(standing)}"


def _running_words(binding: Binding, caller: Caller) -> str:
    limit = binding.limit
    text = (
        f"{binding.standing.held} calls of {_scope(limit, caller)} are running, and {limit.amount} may run "
        "at once."
    )
    if binding.needed == 1:
        return f"{text} Try again when one has ended."
    text += f" Your pictures take {binding.needed} calls side by side."
    if binding.needed > limit.amount:
        return f"{text} Ask for fewer at once."
    return f"{text} Try again when enough have ended."


def _offer(bindings: Sequence[Binding], alternatives: Sequence[Alternative]) -> str:
    """The nearest change that every limit which refused has room for."""
    for each in alternatives:
        needs = [(each.amounts.get(b.limit.measure, b.needed), b.standing.left) for b in bindings]
        if all(needed <= left for needed, left in needs):
            hold = each.amounts.get(Measure.SPEND)
            holds = "" if hold is None else f": it holds ${_usd(hold)}"
            return f"'{each.change}' would be admitted now{holds}."
    return ""


def _resets(standing: Standing) -> str:
    if standing.resets_at is not None and standing.limit.kind is Kind.ROLLING:
        return f"There is room again at {moment(standing.resets_at)}."
    if standing.resets_at is not None:
        return f"It resets at {moment(standing.resets_at)}."
    return "It does not reset." if standing.limit.per == "total" else "When there is room again is not known."


def _scope(limit: Limit, caller: Caller) -> str:
    match limit.scope.level:
        case Level.ORGANIZATION:
            name = "the organization"
        case Level.PROJECT:
            name = f"project '{caller.project_name}'"
        case Level.KEY:
            name = f"key '{caller.key_name}'"
        case Level.END_USER:
            name = "this end user"
    return name if limit.scope.model is None else f"{name} for '{limit.scope.model}'"


def _per(limit: Limit) -> str:
    if limit.per is None:
        return "at once"
    if limit.per == "total":
        return "in total"
    return f"per rolling {limit.per}" if limit.rolling else f"per {limit.per}"


def _usd(amount: int) -> str:
    return dollars(NanoDollars(amount))
