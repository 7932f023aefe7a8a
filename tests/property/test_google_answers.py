"""Whatever an answer of Google's holds, it becomes one picture in OpenAI's words or a classified error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from providers.base import ImageResult, ProviderError
from providers.google.errors import refusal
from providers.google.generate_content import Answer
from providers.scrub import Scrubber

PICTURE = "iVBORw0KGgo="
_odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)


def _objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly as it should be, else with parts that are missing or not at all what they should be."""
    damaged = {name: st.one_of(value, _odd) for name, value in fields.items()}
    whole = st.fixed_dictionaries(fields)
    return st.integers(0, 9).flatmap(
        lambda pick: whole if pick < 8 else st.one_of(st.fixed_dictionaries({}, optional=damaged), _odd)
    )


_inline = _objects(mimeType=st.sampled_from(["image/png", "image/jpeg"]), data=st.just(PICTURE))
_part = _objects(text=st.text(max_size=9), inlineData=_inline, thought=st.booleans())
_candidate = _objects(
    content=_objects(parts=st.lists(_part, max_size=3)),
    finishReason=st.sampled_from(["STOP", "IMAGE_SAFETY", "NO_IMAGE", "ESCALATION", "NEW"]),
    finishMessage=st.text(max_size=9),
    safetyRatings=st.lists(_objects(category=st.just("HARM_CATEGORY_X"), blocked=st.booleans()), max_size=2),
)
_detail = _objects(modality=st.sampled_from(["IMAGE", "TEXT"]), tokenCount=st.integers(-1, 9))
_usage = _objects(
    promptTokenCount=st.integers(-1, 9),
    candidatesTokenCount=st.integers(-1, 9),
    thoughtsTokenCount=st.integers(-1, 9),
    totalTokenCount=st.integers(-1, 30),
    promptTokensDetails=st.lists(_detail, max_size=2),
    candidatesTokensDetails=st.lists(_detail, max_size=2),
)
ANSWERS = _objects(
    candidates=st.lists(_candidate, max_size=2),
    promptFeedback=st.one_of(st.just({}), _objects(blockReason=st.just("SAFETY"))),
    usageMetadata=_usage,
    responseId=st.text(max_size=4),
).map(lambda document: document if isinstance(document, dict) else {})
_violation = _objects(quotaId=st.just("PerDay"), quotaValue=st.sampled_from(["0", "5"]))
ERRORS = _objects(
    error=_objects(
        message=st.one_of(st.text(max_size=20), st.just("Please retry in 1h2m3.5s.")),
        status=st.sampled_from(["INVALID_ARGUMENT", "x"]),
        details=st.lists(
            _objects(retryDelay=st.sampled_from(["3s", "s"]), violations=st.lists(_violation, max_size=2)),
            max_size=2,
        ),
    )
)


async def _chunks(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def _nothing() -> None: ...


@settings(max_examples=300, deadline=None)
@given(document=ANSWERS, size=st.integers(1, 60))
async def test_an_answer_is_one_picture_or_a_classified_error(document: dict[str, Any], size: int) -> None:
    body = _chunks(json.dumps(document).encode(), size)
    result = ImageResult(body=body, aclose=_nothing)
    spoken = b""
    with suppress(ProviderError):
        spoken = b"".join([piece async for piece in Answer("google", Scrubber(), "x").spoken(body, result)])
    event("a picture" if spoken else "an error")
    if not spoken:
        return
    answer = json.loads(spoken)
    assert answer["data"] == [{"b64_json": PICTURE}]
    if "usage" in answer:
        usage = answer["usage"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        assert sum(usage["output_tokens_details"].values()) == usage["output_tokens"]
        assert all(count >= 0 for count in usage["output_tokens_details"].values())


@settings(max_examples=300, deadline=None)
@given(
    document=st.one_of(ERRORS, st.lists(ERRORS, max_size=2)),
    status=st.sampled_from([302, 400, 429, 500, 503]),
)
def test_every_error_body_is_classified(document: object, status: int) -> None:
    error = refusal(status, {}, json.dumps(document).encode(), provider="google", scrub=Scrubber())
    assert error.status == status
    assert error.message
    assert error.retry_after is None or error.retry_after >= 0
