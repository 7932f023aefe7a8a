"""Headers and paths that choose how a request is fitted and told."""

from __future__ import annotations

import pytest

from config.normalization import Mode, ProjectNormalizationSettings
from gateway.api.preferences import preferences_of
from gateway.errors import InvalidRequest

PATH = "/v1/images/generations"


def project(mode: Mode | None = None, *, body: bool = False) -> ProjectNormalizationSettings:
    return ProjectNormalizationSettings(mode=mode, report="body" if body else "headers")


@pytest.mark.parametrize(
    ("header", "of_project", "of_model", "usual", "strict"),
    [
        (None, None, None, "snap", False),
        (None, None, None, "strict", True),
        (None, None, "strict", "snap", True),
        (None, "snap", "strict", "strict", False),
        ("strict", "snap", "snap", "snap", True),
        ("Snap ", "strict", "strict", "strict", False),
    ],
)
def test_the_requests_own_mode_counts_before_the_projects_the_models_and_the_deployments(
    header: str | None, of_project: Mode | None, of_model: Mode | None, usual: Mode, strict: bool
) -> None:
    headers = {b"x-imagegate-size-mode": header.encode()} if header else {}
    wishes = preferences_of(headers, PATH)
    assert wishes.is_strict(project(of_project), of_model, usual) is strict


@pytest.mark.parametrize(
    ("header", "body", "told"),
    [(None, False, False), (None, True, True), ("body", False, True), ("headers", True, False)],
)
def test_a_report_in_the_body_is_asked_for_by_the_request_or_the_project(
    header: str | None, body: bool, told: bool
) -> None:
    headers = {b"x-imagegate-report": header.encode()} if header else {}
    assert preferences_of(headers, PATH).reports(project(body=body)) is told


@pytest.mark.parametrize(
    ("path", "usual"),
    [
        (PATH, "b64_json"),
        ("/openai/v1/images/generations", "url"),
        ("/openai/v1/images/edits", "url"),
        ("/openai/deployments/dall-e-3/images/generations", "b64_json"),
    ],
)
def test_links_are_what_an_absent_response_format_means_on_one_path(path: str, usual: str) -> None:
    assert preferences_of({}, path).response_format == usual


@pytest.mark.parametrize("name", ["x-imagegate-size-mode", "x-imagegate-report"])
def test_a_word_that_is_none_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        preferences_of({name.encode(): b"loose"}, PATH)
    assert (caught.value.param, caught.value.code) == (name, "invalid_value")
    assert "'loose'. Supported values are:" in caught.value.message
