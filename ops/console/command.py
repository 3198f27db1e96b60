"""The command `console`."""

from __future__ import annotations

from pathlib import Path

import click

from traksense_ingest.ops.help import Group, argument, option
from traksense_ingest.shared import ports

FILE = click.Path(dir_okay=False, path_type=Path)
WHERE, WHO = "Where it listens", "Who may use it"


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
    help="The path that it has behind a reverse proxy, such as /ingest.",
)
@option(
    "--users",
    section=WHO,
    envvar="CONSOLE_USERS",
    show_envvar=True,
    type=FILE,
    help="A file of users, as `console user` writes it; without one, whoever has the link.",
)
@option(
    "--allow-host",
    "names",
    section=WHO,
    envvar="CONSOLE_HOSTS",
    show_envvar=True,
    multiple=True,
    metavar="NAME",
    help="A name under which browsers reach it, besides localhost; may be given several times.",
)
@option(
    "--proxy",
    "proxies",
    section=WHERE,
    envvar="CONSOLE_PROXIES",
    show_envvar=True,
    multiple=True,
    metavar="ADDRESS",
    help="A reverse proxy on another machine, whose X-Forwarded-For and -Proto are believed.",
)
@option(
    "--link-file",
    section=WHO,
    envvar="CONSOLE_LINK_FILE",
    show_envvar=True,
    type=FILE,
    help="Keep the link in this file, which only its owner can read, instead of in the log.",
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

    Pages for the person on call: how the pipeline is doing, dead letters and their replay, devices, a playground for
    mappings, and the streams. It prints a link that opens it once; with --users it asks for a name and a password.
    Another address than this machine's own needs users. Runs until Ctrl-C or SIGTERM; needs the extra `console`.

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
    help="A viewer changes nothing; an operator replays dead letters.",
)
def user(name: str, users: Path, role: str) -> None:
    """Add a user, or change one.

    Asks for the password, or reads it from stdin if that is no terminal. The file holds its scrypt hash. A console
    that runs reads the file when it starts.

    \b
    Examples:
      traksense-ingest console user ana --users users.txt
      # an operator
      traksense-ingest console user rui \\
        --users users.txt --role operator
    """
    from traksense_ingest.ops.console.add_user import add_user

    add_user(name, users, role)
