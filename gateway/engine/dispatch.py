"""The one place where a provider is called. It takes leave to send, so that no route can spend without a
hold; a test holds that nothing else in the gateway calls ``send`` of a provider."""

from __future__ import annotations

from gateway.images.call import ImageCall
from gateway.quota.holds import DispatchedHold
from gateway.routing.directory import Target
from providers.base import ImageRequest, ImageResult, Provider


async def dispatch(
    provider: Provider,
    call: ImageCall,
    target: Target,
    leave: DispatchedHold,
    seconds: float,
    *,
    patience: float | None = None,
) -> ImageResult:
    """Send ``call`` to ``target`` under ``leave``, bounded by ``seconds``; ``patience`` bounds in seconds how
    long it may wait to be sent. Raises :class:`providers.base.ProviderError`."""
    assert isinstance(leave, DispatchedHold)
    return await provider.send(fit(call, target), seconds, patience=patience)


def fit(call: ImageCall, target: Target) -> ImageRequest:
    """The call in one target's terms."""
    return ImageRequest(
        operation=call.operation,
        model=target.model,
        prompt=call.prompt,
        params=call.params,
        images=call.images,
        mask=call.mask,
        markup=call.markup,
    )
