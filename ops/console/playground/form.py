"""The form of the playground: what the user has typed or chosen, as a message and as mappings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from unicodedata import category

from traksense_ingest.ops.help import moment_of
from traksense_ingest.ops.mapping.formats import example_of
from traksense_ingest.ops.mapping.library import format_of, spec_of
from traksense_ingest.ops.mapping.listen import now
from traksense_ingest.ops.mapping.messages import bytes_of, rfc3339
from traksense_ingest.ops.mapping.playground.answer import FILE, Chosen, Kind
from traksense_ingest.shared.mapping.expected import LATER, Message
from traksense_ingest.shared.mapping.load import LIBRARY, formats
from traksense_ingest.shared.messages import SHARED, is_filter

EDITED_MAX = 1024 * 1024  # bytes of a payload that a form can hold: with two digits for each it is FORM_MAX
_OF_LIBRARY = f"{Kind.LIBRARY}:"
_NAME = re.compile(r"^name: *['\"]?([a-z0-9][a-z0-9_-]{0,62})", re.MULTILINE)


class Wrong(Exception):
    """What is wrong with a field."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(what)
        self.field = field


@dataclass(frozen=True)
class Form:
    """The fields, as texts."""

    topic: str = ""
    payload: str = ""
    is_hex: bool = False
    received: str = ""  # RFC 3339; empty: now
    is_retained: bool = False
    mapping: str = Kind.RUNNING  # or text, or library:NAME
    variables: str = ""
    text: str = ""

    @classmethod
    def of(cls, fields: Mapping[str, object]) -> Form:
        """What a browser sent. It ends lines of a text with CR LF, whatever they were."""

        def text(name: str) -> str:
            return str(fields.get(name, "")).replace("\r\n", "\n")

        return cls(
            topic=text("topic"),
            payload=text("payload"),
            is_hex=text("as") == "hex",
            received=text("received").strip(),
            is_retained="retained" in fields,
            mapping=text("mapping") or Kind.RUNNING,
            variables=text("variables").strip(),
            text=text("text"),
        )

    @property
    def library(self) -> str:
        """The name of a mapping of the library, if one is chosen."""
        return self.mapping.removeprefix(_OF_LIBRARY) if self.mapping.startswith(_OF_LIBRARY) else ""

    @property
    def chosen(self) -> Chosen:
        """The mappings. Raises Wrong."""
        if self.library:
            return Chosen(Kind.LIBRARY, _known(self.library), self.variables)
        if self.mapping == Kind.TEXT:
            return Chosen(Kind.TEXT, FILE, self.variables, self.text)
        if self.mapping != Kind.RUNNING:
            raise Wrong("mapping", "choose one from the list")
        return Chosen(Kind.RUNNING)

    @property
    def message(self) -> Message | None:
        """What is published; None without a topic and a payload. Raises Wrong."""
        if not self.topic and not self.payload:
            return None
        if not self.topic:
            raise Wrong("topic", "enter a topic: it decides which route takes the message")
        if {"+", "#"} & {*self.topic}:
            raise Wrong("topic", "+ and # are wildcards of topic filters, to listen; the topic of a message has none")
        return Message(self.topic, self._payload(), self._received(), self.is_retained)

    @property
    def filter(self) -> str:
        """What to listen to. Raises Wrong."""
        if self.topic.startswith(SHARED):
            raise Wrong("topic", "a shared subscription would take messages from the receivers")
        if not is_filter(self.topic):
            raise Wrong("topic", "this is not a topic filter, such as plant/+/telem or plant/#")
        return self.topic

    def with_message(self, message: Message) -> Form:
        """With another message; its payload as text if a form does not change that text."""
        text = _text_of(message.payload)
        return replace(
            self,
            topic=message.topic,
            payload=message.payload[:EDITED_MAX].hex() if text is None else text,
            is_hex=text is None,
            received="" if message.received == LATER else rfc3339(message.received),
            is_retained=message.retained,
        )

    def with_copy(self) -> Form:
        """With the text of the mapping of the library, to be edited. Raises Wrong."""
        if not self.library:
            raise Wrong("mapping", "choose a mapping of the library to copy it")
        file = LIBRARY / f"{_known(self.library)}.yaml"
        return replace(self, mapping=Kind.TEXT, text=file.read_text(encoding="utf-8"))

    def with_text(self, text: str) -> Form:
        """With a mapping in the text field."""
        return replace(self, mapping=Kind.TEXT, text=text, variables="")

    def with_library(self, name: str) -> Form:
        """With a mapping of the library, and variables that must be set. Raises Wrong."""
        form = replace(self, mapping=f"{_OF_LIBRARY}{name}")
        found = format_of(_known(name))
        return replace(form, variables=spec_of(found.name, found.vars).partition("?")[2])

    def with_example(self) -> Form:
        """With an example message of the mapping of the library, too. Raises Wrong."""
        form = self.with_library(self.library)
        test = example_of(format_of(form.library))
        return form.with_message(test.message) if test else form

    @property
    def file_name(self) -> str:
        """Of the mapping in the text field."""
        found = _NAME.search(self.text)
        return f"{found[1]}.yaml" if found else FILE

    def _payload(self) -> bytes:
        if not self.is_hex:
            return self.payload.encode(errors="surrogatepass")
        try:
            return bytes_of(self.payload)
        except ValueError as error:
            raise Wrong("payload", str(error)) from None

    def _received(self) -> datetime:
        try:
            return moment_of(self.received) if self.received else now()
        except ValueError as error:
            raise Wrong("received", str(error)) from None


def _known(name: str) -> str:
    if name not in formats():
        raise Wrong("mapping", f"the library has no mapping {name[:64]!r}")
    return name


def _text_of(payload: bytes) -> str | None:
    """A payload as text, if that shows all of it: no characters that are invisible or that a form would change."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    is_shown = all(char.isprintable() or char in "\n\t" or category(char) == "Zs" for char in text)
    return text if is_shown and len(payload) <= EDITED_MAX else None
