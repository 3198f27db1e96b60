"""The command `console`."""

from __future__ import annotations

from pathlib import Path

import click

from traksense_ingest.ops.help import Group, argument, option
from traksense_ingest.shared import ports

FILE = click.Path(dir_okay=False, path_type=Path)
WHERE, WHO = "Addresses", "Access"


@click.group(cls=Group, invoke_without_command=True)
@option("--host", section=WHERE, envvar="CONSOLE_HOST", show_envvar=True, default="127.0.0.1", help="The address.")
@option(
    "--port",
    section=WHERE,
    envvar=ports.CONSOLE.variable,
    show_envvar=True,
    type=click.IntRange(0, ports.LAST_PORT),
    default=ports.CONSOLE.default,
    help="The port; 0: a free one.",
)
@option(
    "--prefix",
    section=WHERE,
    envvar="CONSOLE_PREFIX",
    show_envvar=True,
    metavar="PATH",
    help="The path of the console behind a reverse proxy, such as /ingest.",
)
@option(
    "--users",
    section=WHO,
    envvar="CONSOLE_USERS",
    show_envvar=True,
    type=FILE,
    help="The file of users, which `console user` writes. Without it, anyone with the link is an operator.",
)
@option(
    "--allow-host",
    "names",
    section=WHO,
    envvar="CONSOLE_HOSTS",
    show_envvar=True,
    multiple=True,
    metavar="NAME",
    help="A host name under which browsers reach it, in addition to localhost; may be given several times.",
)
@option(
    "--proxy",
    "proxies",
    section=WHERE,
    envvar="CONSOLE_PROXIES",
    show_envvar=True,
    multiple=True,
    metavar="ADDRESS",
    help="A reverse proxy on another machine, whose X-Forwarded-For and -Proto are trusted.",
)
@option(
    "--link-file",
    section=WHO,
    envvar="CONSOLE_LINK_FILE",
    show_envvar=True,
    type=FILE,
    help="Write the link to this file, which only its owner can read, instead of to the log.",
)
@click.pass_context
def console(
    ctx: click.Context,
    host: str,
    port: int,
    prefix: str | None,
    users: Path | None,
    names: tuple[str, ...],
    proxies: tuple[str, ...],
    link_file: Path | None,
) -> None:
    """Show the pipeline in a browser.

    Pages for the person on call: the state of the pipeline, dead letters and their replay, devices, a playground for
    mappings, and the streams. It prints a link, which can be used once; with --users it asks for a name and a password.
    An address other than loopback needs --users. Runs until Ctrl-C or SIGTERM. Needs the extra `console`.

    \b
    Examples:
      traksense-ingest console
      # for others, behind a reverse proxy with TLS
      traksense-ingest console user ana --users users.txt
      traksense-ingest console --host 0.0.0.0 \\
        --users users.txt --allow-host ingest.example.com
    """
    if ctx.invoked_subcommand:
        return
    from traksense_ingest.ops.console.packages import require

    require()
    from traksense_ingest.ops.console.options import Options
    from traksense_ingest.ops.console.run import run_console

    run_console(users, lambda known: Options.checked(host, port, known, names, prefix or "", link_file, proxies))


@console.command()
@argument("name", metavar="NAME", explanation="Letters, digits, and any of . _ @ and -.")
@option("--users", type=FILE, required=True, envvar="CONSOLE_USERS", show_envvar=True, help="The file to add it to.")
@option(
    "--role",
    type=click.Choice(("viewer", "operator")),
    default="viewer",
    help="A viewer can only read; an operator can also replay dead letters.",
)
def user(name: str, users: Path, role: str) -> None:
    """Add a user, or change one.

    Asks for the password, or reads it from stdin if stdin is not a terminal. The file holds its scrypt hash. A console
    reads the file when it starts: restart it after a change.

    \b
    Examples:
      traksense-ingest console user ana --users users.txt
      # an operator
      traksense-ingest console user rui \\
        --users users.txt --role operator
    """
    from traksense_ingest.ops.console.add_user import add_user

    add_user(name, users, role)
