"""The Workers AI adapter against a fake Workers AI, over real sockets."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from providers.base import Certainty, ImageRequest, Kind, Operation, Provider
from providers.http import UpstreamClient
from tests.contract.accounts import account, document
from tests.contract.pictures import picture, png
from tests.simulators.cloudflare_upstream import CloudflareUpstream
from tests.simulators.json_upstream import Reply, said
from tests.unit.providers.wire import failure, generation, picture_file

SCHNELL = "@cf/black-forest-labs/flux-1-schnell"
FLUX_2 = "@cf/black-forest-labs/flux-2-dev"
KLEIN = "@cf/black-forest-labs/flux-2-klein-9b"
PHOENIX = "@cf/leonardo/phoenix-1.0"
SDXL = "@cf/stabilityai/stable-diffusion-xl-base-1.0"
INPAINT = "@cf/runwayml/stable-diffusion-v1-5-inpainting"


@pytest.fixture
async def fake() -> AsyncIterator[CloudflareUpstream]:
    async with CloudflareUpstream() as running:
        yield running


def cloudflare(client: UpstreamClient, fake: CloudflareUpstream, **settings: object) -> Provider:
    config = {"type": "cloudflare", "account_id": fake.account, "api_key": "env:KEY"}
    return account({**config, "base_url": fake.base_url, **settings}, client, fake.key)


@pytest.fixture
def here(client: UpstreamClient, fake: CloudflareUpstream) -> Provider:
    return cloudflare(client, fake)


def asked(model: str, prompt: str = "a red kite", **params: object) -> ImageRequest:
    return ImageRequest(Operation.GENERATE, model, prompt, params)


async def picture_of(provider: Provider, request: ImageRequest) -> Image.Image:
    found = await document(provider, request)
    assert set(found) == {"created", "data"}
    return picture(found)


@pytest.mark.parametrize(
    ("model", "params", "sent"),
    [
        (SCHNELL, {"seed": 7}, {"seed": 7, "steps": 4}),
        ("@cf/leonardo/lucid-origin", {"size": "1024x768", "guidance_scale": 3.5},
         {"width": 1024, "height": 768, "guidance": 3.5, "num_steps": 25}),
        (PHOENIX, {"size": "512x512", "negative_prompt": "fog"},
         {"width": 512, "height": 512, "negative_prompt": "fog", "num_steps": 25}),
        (SDXL, {"size": "1024x1024"}, {"width": 1024, "height": 1024}),
        (SDXL, {"steps": 9}, {"num_steps": 9}),
    ],
)  # fmt: skip
async def test_each_model_is_asked_in_its_own_words(
    here: Provider,
    fake: CloudflareUpstream,
    model: str,
    params: dict[str, object],
    sent: dict[str, object],
) -> None:
    made = await picture_of(here, asked(model, **params))
    assert fake.posts[0].fields == {"prompt": "a red kite", **sent}
    assert made.size == (sent.get("width", 1024), sent.get("height", 1024))


@pytest.mark.parametrize(("model", "format"), [(SCHNELL, "JPEG"), (PHOENIX, "JPEG"), (SDXL, "PNG")])
async def test_json_and_bare_pictures_become_the_same_document(
    here: Provider, model: str, format: str
) -> None:
    assert (await picture_of(here, asked(model, "large"))).format == format


async def test_flux_2_takes_forms_even_without_pictures(here: Provider, fake: CloudflareUpstream) -> None:
    made = await picture_of(here, asked(KLEIN, "Dünen \r\n--x", size="1024x768", seed=3))
    assert made.size == (1024, 768)
    assert fake.posts[0].fields == {
        "prompt": "Dünen \r\n--x",
        "width": "1024",
        "height": "768",
        "seed": "3",
    }


async def test_its_input_pictures_are_made_small_enough(here: Provider, fake: CloudflareUpstream) -> None:
    pictures = (picture_file(png(2000, 1000)), picture_file(png(300, 200)), picture_file(png(100, 3000)))
    request = ImageRequest(Operation.EDIT, FLUX_2, "the first on the second", {}, pictures)
    await picture_of(here, request)
    assert fake.inputs == [(511, 256), (300, 200), (17, 511)]
    assert fake.posts[0].fields["steps"] == "25"


async def test_an_input_that_cannot_be_made_smaller_is_the_callers_fault_and_not_sent(
    here: Provider, fake: CloudflareUpstream
) -> None:
    request = ImageRequest(Operation.EDIT, FLUX_2, "x", {}, (picture_file(b"no picture"),))
    found = await failure(here, request)
    assert (found.kind, found.certainty, found.param) == (Kind.INVALID, Certainty.NOT_SENT, "image")
    assert not fake.posts


async def test_inpainting_sends_the_picture_and_the_masks_bytes_as_numbers(
    here: Provider, fake: CloudflareUpstream
) -> None:
    data, mask = png(512, 512), png(512, 512, "L")
    request = ImageRequest(
        Operation.EDIT, INPAINT, "a door", {"strength": 0.8}, (picture_file(data),), picture_file(mask)
    )
    await picture_of(here, request)
    assert base64.b64decode(str(fake.posts[0].fields["image_b64"])) == data
    assert fake.posts[0].fields["strength"] == 0.8
    assert fake.masks == [mask]


@pytest.mark.parametrize(("busy", "options"), [(True, {"rejectIfBusy": True}), (False, None)])
async def test_being_refused_instead_of_queued_is_the_operators_choice(
    client: UpstreamClient, fake: CloudflareUpstream, busy: bool, options: object
) -> None:
    await picture_of(cloudflare(client, fake, reject_if_busy=busy), asked(SDXL))
    assert fake.posts[0].fields.get("options") == options


@pytest.mark.parametrize(
    ("what", "kind", "certainty"),
    [
        ("capacity", Kind.OVERLOADED, Certainty.REJECTED),
        ("day", Kind.THROTTLED, Certainty.REJECTED),
        ("agreement", Kind.AUTH, Certainty.REJECTED),
        ("paid", Kind.AUTH, Certainty.REJECTED),
        ("no model", Kind.NOT_FOUND, Certainty.REJECTED),
        ("wrong id", Kind.NOT_FOUND, Certainty.REJECTED),
        ("large", Kind.INVALID, Certainty.REJECTED),
        ("slow", Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        ("unsafe", Kind.MODERATION, Certainty.REJECTED),
        ("server", Kind.SERVER, Certainty.FAILED),
        ("edge", Kind.SERVER, Certainty.MAYBE_ACCEPTED),
    ],
)
async def test_every_number_keeps_its_meaning(
    here: Provider, fake: CloudflareUpstream, what: str, kind: Kind, certainty: Certainty
) -> None:
    fake.plan(fake.refusal(what))
    found = await failure(here, asked(SCHNELL))
    assert (found.kind, found.certainty) == (kind, certainty)
    if what == "day":
        midnight = 86_400 - time.time() % 86_400
        assert found.retry_after == pytest.approx(midnight, abs=30)
    else:
        assert found.retry_after is None


async def test_a_failure_inside_a_200_is_a_failure(here: Provider) -> None:
    found = await failure(here, asked(SCHNELL, "late failure"))
    assert (found.kind, found.certainty) == (Kind.OVERLOADED, Certainty.REJECTED)


@pytest.mark.parametrize(
    ("number", "kind", "certainty"),
    [
        (3036, Kind.THROTTLED, Certainty.REJECTED),
        (3007, Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
        (5004, Kind.INVALID, Certainty.REJECTED),
    ],
)
async def test_inside_a_200_a_number_means_what_it_means_with_its_own_status(
    here: Provider, fake: CloudflareUpstream, number: int, kind: Kind, certainty: Certainty
) -> None:
    errors = [{"code": number, "message": "AiError"}]
    fake.plan(said(200, {"result": None, "success": False, "errors": errors}))
    found = await failure(here, asked(SCHNELL))
    assert (found.kind, found.certainty) == (kind, certainty)


@pytest.mark.parametrize(
    ("reply", "kind", "certainty"),
    [
        (Reply(reset=True), Kind.SERVER, Certainty.MAYBE_ACCEPTED),
        (Reply(200, b"\x89PNG" + bytes(1000), {"content-type": "image/png"}, cut=500),
         Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        (Reply(200, b"<html>", {"content-type": "text/html"}), Kind.BAD_PAYLOAD, Certainty.ANSWERED),
        (Reply(delay=3), Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED),
    ],
)  # fmt: skip
async def test_unclear_ends_are_told_as_such(
    here: Provider, fake: CloudflareUpstream, reply: Reply, kind: Kind, certainty: Certainty
) -> None:
    fake.plan(reply)
    found = await failure(here, asked(SCHNELL), 1.0)
    assert (found.kind, found.certainty) == (kind, certainty)


async def test_a_wrong_token_is_the_accounts_fault_and_not_shown(
    client: UpstreamClient, fake: CloudflareUpstream
) -> None:
    settings = {"type": "cloudflare", "account_id": fake.account, "api_key": "env:KEY"}
    wrong = account({**settings, "base_url": fake.base_url}, client, "cf-wrong-token-0123456789")
    found = await failure(wrong, asked(SCHNELL))
    assert (found.kind, found.certainty) == (Kind.AUTH, Certainty.REJECTED)
    assert "cf-wrong" not in found.message
    probe = await wrong.probe()
    assert (probe.reachable, probe.key_accepted) == (True, False)


async def test_text_that_no_encoding_has_is_not_sent(here: Provider, fake: CloudflareUpstream) -> None:
    for model in (SCHNELL, FLUX_2):
        found = await failure(here, asked(model, "\ud800"))
        assert (found.certainty, found.code) == (Certainty.NOT_SENT, "invalid_unicode")
    assert not fake.posts


async def test_a_probe_lists_models_and_buys_nothing(here: Provider, fake: CloudflareUpstream) -> None:
    found = await here.probe()
    assert found.key_accepted is True
    assert SCHNELL in found.models
    assert not fake.posts


@pytest.mark.parametrize("account_id", ["", "../../x", "a/b"])
def test_an_account_id_that_is_none_is_refused(
    client: UpstreamClient, fake: CloudflareUpstream, account_id: str
) -> None:
    with pytest.raises(ValueError, match="account_id"):
        cloudflare(client, fake, account_id=account_id)


async def test_what_is_asked_of_another_model_is_not_lost(here: Provider, fake: CloudflareUpstream) -> None:
    """A model of the operator's own catalog gets what it lists, under its own names."""
    request = generation(guidance_scale=2, other="x")
    await failure(here, request)
    assert fake.posts[0].fields == {"prompt": "a red kite", "guidance": 2, "other": "x"}
