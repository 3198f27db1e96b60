"""The commands of `traksense-ingest mapping`: their options, and the texts of `--help`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from traksense_ingest.ops.dlq.options import selectors
from traksense_ingest.ops.help import Command, Group, argument, option
from traksense_ingest.ops.mapping import options
from traksense_ingest.ops.mapping.options import FILE, MESSAGES, Given, as_json, given_message, only_one, specs

COMPARED = "What is compared"


@click.group(cls=Group)
def mapping() -> None:
    """Check, try or draft mappings.

    A mapping is a YAML file that says which rows are made of the messages on some topics. INGEST_MAPPINGS names the
    mappings that receivers and writers use: names of the library, which is installed with this program, and paths of
    files or folders. These commands store nothing and change nothing; they write a file only where an option names one.
    docs/mappings.md is a tutorial, and docs/mapping-language.md explains the language.

    \b
    Examples:
      # list the library; draft one for an unknown device
      traksense-ingest mapping formats
      traksense-ingest mapping new --live 30s 'plant/#'
      # check a mapping, and see what messages become
      traksense-ingest mapping lint plant.yaml
      traksense-ingest mapping test plant.yaml
      traksense-ingest mapping try plant.yaml --live 30s
    """


@mapping.command(cls=Command)
@specs
@option("--strict", is_flag=True, help="Exit with code 1 if there are warnings.")
@as_json
def lint(specs: tuple[str, ...], strict: bool, as_json: bool) -> None:
    """Show all errors of mappings.

    Each error is shown with its line, a caret below the column, what was found and what is allowed. Receivers and
    writers don't start with a mapping that has one, or whose own tests fail (`mapping test`). A warning is about
    something that is allowed but probably a mistake: a route that no message can reach, topics that overlap, a name
    that is never used, a route without a test.
    The exit code is 2 if there are errors, and 1 if there are warnings and --strict is given.

    \b
    Examples:
      # check the mappings in INGEST_MAPPINGS
      traksense-ingest mapping lint
      traksense-ingest mapping lint plant.yaml ./more/
      # print JSON, for an editor
      traksense-ingest mapping lint --json plant.yaml
    """
    from traksense_ingest.ops.mapping.lint import lint_mappings

    lint_mappings(specs, strict=strict, as_json=as_json)


@mapping.command(cls=Command)
@specs
@option("--coverage", is_flag=True, help="Also show the routes and points that no test reaches.")
@as_json
def test(specs: tuple[str, ...], coverage: bool, as_json: bool) -> None:
    """Run the tests in mappings.

    A test is a message with the rows that it must become. For a test that fails, the expected rows are shown beside
    those that were found. The exit code is 1 if a test fails, and 2 if a mapping has errors.

    \b
    Examples:
      traksense-ingest mapping test plant.yaml
      # check that every route and every point is tested
      traksense-ingest mapping test plant.yaml --coverage
    """
    from traksense_ingest.ops.mapping.tests import run

    run(specs, shows_coverage=coverage, as_json=as_json)


@mapping.command("try", cls=Command)
@argument(
    "spec",
    metavar="[MAPPINGS]",
    required=False,
    explanation="As in INGEST_MAPPINGS, separated by commas. The default is INGEST_MAPPINGS.",
)
@given_message
@options.dlq_id
@options.stream
@options.live
@options.capture
@options.save
@option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Show which routes have the topic and why they don't take a message, and whole payloads.",
)
@as_json
def try_(
    spec: str | None,
    topic: str | None,
    payload: str | None,
    payload_file: Path | None,
    hexadecimal: str | None,
    received: datetime | None,
    retained: bool,
    dlq: int | None,
    stream: int | None,
    live: float | None,
    capture: Path | None,
    save: Path | None,
    verbose: bool,
    as_json: bool,
) -> None:
    """Show the rows that messages would become.

    For a message that would become a dead letter, it shows the reason, with an arrow to the place in the payload. The
    messages come from the command line, the dead letters, the streams, a file or the broker. Nothing is stored, and no
    message is taken away from a receiver or a writer. --dlq needs DATABASE_URL, --stream REDIS_URL and --live MQTT_URL.
    The exit code is 1 if there is only one message and it would not be stored, and 2 if a mapping has errors.

    \b
    Examples:
      traksense-ingest mapping try plant.yaml \\
        --topic plant/north/7 --payload '{"temp": 4.2}'
      # try what devices send now, and save it to a file
      traksense-ingest mapping try plant.yaml --live 30s \\
        --save plant.jsonl
      # see why no route takes a dead letter
      traksense-ingest mapping try plant.yaml --dlq 4711 -v
    """
    given = Given(topic, payload, payload_file, hexadecimal, received, retained)
    only_one(payload=given.has_payload, dlq=dlq, stream=stream, live=live, capture=capture)
    from traksense_ingest.ops.mapping.sources import Source
    from traksense_ingest.ops.mapping.trial import try_messages

    try_messages(spec, Source(given, dlq, None, stream, live, capture), save, is_verbose=verbose, as_json=as_json)


@mapping.command(cls=Command)
@argument("old", metavar="OLD", section=COMPARED, explanation="The mappings as they are, as in INGEST_MAPPINGS.")
@argument("new", metavar="NEW", section=COMPARED, explanation="The mappings as they would be.")
@option(
    "--dlq",
    "letters",
    section=MESSAGES,
    is_flag=True,
    help="Compare dead letters: all, or those that the options below select.",
)
@selectors
@options.stream
@options.live
@options.capture
@options.topic
@as_json
def diff(
    old: str,
    new: str,
    letters: bool,
    tenant: str | None,
    reason: str | None,
    device: str | None,
    text: str | None,
    since: datetime | None,
    until: datetime | None,
    stream: int | None,
    live: float | None,
    capture: Path | None,
    topic: str | None,
    as_json: bool,
) -> None:
    """Compare what two mappings make of messages.

    For each message it shows the rows that are added (+), removed (-) or different (~) with the second mapping, and at
    the end a summary. Dead letters with the same difference are shown once, with their number. The exit code is 1 if
    there is a difference, and 2 if a mapping has errors.

    \b
    Examples:
      # see what a new version would change
      traksense-ingest mapping diff plant.yaml new.yaml \\
        --live 5m
      traksense-ingest mapping diff plant.yaml new.yaml \\
        --capture plant.jsonl
      # see which dead letters it would store
      traksense-ingest mapping diff plant.yaml new.yaml \\
        --dlq --since 3d
    """
    only_one(dlq=letters, stream=stream, live=live, capture=capture)
    if not letters and any((tenant, reason, device, text, since, until)):
        names = "--tenant, --reason, --device, --text, --since and --until"
        raise click.UsageError(f"{names} are about dead letters: only with --dlq")
    from traksense_ingest.ops.dlq.dead_letter import Selection
    from traksense_ingest.ops.mapping.difference import compare
    from traksense_ingest.ops.mapping.sources import Source

    chosen = Selection(tenant=tenant, reason=reason, device=device, text=text, since=since, until=until)
    selection = chosen if letters else None
    compare(old, new, Source(Given(topic=topic), None, selection, stream, live, capture), as_json=as_json)


@mapping.command(cls=Command)
@argument(
    "filters",
    metavar="[TOPIC]...",
    section=MESSAGES,
    nargs=-1,
    explanation="With --live: the topic filters to subscribe to.",
)
@options.live
@options.capture
@given_message
@option("--tenant", help="The tenant that the devices belong to.")
@option("--name", show_default="made from the topics", help="The name of the mapping.")
@option(
    "-o", "--output", type=FILE, show_default="stdout", help="Write the mapping to this file, which must not exist yet."
)
@option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def new(
    filters: tuple[str, ...],
    live: float | None,
    capture: Path | None,
    topic: str | None,
    payload: str | None,
    payload_file: Path | None,
    hexadecimal: str | None,
    received: datetime | None,
    retained: bool,
    tenant: str | None,
    name: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Draft a mapping from messages.

    It says which messages a mapping of the library already reads. For the others it drafts a mapping: which level of
    the topic is the device, which field is the time, and which values are points. Comments say what you have to decide,
    and tests are made from the messages. The draft has no errors, and its tests pass.

    \b
    Examples:
      traksense-ingest mapping new --live 30s 'plant/#' \\
        --tenant acme -o plant.yaml
      # from messages that were saved, or from one message
      traksense-ingest mapping new --capture plant.jsonl
      traksense-ingest mapping new --topic plant/north/7 \\
        --payload '{"temp": 4.2}'
    """
    given = Given(topic, payload, payload_file, hexadecimal, received, retained)
    source = only_one(live=live, capture=capture, payload=given.has_payload)
    if (source == "live") != bool(filters):
        raise click.UsageError(
            "--live needs a topic filter, as in --live 30s 'plant/#'" if live else "TOPIC is only for --live"
        )
    from traksense_ingest.ops.mapping.draft.command import draft
    from traksense_ingest.ops.mapping.sources import Source

    draft(Source(given, None, None, None, live, capture, filters), tenant, name, output, as_json=as_json)


@mapping.command(cls=Command)
@argument("name", required=False, metavar="[NAME]", explanation="Show this mapping, with an example.")
@option("--copy", type=FILE, help="Copy the mapping to this file, which must not exist yet, to edit it.")
@as_json
def formats(name: str | None, copy: Path | None, as_json: bool) -> None:
    """List the mappings of the library.

    They are installed with this program, and INGEST_MAPPINGS takes them by name. With a NAME, the command shows what
    the mapping reads, its topics, the variables that can be set, and an example message with its rows.

    \b
    Examples:
      traksense-ingest mapping formats
      traksense-ingest mapping formats chirpstack
      # make your own version of it
      traksense-ingest mapping formats chirpstack \\
        --copy my-chirpstack.yaml
    """
    from traksense_ingest.ops.mapping.formats import copy_format, show_format, show_formats

    if copy is not None and name is None:
        raise click.UsageError("--copy: NAME is missing, the mapping to copy")
    if name is None:
        show_formats(as_json=as_json)
    elif copy is not None:
        copy_format(name, copy)
    else:
        show_format(name, as_json=as_json)
