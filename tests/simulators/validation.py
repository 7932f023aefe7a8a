"""What OpenAI checks in a request for pictures, in its order and in its words.

Order of the checks where several things are wrong: model, unknown keys, prompt, images, n, then the rest.
The wording is the recorded one; where none was recorded the message says so by being short.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.simulators.forms import Form
from tests.simulators.input_pictures import form_images, json_images
from tests.simulators.models import FIXED_SIZES, MODELS, Model
from tests.simulators.refusals import USER_ERROR, Refusal, refusal
from tests.simulators.wording import Refused, bad_size, duplicate, invalid, missing, wrong_type

Fields = dict[str, object]

COMMON = {
    "model", "prompt", "n", "size", "quality", "background", "output_format", "output_compression", "stream",
    "partial_images", "user", "safety_identifier", "complexity", "frame_count", "frame_duration_ms", "svg",
}  # fmt: skip
GENERATION_FIELDS = COMMON | {"moderation"}
JSON_EDIT_FIELDS = COMMON | {"moderation", "images", "mask", "input_fidelity"}
FORM_EDIT_FIELDS = COMMON | {"image", "mask", "markup", "input_fidelity"}
ONLY_2_6 = ("complexity", "frame_count", "frame_duration_ms", "svg")
INTEGERS = {"n": (1, 10), "output_compression": (0, 100), "partial_images": (0, 3), "frame_count": (2, 16)}


@dataclass(slots=True)
class Job:
    """A request that OpenAI would carry out, with what ``auto`` resolved to."""

    model: Model
    prompt: str
    edit: bool
    n: int = 1
    size: tuple[int, int] = (1024, 1024)
    asked_size: str = "auto"
    quality: str = "medium"
    asked_quality: str = "auto"
    background: str = "opaque"
    asked_background: str = "auto"
    output_format: str = "png"
    stream: bool = False
    partials: int = 0
    fidelity: str = "low"
    safety_identifier: str | None = None
    svg: Mapping[str, object] = field(default_factory=dict)
    inputs: Sequence[tuple[int, int]] = ()

    @property
    def resolved_size(self) -> str:
        return f"{self.size[0]}x{self.size[1]}"


def read_json(body: bytes) -> Fields:
    """The body's object, or OpenAI's refusal of what is none."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise Refused(
            refusal(
                400,
                "We could not parse the JSON body of your request. (HINT: This likely means you aren't using "
                "your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was "
                "not valid JSON.",
            )
        )
    return fields


def read_form(form: Form) -> Fields:
    """A form's parts as fields: text as str, files as FilePart, ``name[]`` lists and ``a[b]`` objects."""
    fields: Fields = {}
    parts: list[tuple[str, object]] = [*form.texts, *((part.name, part) for part in form.files)]
    for name, value in parts:
        root, *keys = re.findall(r"[^\[\]]+", name) or [name]
        if name.endswith("[]"):
            listed = fields.setdefault(root, [])
            if not isinstance(listed, list):
                raise duplicate(root)
            listed.append(value)
        elif keys:
            inner = fields.setdefault(root, {})
            for key in keys[:-1]:
                inner = inner.setdefault(key, {}) if isinstance(inner, dict) else {}
            if isinstance(inner, dict):
                inner[keys[-1]] = value
        elif name in fields:
            raise duplicate(name)
        else:
            fields[name] = value
    return fields


def check(fields: Fields, *, edit: bool, form: bool, azure: bool, model: Model | None = None) -> Job:
    """The job that the fields describe, or :class:`Refused`. ``model`` is the one that an Azure deployment
    names; there the body's own ``model`` means nothing."""
    if model is None:
        model = _model(fields)
    known = (FORM_EDIT_FIELDS if form else JSON_EDIT_FIELDS) if edit else GENERATION_FIELDS
    _no_unknown(fields, known, edit, form)
    # From here on null means "left out"; but a null prompt is a wrong type, not a missing one.
    prompt = _prompt(fields)
    fields = {name: value for name, value in fields.items() if value is not None}
    job = Job(model, prompt, edit)
    if edit:
        job.inputs = form_images(fields, azure) if form else json_images(fields)
    if form:
        fields = {name: _from_text(name, value) for name, value in fields.items()}
    for name, (low, high) in INTEGERS.items():
        _integer(fields, name, low, high)
    _choices(fields, job, azure)
    _size(fields, job)
    _combinations(fields, job)
    return job


