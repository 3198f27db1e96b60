"""A message inside a message: its topic and its payload, as a rule engine wraps them."""

from __future__ import annotations

from typing import Any

from traksense_ingest.shared.mapping.decoding import Envelope
from traksense_ingest.shared.mapping.model import Route
from traksense_ingest.writer.decode.formats import FormatError, FormatLimits, unpacker_of
from traksense_ingest.writer.decode.mapped.fields import as_json
from traksense_ingest.writer.decode.mapped.paths import compile_path
from traksense_ingest.writer.decode.mapped.scope import MISSING, Scope, Wrong
from traksense_ingest.writer.decode.mapped.times import RangeCheck, compile_time, words_of
from traksense_ingest.writer.decode.mapped.wording import in_words, shown
from traksense_ingest.writer.entry import Entry
from traksense_ingest.writer.outcome import Poison


class Opener:
    """Opens the envelopes of one route."""

    def __init__(self, route: Route, envelope: Envelope, limits: FormatLimits, check: RangeCheck) -> None:
        self._topic, self._payload = compile_path(envelope.topic), compile_path(envelope.payload)
        self._unpack = unpacker_of(envelope.unpack, limits)
        self._topic_words, self._payload_words = in_words(envelope.topic), in_words(envelope.payload)
        self._time_words = words_of(route.time) if route.time else "time"
        self._moment = compile_time(route.time, check=check, label=route.label) if route.time else None
        self._label = route.label

    def open(self, scope: Scope) -> Entry:
        """The message inside, as an entry of the same place; raises Poison."""
        entry, message = scope.entry, scope.message
        topic, payload = self._topic(message, scope), self._payload(message, scope)
        if type(topic) is not str or not topic:
            raise self._poison(self._topic_words, topic, "a topic")
        inner = entry._replace(topic=topic.encode(errors="replace"), payload=self._bytes(payload))
        return inner._replace(received_at=self._received_at(message, scope))

    def _bytes(self, payload: Any) -> bytes:
        if payload is MISSING or payload is None:
            raise self._poison(self._payload_words, payload, "a payload")
        content = (
            payload.encode(errors="replace")
            if type(payload) is str
            else as_json(payload, f"{self._label}: {self._payload_words}").encode()
        )
        try:
            return self._unpack(content)
        except FormatError as error:
            raise Poison(error.reason, f"{self._label}: {self._payload_words}", error.what) from None

    def _received_at(self, message: Any, scope: Scope) -> Any:
        if self._moment is None:
            return scope.entry.received_at
        try:
            return self._moment(message, scope) or scope.entry.received_at
        except Wrong as wrong:
            raise Poison(wrong.reason, f"{self._label}: {wrong.below or self._time_words}", wrong.what) from None

    def _poison(self, where: str, found: Any, wanted: str) -> Poison:
        what = "is missing" if found is MISSING else f"Input should be {wanted}, is {shown(found)}"
        return Poison("parse_error", f"{self._label}: {where}", what)
