"""Headers, body report and record say the same of how a request was served, whatever was asked."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from config.catalog import load_catalog
from gateway.engine.served import Served
from gateway.images.call import ImageCall
from gateway.images.fitted import Adjustment, Fitted, How, Rule, SizeChoice
from gateway.images.sniff import Picture
from gateway.routing.directory import Target
from gateway.routing.plan import Candidate
from providers.base import Operation

ENTRY = load_catalog().get("gpt-image-2")
CALL = ImageCall(Operation.GENERATE, "gpt-image-2", "a red kite")

words = st.text(max_size=30).filter(lambda text: not re.search("[\ud800-\udfff]", text))
pixels = st.tuples(st.integers(1, 4096), st.integers(1, 4096))
seen = pixels.map(lambda size: Picture("png", *size))
unseen = st.just(Picture(None, None, None))
sizes = st.builds(
    SizeChoice,
    rule=st.sampled_from(Rule),
    requested=st.none() | words,
    sent=words,
    fields=st.just({}),
)
adjustments = st.builds(
    Adjustment,
    field=st.sampled_from(["quality", "n", "output_format", "seed", "x_own"]),
    was=st.none() | words,
    how=st.sampled_from(How),
    now=st.none() | words,
)


@given(
    sizes,
    st.lists(adjustments, max_size=4),
    st.lists(seen | unseen, min_size=1, max_size=4),
    st.lists(adjustments, max_size=2),
)
def test_headers_body_and_record_say_the_same(
    size: SizeChoice, planned: list[Adjustment], pictures: list[Picture], came_out: list[Adjustment]
) -> None:
    assert ENTRY is not None
    candidate = Candidate(
        Target("here", "gpt-image-2", ENTRY), Fitted(CALL, size, (1,), adjustments=tuple(planned))
    )
    served = Served(candidate).delivered(pictures, came_out)
    headers = dict(served.headers())
    report = json.loads(json.dumps(served.report(None, "req_1")))
    row = served.record()

    told = dictionary(headers["x-imagegate-size"])
    received = told.get("received")
    assert report["size"] == {"requested": None, "received": None, **told}
    assert (row.size_requested, row.size_sent, row.size_rule) == (
        told.get("requested"),
        told["sent"],
        told["rule"],
    )
    assert row.size_received == (" ".join(received) if isinstance(received, list) else received)

    changes = listing(headers.get("x-imagegate-adjustments", ""))
    assert changes == report["adjustments"] == json.loads(row.adjustments or "[]")
    settled = {each.field for each in came_out}
    meant = [each for each in planned if each.how is How.EMULATED and each.field in settled]
    assert sorted(map(str, served.fitted.adjustments)) == sorted(
        map(str, [*(each for each in planned if each not in meant), *dict.fromkeys(came_out)])
    )


# RFC 9651, as far as these headers go.
_VALUE = r'%?"(?:[^"\\]|\\.)*"|\((?:[^()"]|"[^"]*")*\)|[A-Za-z*][^\s;,=]*'
_MEMBER = re.compile(rf"(?P<key>[a-z*][a-z0-9_.*-]*)=(?P<value>{_VALUE})")


def dictionary(text: str) -> dict[str, Any]:
    return {match["key"]: value(match["value"]) for match in _MEMBER.finditer(text)}


def listing(text: str) -> list[dict[str, Any]]:
    """Each member as the documents have it."""
    parameters = rf"(?:;[a-z*][a-z0-9_.*-]*=(?:{_VALUE}))*"
    return [
        {"field": value(match["bare"]), "from": None, "to": None, **dictionary(match["parameters"])}
        for match in re.finditer(rf"(?P<bare>{_VALUE})(?P<parameters>{parameters})", text)
    ]


def value(text: str) -> Any:
    if text.startswith("("):
        return [value(each) for each in re.findall(_VALUE, text[1:-1])]
    if text.startswith("%"):
        return unquote(text[2:-1])
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
