import pytest

from gateway.images.events import Event, EventSplitter, encode

PARTIAL = encode(
    "image_generation.partial_image", {"type": "image_generation.partial_image", "b64_json": "A" * 20000}
)
DONE = encode("image_generation.completed", {"type": "image_generation.completed", "b64_json": "QUJD"})
CUT = b'event: image_generation.completed\ndata: {"typ'


def split(body: bytes, step: int) -> tuple[list[tuple[bytes, Event]], bytes]:
    splitter, held, events = EventSplitter(), b"", []
    for at in range(0, len(body), step):
        for piece, event in splitter.feed(body[at : at + step]):
            held += piece
            if event is not None:
                events.append((held, event))
                held = b""
    return events, held


@pytest.mark.parametrize("step", [1, 2, 3, 5, 7, 100, 4999, 5000, 10**6])
def test_events_come_out_whole_and_unchanged_whatever_the_chunks(step: int) -> None:
    events, rest = split(b": ping\n\n" + PARTIAL + DONE + b"data: [DONE]\n\n" + CUT, step)
    assert [event.name for _, event in events] == [
        "",
        "image_generation.partial_image",
        "image_generation.completed",
        "",
    ]
    assert [raw for raw, _ in events][1:3] == [PARTIAL, DONE]
    assert [event.scanned is None for _, event in events] == [True, False, False, True]
    assert rest == CUT


@pytest.mark.parametrize("step", [1, 4, 1000])
def test_carriage_returns_and_a_missing_event_line_are_understood(step: int) -> None:
    body = b'data: {"type":"image_edit.completed",\r\ndata: "b64_json":"QUJD"}\r\n\r\n'
    ((raw, event),), rest = split(body, step)
    assert (raw, rest) == (body, b"")
    assert event.name == "image_edit.completed"
    assert not event.named
    assert event.final


def test_an_event_with_broken_json_has_no_skeleton() -> None:
    ((_, event),), _ = split(b'event: image_edit.completed\ndata: {"a":\n\n', 3)
    assert event.image
    assert event.scanned is None
