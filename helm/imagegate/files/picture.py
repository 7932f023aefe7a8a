"""helm test: the gateway is ready, refuses a call without a key, and, where one is given, draws a picture."""

import base64
import json
import os
import urllib.error
import urllib.request

GATEWAY = os.environ["GATEWAY"]
KEY = os.environ.get("GATEWAY_KEY")


def call(path, body=None, key=None):
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(GATEWAY + path, data, headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


status, said = call("/readyz")
assert status == 200, f"/readyz says {status} {said}"
print("ready")

status, said = call("/v1/models")
assert status == 401, f"a call without a key was answered {status}"
print("a call without a key is refused")

if KEY:
    status, said = call(
        "/v1/images/generations",
        {"model": os.environ["MODEL"], "prompt": "a lighthouse", "response_format": "b64_json"},
        KEY,
    )
    assert status == 200, f"the picture was answered {status}: {said}"
    picture = base64.b64decode(said["data"][0]["b64_json"], validate=True)
    assert len(picture) > 100, "the picture is empty"
    print(f"a picture of {len(picture)} bytes")
