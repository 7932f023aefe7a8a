"""Where messages to projects may go: encrypted, to the world or to an origin that the operator names."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loader import ConfigErrors, load


def text(url: str, origins: str = "[]") -> str:
    webhook = f"{{url: '{url}', secret: 'env:S'}}"
    return (
        "providers: {s: {type: sandbox}}\n"
        f"organization: {{webhook_origins: {origins}, projects: [{{name: p, webhook: {webhook}}}]}}\n"
    )


@pytest.mark.parametrize(
    ("url", "origins"),
    [
        ("https://hooks.example/imagegate?team=red", "[]"),
        ("http://hooks.intern:9000/x", "['http://hooks.intern:9000']"),
        ("https://hooks.intern:9443/x", "['https://hooks.intern:9443/']"),
    ],
)
def test_an_address_that_messages_may_go_to(tmp_path: Path, url: str, origins: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text(url, origins))
    (project,) = load(file, environ={"S": "x"}).settings.organization.projects
    assert project.webhook is not None
    assert project.webhook.url == url


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://hooks.example/x", "expected an address such as https://"),
        ("http://127.0.0.1:9000/x", "expected an address such as https://"),
        ("hooks.example", "expected an address such as https://"),
        ("https://u:p@hooks.example", "holds a user or a password"),
    ],
)
def test_an_address_that_they_may_not_go_to(tmp_path: Path, url: str, fault: str) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text(url))
    with pytest.raises(ConfigErrors, match=fault) as caught:
        load(file, environ={"S": "x"})
    assert "organization.projects[0].webhook.url" in str(caught.value)
    assert "u:p" not in str(caught.value)
