"""What a target is sent for a call, what that changed, and what is left for the gateway to do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.catalog import CatalogModel, Extension, load_catalog
from config.sizing import RatioSizing
from gateway.images.call import InputSize
from gateway.images.defaults import fill
from gateway.images.fitted import Adjustment, Finish, Fitted, How, Rule, Unfit
from gateway.images.fitting import fit, serves
from providers.base import InputFile, InputRef, Operation
from tests.unit.images.asking import FREE, asked, changes, entry_of, fitted, picture, sent, unfit


def entry(**changed: Any) -> CatalogModel:
    return entry_of("gpt-image-2").model_copy(update=changed)


GEMINI_LIKE = entry(
    sizing=RatioSizing(
        kind="ratios",
        ratios=["1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "21:9"],
        tiers=["1K", "2K", "4K"],
    ),
    qualities=[],
    output_formats=["png"],
    backgrounds=["opaque"],
    max_n=1,
    streaming=False,
    fields=["seed"],
)
IMAGE = picture().file


def test_a_plain_call_goes_out_as_it_came() -> None:
    call = asked(size="1024x1024", quality="high", n=2)
    served = fitted(call)
    assert list(served.call.params.items()) == list(call.params.items())
    assert (served.batches, served.adjustments, served.finish) == ((2,), (), None)
    assert served.size.rule is Rule.EXACT


def test_nothing_asked_is_nothing_sent() -> None:
    assert sent(asked()) == {}
    assert fitted(asked()).size.rule is Rule.AUTO


@pytest.mark.parametrize(
    ("fields", "size", "rule"),
    [
        ({"size": "16:9"}, "1280x720", Rule.FILLED),
        ({"aspect_ratio": "16:9", "resolution": "4K"}, "3840x2160", Rule.CLAMPED),
        ({"size": "1920x1080"}, "1920x1088", Rule.STEP),
        ({"size": "512x512"}, "816x816", Rule.RAISED),
    ],
)
def test_a_size_becomes_one_that_the_target_makes(fields: dict[str, object], size: str, rule: Rule) -> None:
    assert sent(asked(**fields)) == {"size": size}
    assert fitted(asked(**fields)).size.rule is rule


def test_each_target_gets_its_own_best_size() -> None:
    call = asked(size="1792x1024")
    assert sent(call) == {"size": "1792x1024"}
    assert sent(call, "gpt-image-1.5") == {"size": "1536x1024"}
    assert sent(call, GEMINI_LIKE) == {"aspect_ratio": "16:9", "resolution": "1K"}
    assert sent(call, FREE) == {"size": "1792x1024"}


def test_the_shape_of_the_first_picture_counts_for_edits() -> None:
    call = asked(images=[IMAGE], inputs=[InputSize(1600, 900, "png")], resolution="2K")
    assert sent(call) == {"size": "2560x1440"}


def test_a_field_that_contradicts_a_stronger_one_is_reported_as_ignored() -> None:
    call = asked(size="1024x1024", aspect_ratio="16:9")
    assert sent(call) == {"size": "1024x1024"}
    assert changes(call) == [("aspect_ratio", "16:9", None, "ignored")]


@pytest.mark.parametrize(
    ("n", "most", "batches", "told"),
    [(4, 10, (4,), None), (4, 1, (1, 1, 1, 1), "1+1+1+1"), (10, 4, (4, 4, 2), "4+4+2"), (1, 1, (1,), None)],
)
def test_pictures_beyond_the_targets_maximum_are_made_by_parallel_calls(
    n: int, most: int, batches: tuple[int, ...], told: str | None
) -> None:
    call, target = asked(n=n), entry(max_n=most)
    assert fitted(call, target).batches == batches
    assert fitted(call, target).call.n == n
    assert changes(call, target) == ([("n", str(n), told, "emulated")] if told else [])
    assert [fitted(call, target).batch(ordinal).n for ordinal in range(len(batches))] == list(batches)


@given(st.integers(1, 10), st.integers(1, 10))
def test_batches_add_up_and_none_is_more_than_the_target_takes(n: int, most: int) -> None:
    batches = fitted(asked(n=n), entry(max_n=most)).batches
    assert sum(batches) == n
    assert len(batches) == -(-n // most)
    assert all(1 <= one <= most for one in batches)


def test_a_target_without_n_makes_one_picture_a_call_and_so_does_svg_everywhere() -> None:
    assert fitted(asked(n=3), GEMINI_LIKE).batches == (1, 1, 1)
    assert fitted(asked(n=2, output_format="svg"), "gpt-image-2.6-flare").batches == (1, 1)


def test_a_seed_counts_on_over_parallel_calls() -> None:
    served = fitted(asked(n=5, seed=40), entry(max_n=2, fields=["n", "seed"]))
    assert [served.batch(ordinal).params["seed"] for ordinal in range(3)] == [40, 42, 44]
    assert fitted(asked(n=2, seed=40), entry(fields=["n", "seed"])).batch(0).params["seed"] == 40
    any_seed = fitted(asked(n=2, seed=-1), entry(max_n=1, fields=["n", "seed"]))
    assert any_seed.batch(1).params["seed"] == -1


@pytest.mark.parametrize("wanted", ["png", "webp", "jpeg"])
def test_a_format_that_the_target_has_is_native(wanted: str) -> None:
    served = fitted(asked(output_format=wanted))
    assert (dict(served.call.params), served.finish) == ({"output_format": wanted}, None)


@pytest.mark.parametrize("wanted", ["gif", "avif"])
def test_a_format_that_it_lacks_is_converted_from_a_lossless_one(wanted: str) -> None:
    served = fitted(asked(output_format=wanted))
    assert dict(served.call.params) == {"output_format": "png"}
    assert served.finish == Finish(format=wanted)
    assert changes(asked(output_format=wanted)) == [("output_format", wanted, "png", "emulated")]


def test_a_target_with_one_format_and_no_choice_is_not_asked_for_it() -> None:
    assert sent(asked(output_format="png"), GEMINI_LIKE) == {}
    assert changes(asked(output_format="png"), GEMINI_LIKE) == []
    served = fitted(asked(output_format="webp"), GEMINI_LIKE)
    assert (dict(served.call.params), served.finish) == ({}, Finish(format="webp"))


def test_what_a_target_without_a_choice_makes_is_told_once_it_is_seen() -> None:
    served = fitted(asked(output_format="webp"), "gemini-3-pro-image")
    assert (served.finish, served.adjustments) == (Finish(format="webp"), ())
    streamed = changes(asked(output_format="webp", stream=True), "gemini-3-pro-image")
    assert ("output_format", "webp", None, "emulated") in streamed


def test_a_model_nobody_knows_is_asked_for_a_usual_format_and_its_answer_looked_at() -> None:
    served = fitted(asked(output_format="webp", output_compression=50), FREE)
    assert dict(served.call.params) == {"output_format": "webp", "output_compression": 50}
    assert (served.finish, served.adjustments) == (Finish(format="webp"), ())
    streamed = fitted(asked(output_format="webp", stream=True), FREE)
    assert (streamed.call.stream, streamed.finish) == (True, None)
    assert sent(asked(output_format="avif"), FREE) == {"output_format": "png"}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("field", "listed", "word"),
    [
        ("quality", "qualities", "hd"),
        ("background", "backgrounds", "transparent"),
        ("background", "backgrounds", "opaque"),
        ("output_format", "output_formats", "webp"),
    ],
)
def test_a_field_that_is_taken_with_no_values_listed_takes_any(
    field: str, listed: str, word: str, strict: bool
) -> None:
    target = entry(fields=[field], **{listed: []})
    assert sent(asked(strict=strict, **{field: word}), target) == {field: word}
    assert changes(asked(strict=strict, **{field: word}), target) == []


def test_a_native_gif_stays_native_and_svg_is_never_converted_to() -> None:
    call = asked(output_format="gif", frame_count=4)
    assert sent(call, "gpt-image-2.6-flare") == {"output_format": "gif", "frame_count": 4}
    assert unfit(asked(output_format="svg")).capability == "output_format"
    assert sent(asked(output_format="svg"), "gpt-image-2.6-flare") == {"output_format": "svg"}


@pytest.mark.parametrize(
    ("fields", "target", "got", "finish", "told"),
    [
        ({"output_format": "jpeg", "output_compression": 50}, entry(),
         {"output_format": "jpeg", "output_compression": 50}, None, []),
        ({"output_compression": 50}, entry(), {}, None, [("output_compression", "50", None, "ignored")]),
        ({"output_format": "avif", "output_compression": 50}, entry(),
         {"output_format": "png"}, Finish("avif", 50),
         [("output_format", "avif", "png", "emulated"), ("output_compression", "50", "50", "emulated")]),
        ({"output_format": "png", "output_compression": 50}, entry(),
         {"output_format": "png"}, None, [("output_compression", "50", None, "ignored")]),
        ({"output_format": "png", "output_compression": 100}, entry(),
         {"output_format": "png", "output_compression": 100}, None, []),
        ({"output_format": "gif", "output_compression": 50}, entry(),
         {"output_format": "png"}, Finish("gif"),
         [("output_format", "gif", "png", "emulated"), ("output_compression", "50", None, "ignored")]),
        ({"output_format": "gif", "output_compression": 100}, entry(output_formats=["gif"]),
         {"output_format": "gif"}, None, []),
        ({"output_format": "jpeg", "output_compression": 50}, entry(fields=["output_format"]),
         {"output_format": "jpeg"}, Finish("jpeg", 50), [("output_compression", "50", "50", "emulated")]),
        ({"output_compression": 50}, GEMINI_LIKE,
         {}, None, [("output_compression", "50", None, "ignored")]),
    ],
)  # fmt: skip
def test_compression_goes_with_the_final_encoding_and_with_nothing_else(
    fields: dict[str, object],
    target: CatalogModel,
    got: dict[str, object],
    finish: Finish | None,
    told: list[object],
) -> None:
    call = asked(**fields)
    assert sent(call, target) == got
    assert fitted(call, target).finish == finish
    assert changes(call, target) == told


def test_a_colour_is_put_behind_what_is_transparent_where_the_format_shows_none() -> None:
    call = asked(output_format="jpeg", background="#F80")
    served = fitted(call)
    assert dict(served.call.params) == {"output_format": "png"}
    assert served.finish == Finish(format="jpeg", background="#ff8800")
    assert ("background", "#F80", "#ff8800", "emulated") in changes(call)


def test_a_colour_that_nothing_shows_is_ignored_and_told() -> None:
    for fields in ({"background": "white"}, {"background": "white", "output_format": "png"}):
        served = fitted(asked(**fields))
        assert served.finish is None
        assert "background" not in served.call.params
        assert changes(asked(**fields)) == [("background", "white", None, "ignored")]


def test_a_target_that_makes_jpeg_alone_is_not_asked_for_transparency() -> None:
    call, target = asked(output_format="jpeg", background="black"), entry(output_formats=["jpeg"])
    served = fitted(call, target)
    assert (dict(served.call.params), served.finish) == ({"output_format": "jpeg"}, None)
    assert changes(call, target) == [("background", "black", None, "ignored")]


def test_opaque_and_auto_need_no_saying_where_there_is_no_choice() -> None:
    for background in ("opaque", "auto"):
        assert sent(asked(background=background)) == {"background": background}
        assert sent(asked(background=background), GEMINI_LIKE) == {}
        assert changes(asked(background=background), GEMINI_LIKE) == []


@pytest.mark.parametrize("how", ["cover", "contain"])
def test_exact_pixels_are_delivered_from_the_nearest_size(how: Any) -> None:
    call = asked(size="1200x628", fit=how)
    served = fitted(call)
    assert dict(served.call.params) == {"size": "1200x624"}
    assert served.finish == Finish(pixels=(1200, 628), fit=how)
    assert changes(call) == [("fit", how, "1200x628", "emulated")]


def test_there_is_nothing_to_fit_where_the_size_is_made_or_none_was_named() -> None:
    exact = asked(size="1024x1024", fit="cover")
    assert (fitted(exact).finish, changes(exact)) == (None, [])
    ratio = asked(size="16:9", fit="cover")
    assert (fitted(ratio).finish, changes(ratio)) == (None, [("fit", "cover", None, "ignored")])
    none = asked(size="1200x628", fit="none")
    assert (fitted(none).finish, changes(none)) == (None, [])


def test_what_the_target_chooses_itself_is_fitted_too() -> None:
    assert fitted(asked(size="1200x628", fit="cover"), FREE).finish == Finish(pixels=(1200, 628), fit="cover")
    served = fitted(asked(size="1200x628", fit="contain", background="#000000"), GEMINI_LIKE)
    assert served.finish == Finish(pixels=(1200, 628), fit="contain", background="#000000")


def test_a_stream_is_the_targets_own_where_it_has_one() -> None:
    fields = {"stream": True, "partial_images": 2}
    assert sent(asked(**fields)) == fields
    assert sent(asked(stream=False)) == {"stream": False}
    assert sent(asked(stream=False), GEMINI_LIKE) == {}


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({}, GEMINI_LIKE),
        ({"output_format": "avif"}, entry()),
        ({"output_format": "gif"}, entry_of("gpt-image-2.6-flare")),
        ({"size": "1200x628", "fit": "cover"}, entry()),
    ],
)
def test_elsewhere_the_whole_answer_is_served_as_events(
    fields: dict[str, object], target: CatalogModel
) -> None:
    call = asked(stream=True, partial_images=2, **fields)
    served = fitted(call, target)
    assert call.stream
    assert not served.call.stream
    assert "partial_images" not in served.call.params
    assert ("stream", "true", None, "emulated") in changes(call, target)
    assert ("partial_images", "2", None, "dropped") in changes(call, target)


@pytest.mark.parametrize(
    ("fields", "target", "most"),
    [
        ({"n": 4}, entry(max_n=2), "2"),
        ({"n": 2}, GEMINI_LIKE, "1"),
        ({"n": 2, "output_format": "svg"}, entry_of("gpt-image-2.6-flare"), "1"),
    ],
)
def test_a_stream_of_more_pictures_than_one_call_makes_is_refused(
    fields: dict[str, object], target: CatalogModel, most: str
) -> None:
    outcome = fit(asked(stream=True, **fields), target)
    assert isinstance(outcome, Unfit)
    assert (outcome.capability, outcome.param, outcome.valid) == ("n", "n", (most,))
    assert f"'n': {most}" in outcome.explanation
    assert isinstance(fit(asked(**fields), target), Fitted), (
        "without a stream it is made by calls side by side"
    )


def test_what_a_target_does_not_take_is_left_out_and_told() -> None:
    call = asked(seed=7, style="vivid", moderation="low", guidance_scale=3.5)
    assert sent(call) == {"moderation": "low"}
    assert changes(call) == [
        ("seed", "7", None, "dropped"),
        ("style", "vivid", None, "dropped"),
        ("guidance_scale", "3.5", None, "dropped"),
    ]
    assert sent(call, GEMINI_LIKE) == {"seed": 7}


def test_the_callers_own_words_are_never_repeated() -> None:
    call = asked(negative_prompt="secret", user="u-1", safety_identifier="u-2", zoom={"deep": 1}, odd="text")
    told = fitted(call, GEMINI_LIKE).adjustments
    assert {one.field for one in told} == {"negative_prompt", "user", "safety_identifier", "zoom", "odd"}
    assert all(one.was is None and one.how is How.DROPPED for one in told)


def test_a_value_that_the_target_lacks_is_left_out_and_told() -> None:
    call = asked(images=[IMAGE], input_fidelity="high")
    assert sent(call, "gpt-image-1.5") == {"input_fidelity": "high"}
    for model in ("gpt-image-1-mini", "gpt-image-2"):
        assert sent(call, model) == {}
        assert changes(call, model) == [("input_fidelity", "high", None, "dropped")]
    own = entry(fields=["look"], extensions={"look": Extension(type="string")}, values={"look": ["flat"]})
    assert sent(asked(look="flat"), own) == {"look": "flat"}
    assert sent(asked(look="deep"), own) == {}


def test_a_field_of_edits_means_nothing_in_a_generation() -> None:
    assert changes(asked(input_fidelity="low"), "gpt-image-1.5") == [
        ("input_fidelity", "low", None, "dropped")
    ]


def test_a_field_of_another_format_is_ignored_and_told() -> None:
    call = asked(output_format="png", frame_count=4, svg={"model": "x"})
    assert sent(call, "gpt-image-2.6-flare") == {"output_format": "png"}
    assert changes(call, "gpt-image-2.6-flare") == [
        ("frame_count", "4", None, "ignored"),
        ("svg", None, None, "ignored"),
    ]


def test_fields_that_nobody_knows_go_to_targets_that_pass_them_through() -> None:
    assert sent(asked(zoom=3), entry(passthrough=True)) == {"zoom": 3}
    assert sent(asked(zoom=3), FREE) == {"zoom": 3}
    assert sent(asked(zoom=3)) == {}
    assert sent(asked(seed=3), entry(passthrough=True)) == {}


def test_the_default_moderation_of_edits_is_not_said() -> None:
    """OpenAI documents it for JSON edits and not for forms."""
    assert sent(asked(images=[IMAGE], moderation="auto")) == {}
    assert sent(asked(images=[IMAGE], moderation="low")) == {"moderation": "low"}
    assert sent(asked(moderation="auto")) == {"moderation": "auto"}


def test_response_format_is_no_field_that_is_sent() -> None:
    assert "response_format" not in sent(asked(), "dall-e-3")


def test_a_default_is_not_what_the_caller_requested() -> None:
    params, told = fill({"n": 1}, {"size": "1024x1024", "quality": "max"})
    served = fitted(asked(**params))
    assert served.size.requested == "1024x1024"
    call = asked(**params)
    served = fitted(type(call)(**{**{f: getattr(call, f) for f in call.__slots__}, "adjusted": told}))
    assert (served.size.requested, served.size.sent) == (None, "1024x1024")
    assert served.adjustments == (
        Adjustment("size", None, How.MAPPED, "1024x1024"),
        Adjustment("quality", None, How.MAPPED, "max"),
        Adjustment("quality", "max", How.MAPPED, "high"),
    )


PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(["auto", "16:9", "2K", "512x512", "1536x864", "10000x100"]),
        "aspect_ratio": st.sampled_from(["auto", "1:1", "9:16", "1.85:1"]),
        "resolution": st.sampled_from(["auto", "1K", "512", "16K"]),
        "fit": st.sampled_from(["none", "cover", "contain"]),
        "quality": st.sampled_from(["low", "hd", "standard", "max", "auto"]),
        "output_format": st.sampled_from(["png", "jpeg", "webp", "gif", "avif", "svg"]),
        "output_compression": st.sampled_from([0, 50, 100]),
        "background": st.sampled_from(["transparent", "opaque", "auto", "#123456", "white"]),
        "n": st.integers(1, 10),
        "stream": st.booleans(),
        "partial_images": st.integers(0, 3),
        "seed": st.integers(-1, 9),
        "moderation": st.sampled_from(["auto", "low"]),
        "input_fidelity": st.sampled_from(["low", "high"]),
        "frame_count": st.integers(2, 16),
        "user": st.just("u"),
        "svg": st.just({"model": "x"}),
        "zoom": st.just([1]),
    },
)
NAMES = st.sampled_from(load_catalog().names())


SAYS_NOTHING = [
    ("quality", "auto"),
    ("output_compression", 100),
    ("partial_images", 0),
    ("background", "opaque"),
    ("background", "auto"),
    ("stream", False),
]


@given(PARAMS, NAMES, st.booleans(), st.booleans())
def test_nothing_is_silent(params: dict[str, object], name: str, strict: bool, edits: bool) -> None:
    """Every field is sent as asked, or told, or said by the size, or says what is so anyway."""
    model = entry_of(name)
    inputs = [InputSize(800, 600, "png")] if edits else []
    call = asked(strict=strict, images=[IMAGE] if edits else [], inputs=inputs, **params)
    outcome = fit(call, model)
    assert serves(call, model) is isinstance(outcome, Fitted)
    if not isinstance(outcome, Fitted):
        assert outcome.refusal.message
        return
    told = {one.field for one in outcome.adjustments}
    got = outcome.call.params
    for field, value in params.items():
        if field in ("size", "aspect_ratio", "resolution"):
            continue
        unsaid = (
            (field == "fit" and (value == "none" or params.get("size") == outcome.size.sent))
            or (field, value) in SAYS_NOTHING
            or (field == "output_format" and value in model.output_formats)
            # What the target makes is seen in its answer, and converted then, which is told with the answer.
            or (field == "output_format" and outcome.finish is not None and outcome.finish.format == value)
            or (field == "moderation" and value == "auto" and (edits or field not in model.fields))
        )
        assert got.get(field) == value or field in told or unsaid, field
    for field in got:
        assert field in model.fields or model.passthrough or field in ("n", "size"), field
    if strict:
        assert outcome.finish is None
        assert outcome.size.rule in (Rule.EXACT, Rule.AUTO, Rule.FILLED)
    assert sum(outcome.batches) == call.n
    assert fit(call, model) == outcome


def test_inputs_of_every_form_are_the_same_to_a_target() -> None:
    seen = [InputSize(800, 600, "png")]
    file, link = asked(images=[IMAGE], inputs=seen), asked(images=[InputRef("https://a.b/c")], inputs=seen)
    assert sent(file) == sent(link)
    assert isinstance(IMAGE, InputFile)
    assert file.operation is Operation.EDIT
