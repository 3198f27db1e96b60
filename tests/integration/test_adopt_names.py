"""Names for the ids of the first version: two ids never become one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.first_version import DEVICES, POINTS, TENANTS
from tests.support.old_database import OldDatabase, schema_of
from traksense_ingest.ops.adopt import command
from traksense_ingest.ops.adopt.command import Adoption

pytestmark = pytest.mark.long  # of `make test-all`


async def test_names_from_files(old: OldDatabase, tmp_path: Path) -> None:
    (tmp_path / "tenants.csv").write_text(f"old,new\n{TENANTS[2]},third\n")
    (tmp_path / "devices.csv").write_text(
        f"{TENANTS[0]},{DEVICES[1]},compressor\n{TENANTS[2]},{DEVICES[0]},chiller-1\n"
    )
    (tmp_path / "points.csv").write_text(f"{POINTS[0]},temperature\n")
    files = [f"--{name}-map={tmp_path / f'{name}s.csv'}" for name in ("tenant", "device", "point")]
    await old.adopt(*files)
    devices = await old.query("SELECT tenant_id, device_id FROM device ORDER BY 1, 2")
    assert devices == [
        ("acme", str(DEVICES[2])),
        ("acme", "chiller-1"),
        ("acme", "compressor"),
        ("third", str(DEVICES[1])),
        ("third", str(DEVICES[2])),
        ("third", "chiller-1"),
    ]
    assert {row[0] for row in await old.query("SELECT point_id FROM ts_measure")} == {
        "temperature",
        *map(str, POINTS[1:4]),
    }


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a,b,c\n", "line 1: should be old,new, is 'a,b,c'"),
        ("old,new\na,b\nc,\n", "line 3: should be old,new, is 'c,'"),
        (f"a,{'n' * 129}\n", f"line 1: '{'n' * 129}' should have 1 to 128 characters, has 129"),
        ("a,same\nb,same\n", "2 ids would get the name 'same', and their rows would be mixed up"),
        ("a,one\na,two\n", "a has two names, 'one' and 'two'"),
    ],
)
@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_a_file_that_is_wrong(old: OldDatabase, tmp_path: Path, text: str, line: str) -> None:
    before = await schema_of(old)
    file = tmp_path / "tenants.csv"
    file.write_text(text)
    done = await old.migrate("--adopt", f"--tenant-map={file}")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(line)
    assert await schema_of(old) == before


@pytest.mark.parametrize("old", ["text"], indirect=True)
@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        (
            "tenant",
            f"{TENANTS[0]},{TENANTS[2]}",
            f"'{TENANTS[2]}' is to be the name of a tenant, and is another one's id",
        ),
        ("device", f"{TENANTS[0]},{DEVICES[1]},{DEVICES[2]}", f"'{DEVICES[2]}' is to be the name of a device"),
    ],
)
async def test_a_name_that_is_another_ones_id(
    old: OldDatabase, tmp_path: Path, file: str, line: str, said: str
) -> None:
    before = await schema_of(old)
    (tmp_path / "names.csv").write_text(line)
    done = await old.migrate("--adopt", f"--{file}-map={tmp_path / 'names.csv'}")
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert await schema_of(old) == before


@pytest.mark.parametrize("old", ["text"], indirect=True)
async def test_names_are_fixed_when_the_tables_are_moved(old: OldDatabase, tmp_path: Path) -> None:
    """Otherwise a run that goes on with other names, or an undo between two, would store rows under both."""
    (tmp_path / "first.csv").write_text(f"{TENANTS[0]},north\n")
    (tmp_path / "other.csv").write_text(f"{TENANTS[2]},south\n")
    await command.begin(old.url, Adoption(tenant_map=tmp_path / "first.csv"))
    other = await old.migrate("--adopt", f"--tenant-map={tmp_path / 'other.csv'}")
    assert other.returncode == 2
    assert f"the tenant {TENANTS[2]} can't be called 'south' any more" in other.stderr.splitlines()[-1]
    await old.adopt()
    tenants = {("north",), (str(TENANTS[2]),)}
    assert {*await old.query("SELECT DISTINCT tenant_id FROM ts_measure")} == tenants
    assert (await old.migrate("--undo-adopt")).returncode == 0
    await old.adopt()
    assert {*await old.query("SELECT DISTINCT tenant_id FROM ts_measure")} == tenants


@pytest.mark.parametrize("old", ["uuid"], indirect=True)
async def test_ids_in_files_that_no_row_has_are_listed(old: OldDatabase, tmp_path: Path) -> None:
    (tmp_path / "tenants.csv").write_text(f"{str(TENANTS[0]).upper()},north\n{str(TENANTS[1]).upper()},nobody\n")
    printed = await old.adopt("--dry-run", f"--tenant-map={tmp_path / 'tenants.csv'}")
    assert "ids in the files that no row has: 1" in printed
    assert f"  tenant {TENANTS[1]}" in printed
    assert "north" in printed


async def test_ids_are_kept_where_that_is_wanted(old: OldDatabase) -> None:
    await old.adopt("--keep-ids")
    tenants = {row[0] for row in await old.query("SELECT DISTINCT tenant_id FROM ts_measure")}
    assert tenants == {str(TENANTS[0]), str(TENANTS[2])}
