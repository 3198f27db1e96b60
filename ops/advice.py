"""What to do about an error of a broker, a Redis or a database, or about a port that is taken: one line."""

from __future__ import annotations

import asyncpg
from redis.exceptions import ResponseError

from traksense_ingest.shared.config import redacted
from traksense_ingest.shared.errors import IngestError
from traksense_ingest.shared.failure import (
    Kind,
    NotServed,
    Unusable,
    describe,
    ended_by,
    is_permanent,
    is_refusal,
    kind_of,
)
from traksense_ingest.shared.ports import PORTS, WRITER_METRICS


def explain(variable: str, error: BaseException) -> str:
    """`connection refused; start it, or fix DATABASE_URL`: one line."""
    text = describe(error).removesuffix(".")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return text  # what to do depends on what was tried
    if is_permanent(error):
        return f"{text}; fix {variable}"
    return text if is_answer(error) else f"{text}; start it, or fix {variable}"


def is_answer(error: BaseException) -> bool:
    """Whether the server itself answered with this error."""
    return (
        isinstance(error, ResponseError | Unusable | NotServed)
        or is_refusal(error)
        or kind_of(error) is not Kind.OUTAGE
    )


def explain_with_url(variable: str, url: str, error: BaseException) -> str:
    """`DATABASE_URL=postgresql://…: connection refused; start it, or fix DATABASE_URL`: one line."""
    return f"{variable}={redacted(url)}: {explain(variable, error)}"


def ingest_error(variable: str, url: str, error: BaseException) -> IngestError:
    """The same, as what ends a command that can't go on without this server."""
    return ended_by(error, explain_with_url(variable, url, error))


def port_advice(process: str, number: int) -> str:
    """What to do about a port that is taken."""
    ports = [port for port in PORTS if port.process == process]
    variables = " and ".join(port.variable for port in ports) or WRITER_METRICS.variable
    url_variable = next((port.url_variable for port in ports if port.url_variable), None)
    use_theirs = f", set {url_variable} to use what listens there" if url_variable else ""
    return (
        f"port {number} ({process}) is taken by another program: stop it{use_theirs}, or set {variables} to move ours"
    )
