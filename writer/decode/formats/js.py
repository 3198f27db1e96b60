"""A LoRaWAN codec in JavaScript, as vendors publish it: `decodeUplink({bytes, fPort, variables})` gives `data`.

QuickJS-NG runs it, without files, network, modules or timers. The limits are for errors in it and for payloads that
bring them out; the code itself is the operator's, and is trusted not to look for ways around them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from traksense_ingest.shared.mapping.decoding import Js
from traksense_ingest.writer.decode.formats.document import Document, FormatError, too_large

STACK_BYTES = 256 * 1024
BYTES_MAX = 64 * 1024  # a LoRaWAN payload has at most 242; each byte becomes a number of the engine
ERROR_MAX = 200  # characters of what a script says
ARRAY_MAX = 1_000_000  # items: a few of the engine's own functions can't be interrupted on arrays without content

_PRELUDE = """
"use strict";
((limit) => {
  const names = ["join", "reverse", "copyWithin", "shift", "unshift", "splice", "concat", "sort", "flat", "slice",
                 "toString", "toLocaleString", "flatMap", "fill"];
  for (const name of names) {
    const native = Array.prototype[name];
    Array.prototype[name] = function (...given) {
      if (this.length > limit) throw new RangeError(`an array of ${this.length} items, at most ${limit} are allowed`);
      return native.apply(this, given);
    };
  }
})(ARRAY_MAX);
""".replace("ARRAY_MAX", str(ARRAY_MAX))
_ENTRY = """
((parse, stringify) => (text) => {
  const result = decodeUplink(parse(text));
  if (result === null || typeof result !== "object") throw new TypeError("decodeUplink should return an object");
  return stringify(result);
})(JSON.parse, JSON.stringify)
"""

Decoder = Callable[[bytes, Document, Document], Document]  # bytes, fPort, variables


def js_decoder(js: Js) -> Decoder:
    """The codec, compiled. Raises ValueError where it can't be, or where the extra `js` is not installed."""
    codec = _Codec(js)
    return codec.decode


class _Codec:
    """A codec with its engine. One that ran into a limit is replaced: it may be full of what earlier messages left."""

    def __init__(self, js: Js) -> None:
        try:
            import quickjs  # noqa: PLC0415 (an extra: only who has such mappings needs it)
        except ImportError:
            raise ValueError("js needs the extra: pip install 'traksense-ingest[js]'") from None
        self.js, self.quickjs = js, quickjs
        self.name = js.file or "js"
        self.call, self.is_used = self._compile(), False

    def _compile(self) -> Callable[[str], str]:
        context = self.quickjs.Context()
        context.set_memory_limit(self.js.memory_bytes)
        context.set_max_stack_size(STACK_BYTES)
        context.set_time_limit(self.js.cpu_ms / 1000)
        try:
            context.eval(_PRELUDE)
            context.eval(self.js.code)
            if context.eval("typeof decodeUplink") != "function":
                raise ValueError(f"{self.name}: it has no function decodeUplink")
            call: Callable[[str], str] = context.eval(_ENTRY)
        except self.quickjs.JSException as error:
            raise ValueError(f"{self.name}: {_message(error)}") from None
        return call

    def decode(self, payload: bytes, f_port: Document, variables: Document) -> Document:
        """`data`. Raises FormatError: what it threw or listed as errors, or that it reached a limit."""
        if len(payload) > BYTES_MAX:
            raise too_large(f"{len(payload)} bytes for a codec, at most {BYTES_MAX} are allowed")
        given = {"bytes": [*payload], "fPort": f_port, "variables": variables or {}}
        try:
            text = orjson.dumps(given).decode()
        except orjson.JSONEncodeError as error:
            raise FormatError("js", f"fPort or variables: {error}") from None
        return _data(self._run(text))

    def _run(self, given: str) -> Any:
        try:
            result = self._called(given)
            self.is_used = True
            return orjson.loads(result)
        except self.quickjs.JSException as error:
            raise FormatError("js", _message(error)) from None
        except orjson.JSONDecodeError as error:
            raise FormatError("js", f"its result is not JSON: {error}") from None

    def _called(self, given: str) -> str:
        """A limit that a fresh engine doesn't reach was reached for what others left in this one."""
        try:
            return self.call(given)
        except self.quickjs.JSException as error:
            if not _is_a_limit(error):
                raise
            was_used, self.is_used = self.is_used, False
            self.call = self._compile()
            if not was_used:
                raise
            return self.call(given)


def _is_a_limit(error: Exception) -> bool:
    return str(error).startswith(("InternalError", "null", "RangeError: Maximum call stack"))


def _message(error: Exception) -> str:
    """The first line: `TypeError: not a function`."""
    line = str(error).partition("\n")[0][:ERROR_MAX]
    return "it reached its limit of memory" if line == "null" else line


def _data(result: Any) -> Document:
    """A LoRaWAN codec reports what it can't decode in `errors`; `warnings` are for whoever develops it."""
    if not isinstance(result, dict):
        raise FormatError("js", "decodeUplink should return an object")
    if errors := result.get("errors"):
        texts = errors if isinstance(errors, list) else [errors]
        raise FormatError("js", "; ".join(map(str, texts))[:ERROR_MAX])
    if "data" not in result:
        raise FormatError("js", "decodeUplink returned neither data nor errors")
    return result["data"]
