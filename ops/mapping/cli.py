"""The commands of `traksense-ingest mapping`: their options, and the texts of `--help`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from traksense_ingest.ops.dlq.options import selectors
from traksense_ingest.ops.help import Command, Group, argument, option
from traksense_ingest.ops.mapping import options
from traksense_ingest.ops.mapping.options import FILE, MESSAGES, Given, as_json, given_message, only_one, specs

OLD = "What was, and what will be"


@click.group(cls=Group)
def mapping() -> None:
    """Check, try or draft mapping files.

    A mapping says what a topic and a payload become. INGEST_MAPPINGS names those that receivers and writers use:
    names of the library that ships, files, folders. None of these commands changes anything but a file that is asked
    for. docs/mappings.md is a tutorial, docs/mapping-language.md the language.

    \b
    Examples:
      # what ships, and what comes from an unknown device
      traksense-ingest mapping formats
      traksense-ingest mapping new --live 30s 'plant/#'
      # is it right, and what becomes of a message?
      traksense-ingest mapping lint plant.yaml
      traksense-ingest mapping test plant.yaml
      traksense-ingest mapping try plant.yaml --live 30s
    """


@mapping.command(cls=Command)
@specs
@option("--strict", is_flag=True, help="Exit code 1 for warnings too.")
@as_json
def lint(specs: tuple[str, ...], strict: bool, as_json: bool) -> None:
    """Show all faults of mapping files.

    Each with its line, a caret below the column, what was found and what is allowed. A broken file stops receivers and
    writers at start. Warnings are of what is allowed and hardly meant: routes that no message reaches, topics that
    overlap, names that nobody uses, routes without a test. Exit code 2 with faults; 1 with --strict and warnings.

    \b
    Examples:
      # those of INGEST_MAPPINGS
      traksense-ingest mapping lint
      traksense-ingest mapping lint plant.yaml ./more/
      # for an editor
      traksense-ingest mapping lint --json plant.yaml
    """
    from traksense_ingest.ops.mapping.lint import lint_mappings

    lint_mappings(specs, strict=strict, as_json=as_json)


@mapping.command(cls=Command)
@specs
@option("--coverage", is_flag=True, help="Also name the routes and points that no test reaches.")
@as_json
def test(specs: tuple[str, ...], coverage: bool, as_json: bool) -> None:
    """Run the tests in mapping files.

    Each test has a message and what it must become. Of one that fails, the rows that were expected and those that were
    found are shown together. Exit code 1 if one fails.

    \b
    Examples:
      traksense-ingest mapping test plant.yaml
      # is every route and every point tested?
      traksense-ingest mapping test plant.yaml --coverage
    """
    from traksense_ingest.ops.mapping.tests import run

    run(specs, shows_coverage=coverage, as_json=as_json)


@mapping.command("try", cls=Command)
@argument("spec", metavar="MAPPINGS", explanation="A file, a folder, a name; several with commas between.")
@given_message
@options.dlq_id
@options.stream
@options.live
@options.capture
@options.save
@option("-v", "--verbose", is_flag=True, help="Show each route of the topic, and why it doesn't take a message.")
@as_json
def try_(
    spec: str,
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
    """Show the rows that messages become.

    Or the reason for which they become dead letters, with an arrow to the place in the payload. Messages are from the
    command line, the DLQ, the streams, a file, or the broker. Nothing is stored, and none is taken from a receiver or a
    writer. Needs DATABASE_URL for --dlq, REDIS_URL for --stream, MQTT_URL for --live.

    \b
    Examples:
      traksense-ingest mapping try plant.yaml \\
        --topic plant/north/7 --payload '{"temp": 4.2}'
      # what devices send now; also into a file
      traksense-ingest mapping try plant.yaml --live 30s \\
        --save plant.jsonl
      # a dead letter, and why no route takes it
      traksense-ingest mapping try plant.yaml --dlq 4711 -v
    """
    given = Given(topic, payload, payload_file, hexadecimal, received, retained)
    only_one(payload=given.has_payload, dlq=dlq, stream=stream, live=live, capture=capture)
    from traksense_ingest.ops.mapping.sources import Source
    from traksense_ingest.ops.mapping.trial import try_messages

    try_messages(spec, Source(given, dlq, None, stream, live, capture), save, is_verbose=verbose, as_json=as_json)


@mapping.command(cls=Command)
@argument("old", metavar="OLD", section=OLD, explanation="As it is: a file, a folder, a name.")
@argument("new", metavar="NEW", section=OLD, explanation="As it will be.")
@option("--dlq", "letters", section=MESSAGES, is_flag=True, help="Dead letters: all, or some as below.")
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
    since: datetime | None,
    until: datetime | None,
    stream: int | None,
    live: float | None,
    capture: Path | None,
    topic: str | None,
    as_json: bool,
) -> None:
    """Compare what messages become.

    Of each message, the rows that the second mapping adds, those that it no longer makes, and those that it makes
    differently; then a summary. Exit code 1 if there is a difference.

    \b
    Examples:
      # before it is used: what would change?
      traksense-ingest mapping diff plant.yaml new.yaml \\
        --live 5m
      traksense-ingest mapping diff plant.yaml new.yaml \\
        --capture plant.jsonl
      # which dead letters would it save?
      traksense-ingest mapping diff plant.yaml new.yaml \\
        --dlq --since 3d
    """
    only_one(dlq=letters, stream=stream, live=live, capture=capture)
    if not letters and (tenant or reason or since or until):
        raise click.UsageError("--tenant, --reason, --since and --until are about dead letters: only with --dlq")
    from traksense_ingest.ops.dlq.dead_letter import Selection
    from traksense_ingest.ops.mapping.difference import compare
    from traksense_ingest.ops.mapping.sources import Source

    selection = Selection(tenant=tenant, reason=reason, since=since, until=until) if letters else None
    compare(old, new, Source(Given(topic=topic), None, selection, stream, live, capture), as_json=as_json)


@mapping.command(cls=Command)
@argument("filters", metavar="[TOPIC]...", section=MESSAGES, nargs=-1, explanation="Topic filters, with --live.")
@options.live
@options.capture
@given_message
@option("--tenant", help="The tenant whose devices these are.")
@option("--name", show_default="by the topics", help="The mapping's name.")
@option("-o", "--output", type=FILE, show_default="stdout", help="Write the file here; it must not exist.")
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
    """Draft a mapping from messages that come.

    Says which of the library reads them. For the others it drafts a file: which level of the topic is the device,
    which field the time, which values the points; with comments where a person should decide, and with tests made of
    the messages. The draft has no faults, and its tests pass.

    \b
    Examples:
      traksense-ingest mapping new --live 30s 'plant/#' \\
        --tenant acme -o plant.yaml
      # of messages that were saved, or of one
      traksense-ingest mapping new --capture plant.jsonl
      traksense-ingest mapping new --topic plant/north/7 \\
        --payload '{"temp": 4.2}'
    """
    given = Given(topic, payload, payload_file, hexadecimal, received, retained)
    source = only_one(live=live, capture=capture, payload=given.has_payload)
    if (source == "live") != bool(filters):
        raise click.UsageError("--live needs a topic filter, as in --live 30s 'plant/#'" if live else "TOPIC: --live")
    from traksense_ingest.ops.mapping.draft.command import draft
    from traksense_ingest.ops.mapping.sources import Source

    draft(Source(given, None, None, None, live, capture, filters), tenant, name, output, as_json=as_json)


@mapping.command(cls=Command)
@argument("name", required=False, metavar="[NAME]", explanation="One of them, with an example.")
@option("--copy", type=FILE, help="Write its file here, to be edited; it must not exist.")
@as_json
def formats(name: str | None, copy: Path | None, as_json: bool) -> None:
    """List the mappings that ship.

    INGEST_MAPPINGS takes them by name. With a NAME: what it reads, the variables that can be set, its topics, and an
    example message with its rows.

    \b
    Examples:
      traksense-ingest mapping formats
      traksense-ingest mapping formats chirpstack
      # your own version of it
      traksense-ingest mapping formats chirpstack \\
        --copy my-chirpstack.yaml
    """
    from traksense_ingest.ops.mapping.formats import copy_format, show_format, show_formats

    if copy is not None and name is None:
        raise click.UsageError("--copy: of which? NAME is missing")
    if name is None:
        show_formats(as_json=as_json)
    elif copy is not None:
        copy_format(name, copy)
    else:
        show_format(name, as_json=as_json)
