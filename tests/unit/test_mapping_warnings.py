"""Warnings of `mapping lint` about envelopes: whose message inside may be of any tenant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mapped import mappings
from tests.support.mappings import mapping
from traksense_ingest.ops.mapping.warnings import warnings_of

TRUSTS = "it trusts the inner topic: whoever may publish to its topics can store rows of any tenant; "


@pytest.mark.parametrize(
    ("tenant", "topics", "is_warned_of"),
    [
        ("{from: topic}", '"rules/{tenant}/out"', False),
        ("acme", "rules/out", False),
        ("{from: literal, value: acme}", "rules/out", False),
        ("{from: topic, one_of: [acme, umc]}", "rules/out", False),
        ("{from: topic}", "rules/out", True),
        ("{from: topic}", '["rules/{tenant}/out", rules/out]', True),
    ],
)
def test_an_envelope_whose_inner_topic_is_trusted(tenant: str, topics: str, is_warned_of: bool, tmp_path: Path) -> None:
    text = (
        f"version: 1\nname: m\ntenant: {tenant}\nroutes:\n"
        f"  - {{name: r, topics: {topics}, envelope: {{payload: p, topic: t}}}}\n"
    )
    (tmp_path / "m.yaml").write_text(text)
    file = mapping(text, folder=tmp_path)
    warnings = [warning for warning in warnings_of(mappings(file)) if warning.where == "m/r"]
    assert [warning.what.startswith(TRUSTS) for warning in warnings] == [True] * is_warned_of
