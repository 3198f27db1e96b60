"""Every message of `tests/cases/shapes.jsonl`, formats of public devices, becomes exactly its rows."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support import mapped
from traksense_ingest.shared.mapping.load import load
from traksense_ingest.writer.decode.mapped.differences import rows_of
from traksense_ingest.writer.outcome import AckRow, AwaitsBirth, Decoded, EventRow, Ignored, Outcome, Rejected

Shape = dict[str, Any]

FILES = {  # what INGEST_MAPPINGS has for a shape
    "senml_khomp": "khomp",
    "senml_rfc8428": "senml",
    "sparkplug_b": "sparkplug?tenant=acme",
    "chirpstack_v4": "chirpstack?tenant=acme",
    "chirpstack_ack": "chirpstack?tenant=acme",
    "ttn_v3": "ttn?tenant=acme",
    "zigbee2mqtt": "zigbee2mqtt?tenant=acme",
    "tasmota": "tasmota?tenant=acme&tz=Europe/Berlin",
    "shelly_gen2_status": "shelly?tenant=acme&site=shop",
    "shelly_gen2_event": "shelly?tenant=acme&site=shop",
    "milesight_gateway": "milesight",
    "esphome": "esphome?tenant=acme",
    "ha_statestream": "home-assistant?tenant=acme",
    "otlp_json": "otlp",
    "line_protocol": "line-protocol",
    "je02": "",
    "advantech_wise": f"{mapped.OWN}/wise.yaml",
    "victron_venus": "victron?tenant=acme",
    "owntracks": "owntracks?tenant=acme",
    "geojson": "geojson",
    "binary_struct": f"{mapped.OWN}/binary.yaml",
    "cbor": f"{mapped.OWN}/packed.yaml",
    "msgpack_gzip_json": f"{mapped.OWN}/packed.yaml",
    "gzip_json": f"{mapped.OWN}/packed.yaml",
    "thingsboard_gateway": "thingsboard-gateway?tenant=acme&site=plant1",
    "seed_standard": "sensors",
}


def _shapes() -> dict[str, list[Shape]]:
    by_name: dict[str, list[Shape]] = defaultdict(list)
    path = Path(__file__).parents[1] / "cases" / "shapes.jsonl"
    for line in path.read_text().splitlines():
        shape = json.loads(line)
        by_name[shape["shape"]].append(shape)
    return by_name


SHAPES = _shapes()


def test_there_are_all_of_them() -> None:
    assert set(SHAPES) == set(FILES)
    assert sum(map(len, SHAPES.values())) == 44


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape(name: str) -> None:
    decoding = mapped.Decoding(load(FILES[name]))
    for shape in SHAPES[name]:
        payload = bytes.fromhex(shape["payload_hex"]) if "payload_hex" in shape else shape["payload"]
        received = datetime.fromisoformat(shape["received_at"])
        outcome = decoding.outcome(shape["topic"], payload, received)
        if shape.get("not_this_mapping"):
            assert not isinstance(outcome, Decoded) or outcome.kind == "state"
        elif "poison" in shape:
            assert isinstance(outcome, Rejected | AwaitsBirth)
            assert shape["poison"] in outcome.reason
        else:
            _check(shape["rows"], outcome)


def _check(expected: list[Shape], outcome: Outcome) -> None:
    assert isinstance(outcome, Ignored | Decoded), outcome
    if isinstance(outcome, Ignored):
        assert not expected
        return
    assert _in_order(rows_of(outcome)) == _in_order([_with_time(row) for row in expected if "table" not in row])
    others = [row for row in outcome.rows if isinstance(row, AckRow | EventRow)]
    assert len(others) == len(outcome.rows) or not others
    for found, wanted in zip(others, [row for row in expected if "table" in row], strict=True):
        _check_other(wanted, found, outcome)


def _in_order(rows: list[Shape]) -> list[Shape]:
    return sorted(rows, key=lambda row: (row["device"], row["ts"], row["point"]))


def _with_time(row: Shape) -> Shape:
    return row | {"ts": datetime.fromisoformat(row["ts"])}


def _check_other(wanted: Shape, found: AckRow | EventRow, outcome: Decoded) -> None:
    assert wanted["table"] == ("cmd_ack" if isinstance(found, AckRow) else "device_event")
    assert (found.tenant_id, found.device_id) == (wanted["tenant"], wanted["device"])
    assert [seen.site_id for seen in outcome.devices] == [wanted["site"]]
    columns = found._asdict()
    for name, value in wanted.items():
        if name in ("ts", "ts_exec"):
            assert columns[name] == datetime.fromisoformat(value)
        elif name == "data":
            assert json.loads(columns[name]) == value
        elif name in columns and value is not None:
            assert columns[name] == value
