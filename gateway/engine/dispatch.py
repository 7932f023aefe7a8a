"""The one place where a provider is called. It takes leave to send, so that no route can spend without a
hold; a test holds that nothing else in the gateway calls ``send`` of a provider."""

from __future__ import annotations

from gateway.images.call import ImageCall
from gateway.images.fields import is_lenient
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
    """Send ``call`` (fitted to ``target``) under ``leave``, bounded by ``seconds``; ``patience`` bounds in
    seconds how long it may wait to be sent. Raises :class:`providers.base.ProviderError`."""
    assert isinstance(leave, DispatchedHold)
    return await provider.send(in_wire_terms(call, target), seconds, patience=patience)


def in_wire_terms(call: ImageCall, target: Target) -> ImageRequest:
    """A call that was fitted to the target, as its adapter takes it."""
    params = call.params
    if "n" in params and "n" not in target.entry.fields and not is_lenient(target.entry):
        # It makes one picture a call; n stays in the call for what counts pictures.
        params = {name: value for name, value in params.items() if name != "n"}
    return ImageRequest(
        operation=call.operation,
        model=target.model,
        prompt=call.prompt,
        params=params,
        images=call.images,
        mask=call.mask,
        markup=call.markup,
    )