# -- the steps


def _model(fields: Fields) -> Model:
    if "model" not in fields:
        raise missing("model")
    name = fields["model"]
    if not isinstance(name, str):
        raise wrong_type("model", "a string", name)
    if name not in MODELS:
        raise Refused(
            refusal(
                400,
                f"The model '{name}' does not exist.",
                type=USER_ERROR,
                param="model",
                code="invalid_value",
            )
        )
    return MODELS[name]


def _no_unknown(fields: Fields, known: set[str], edit: bool, form: bool) -> None:
    for name in fields:
        if name in known:
            continue
        if edit and not form and name == "image":
            raise invalid(
                "image",
                "Unknown parameter: 'image'. For application/json on /v1/images/edits, use 'images' (array).",
            )
        if edit and form and name == "images":
            raise invalid(
                "images",
                "Unknown parameter: 'images'. For multipart/form-data use 'image' or 'image[]'.",
            )
        raise Refused(refusal(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter"))


def _prompt(fields: Fields) -> str:
    if "prompt" not in fields:
        raise missing("prompt")
    prompt = fields["prompt"]
    if not isinstance(prompt, str):
        raise wrong_type("prompt", "a string", prompt)
    if not prompt:
        raise Refused(
            refusal(
                400,
                "Invalid 'prompt': empty string. Expected a string with minimum length 1, but got an empty "
                "string instead.",
                param="prompt",
                code="empty_string",
            )
        )
    if len(prompt) > 32_000:
        raise Refused(
            refusal(
                400,
                "Invalid 'prompt': string too long. Expected a string with maximum length 32000, but got a "
                f"string with length {len(prompt)} instead.",
                param="prompt",
                code="string_above_max_length",
            )
        )
    return prompt


def _from_text(name: str, value: object) -> object:
    """A form's text value as the type its field has."""
    if not isinstance(value, str):
        return value
    if name in INTEGERS or name == "frame_duration_ms":
        if re.fullmatch(r"[+-]?\d+", value):
            return int(value)
        raise Refused(
            refusal(
                400,
                f"Invalid type for '{name}': expected an integer, but got a string value that could not be "
                "converted into an integer.",
                param=name,
                code="invalid_type",
            )
        )
    if name == "stream":
        return {"true": True, "false": False}.get(value.lower(), value)
    return value


def _integer(fields: Fields, name: str, low: int, high: int) -> None:
    value = fields.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    for wrong, side, sign, bound in (
        (value < low, ("below", "min"), ">=", low),
        (value > high, ("above", "max"), "<=", high),
    ):
        if wrong:
            side_words = "below minimum" if side[0] == "below" else "above maximum"
            raise Refused(
                refusal(
                    400,
                    f"Invalid '{name}': integer {side_words} value. Expected a value {sign} {bound}, but got "
                    f"{value} instead.",
                    param=name,
                    code=f"integer_{side[0]}_{side[1]}_value",
                )
            )


def _choices(fields: Fields, job: Job, azure: bool) -> None:
    quality = _choice(fields, "quality", job.model.qualities, _unserved_quality(job.model)) or "auto"
    job.asked_quality = quality
    # "auto" is chosen per prompt by OpenAI; here it is always the same, Azure's default being high.
    job.quality = quality if quality != "auto" else "high" if azure and "quality" not in fields else "medium"
    formats = ("png", "jpeg") if azure else job.model.formats
    job.output_format = _choice(fields, "output_format", formats) or "png"
    _choice(fields, "moderation", ("auto", "low"))
    job.asked_background = _choice(fields, "background", ("transparent", "opaque", "auto")) or "auto"
    job.background = "transparent" if job.asked_background == "transparent" else "opaque"
    _choice(fields, "complexity", ("low", "medium", "high"))
    stream = fields.get("stream", False)
    if not isinstance(stream, bool):
        raise wrong_type("stream", "a boolean", stream)
    job.stream = stream
    for name in ("user", "safety_identifier"):
        if name in fields and not isinstance(fields[name], str):
            raise wrong_type(name, "a string", fields[name])
    job.safety_identifier = str(fields.get("safety_identifier") or fields.get("user") or "") or None


def _unserved_quality(model: Model) -> Callable[[str], Refusal | None]:
    def judge(value: str) -> Refusal | None:
        if value not in ("xhigh", "max"):
            return None
        message = f"The model '{model.id}' does not support quality '{value}'"
        return refusal(400, message, param="quality", code="invalid_value")

    return judge


def _choice(
    fields: Fields,
    name: str,
    values: Sequence[str],
    special: Callable[[str], Refusal | None] = lambda value: None,
) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if value not in values:
        if known := special(value):
            raise Refused(known)
        words = [f"'{word}'" for word in values]
        listed = " and ".join(words) if len(words) == 2 else ", ".join(words[:-1]) + ", and " + words[-1]
        raise invalid(name, f"Invalid value: '{value}'. Supported values are: {listed}.")
    return value


def _size(fields: Fields, job: Job) -> None:
    size = fields.get("size", "auto")
    if not isinstance(size, str):
        raise wrong_type("size", "a string", size)
    job.asked_size = size
    if size == "auto":
        return
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", size)
    width, height = (int(match[1]), int(match[2])) if match else (0, 0)
    if not job.model.flexible:
        if size not in FIXED_SIZES:
            raise bad_size(size, f"Supported sizes are {', '.join(FIXED_SIZES)}, and auto.")
    elif not width or not height:
        raise bad_size(size, "Expected WIDTHxHEIGHT, for example '1824x1024'.")
    elif width % 16 or height % 16:
        raise bad_size(size, "Width and height must both be divisible by 16.")
    elif max(width, height) > 3840:
        raise bad_size(size, "The longest edge must be less than or equal to 3840.")
    elif max(width, height) > 3 * min(width, height):
        raise bad_size(size, "The ratio of the longest edge to the shortest must be at most 3.")
    elif width * height < 655_360:
        raise bad_size(size, "Requested resolution is below the current minimum pixel budget.")
    elif width * height > 8_294_400:
        raise bad_size(size, "Requested resolution is above the current maximum pixel budget.")
    job.size = width, height


def _combinations(fields: Fields, job: Job) -> None:
    if "input_fidelity" in fields:
        value = _choice(fields, "input_fidelity", ("low", "high")) or "low"
        if value not in job.model.fidelity:
            raise Refused(
                refusal(
                    400,
                    f"The model '{job.model.id}' does not support the 'input_fidelity' parameter.",
                    param="input_fidelity",
                    code="invalid_input_fidelity_model",
                )
            )
        job.fidelity = value
    for name in ONLY_2_6:
        if name in fields and job.model.generation < 2.6:
            raise invalid(name, f"The model '{job.model.id}' does not support the '{name}' parameter.")
    if "markup" in fields and job.model.generation < 2.5:
        raise invalid("markup", f"The model '{job.model.id}' does not support the 'markup' parameter.")
    if "markup" in fields and "mask" in fields:
        raise invalid("markup", "Provide either 'mask' or 'markup', not both.")
    if job.background == "transparent" and job.output_format == "jpeg":
        raise invalid("background", "Transparent background is not supported for JPEG output format.")
    compression = fields.get("output_compression", 100)
    if job.output_format not in ("jpeg", "webp") and compression != 100:
        raise invalid(
            "output_compression",
            f"Compression less than 100 is not supported for {job.output_format.upper()} output format.",
        )
    job.n = int(str(fields.get("n", 1)))
    job.partials = int(str(fields.get("partial_images", 0)))
    if job.partials and not job.stream:
        raise invalid("partial_images", "'partial_images' is only supported when 'stream' is true.")
    svg = fields.get("svg", {})
    job.svg = svg if isinstance(svg, dict) else {}
    if job.output_format in ("gif", "svg") and job.stream:
        raise invalid("stream", f"Streaming is not supported for {job.output_format.upper()} output.")
    if job.output_format == "svg" and job.n != 1:
        raise invalid("n", "SVG output supports n=1 only.")
