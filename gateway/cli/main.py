"""``imagegate``: the command line."""

from __future__ import annotations

import rich_click as click

from gateway.cli.backup import backup
from gateway.cli.check import check
from gateway.cli.close import close
from gateway.cli.credit import credit
from gateway.cli.doctor import doctor
from gateway.cli.drill import drill
from gateway.cli.estimate import estimate
from gateway.cli.export import export
from gateway.cli.keys import keys
from gateway.cli.media import media
from gateway.cli.migrate import migrate
from gateway.cli.models import models
from gateway.cli.reconcile import reconcile
from gateway.cli.reload import reload
from gateway.cli.restore import restore
from gateway.cli.route import route
from gateway.cli.serve import serve
from gateway.cli.usage import usage
from gateway.version import VERSION


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="imagegate")
def cli() -> None:
    """An OpenAI-compatible gateway for images: keys, quotas, failover and exact costs."""


for command in (
    serve,
    check,
    reload,
    doctor,
    migrate,
    backup,
    restore,
    models,
    estimate,
    route,
    keys,
    usage,
    export,
    close,
    credit,
    reconcile,
    drill,
    media,
):
    cli.add_command(command)


def main() -> None:
    cli(prog_name="imagegate")


if __name__ == "__main__":
    main()
