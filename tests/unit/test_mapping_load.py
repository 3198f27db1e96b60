"""INGEST_MAPPINGS: names of the library, files, folders, variables. Any file is a mapping or has faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.budget import examples
from tests.support.mappings import NEEDED, faults, library_entry, mapping, whole_library
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.mapping.load import LIBRARY, formats, load
from traksense_ingest.shared.mapping.mappings import Mappings
from traksense_ingest.shared.mapping.model import Mapping
from traksense_ingest.shared.mapping.read.mapping import read_mapping
from traksense_ingest.shared.mapping.read.nodes import DEPTH_MAX

SMALL = """version: 1
name: NAME
vars: {site: home}
routes:
  - {name: r, topics: "{tenant}/{device}", identity: {site: "${site}"}, time: received, points: []}
"""
MINE = Path(__file__).parents[1] / "mappings"
V1_FIRST, LAST = ["v1"], ["parsec", "je02", "v1-unknown"]


def written(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.yaml").write_text(SMALL.replace("NAME", name))
    return folder


def names(mappings: Mappings) -> list[str]:
    return [file.name for file in mappings.files]


def wrong(spec: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(spec)
    return str(caught.value).splitlines()


def site(file: Mapping) -> str | None:
    identity = file.routes[0].identity
    return identity.site.literal if identity else None


def test_v1_is_before_and_after_all_that_is_named() -> None:
    assert names(load()) == [*V1_FIRST, *LAST]
    assert names(load("khomp, senml,")) == [*V1_FIRST, "khomp", "senml", *LAST]
    assert load("khomp").named == {"khomp"}


def test_a_named_one_is_where_it_is_named() -> None:
    assert names(load("je02,khomp")) == ["v1", "je02", "khomp", "parsec", "v1-unknown"]


def test_files_and_folders(tmp_path: Path) -> None:
    folder = written(tmp_path / "mine", "b", "a")
    (folder / "notes.txt").write_text("no mapping")
    one = written(tmp_path / "other", "one") / "one.yaml"
    assert names(load(f"{one},{folder}/,khomp"))[1:-3] == ["one", "a", "b", "khomp"]


def test_variables(tmp_path: Path) -> None:
    folder = written(tmp_path / "mine", "a", "b")
    assert [site(file) for file in load(f"{folder}").files[1:3]] == ["home", "home"]
    assert [site(file) for file in load(f"{folder}?site=a%2Cb").files[1:3]] == ["a,b", "a,b"]


def test_a_digest_is_of_the_text_and_the_variables(tmp_path: Path) -> None:
    folder = written(tmp_path / "mine", "a")

    def digest(spec: str = f"{folder}") -> str:
        return load(spec).digests["a"]

    first = digest()
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert digest() == first
    assert digest(f"{folder}?site=lab") != first
    (folder / "a.yaml").write_text((folder / "a.yaml").read_text() + "# a comment\n")
    assert digest() != first


def test_a_digest_is_of_the_codec_too(tmp_path: Path) -> None:
    text = SMALL.replace("NAME", "m").replace("time:", "decode: {js: {file: codec.js}}, time:")
    (tmp_path / "codec.js").write_text("function decodeUplink() {}")
    before = mapping(text, folder=tmp_path).digest
    (tmp_path / "codec.js").write_text("function decodeUplink() { return {} }")
    assert mapping(text, folder=tmp_path).digest != before


def test_what_is_wrong_with_the_variable(tmp_path: Path) -> None:
    folder = written(tmp_path / "mine", "a")
    (tmp_path / "empty").mkdir()
    assert "can't be read" in wrong("~nobody-has-this-name/x.yaml")[0]
    assert wrong("komp")[0].endswith("such as ./my.yaml; did you mean khomp?")
    assert wrong("v1") == [line for line in wrong("v1") if "the library has no mapping v1" in line]
    assert wrong("./nothing.yaml") == ["INGEST_MAPPINGS: ./nothing.yaml can't be read: No such file or directory"]
    assert wrong(f"{tmp_path}/empty")[0].startswith("INGEST_MAPPINGS: no *.yaml in the folder ")
    assert wrong(f"{folder}?sites=x")[0].endswith("has no variable sites; known: site; did you mean site?")
    assert wrong(f"{folder}?site")[0].endswith(": site: expected name=value")
    assert wrong(f"{folder}?site=a&site=b")[0].endswith(": site=b: duplicate variable site")
    assert wrong("?tenant=x") == ["INGEST_MAPPINGS: ?tenant=x: expected a name before the ?"]
    assert "vars.tz: has no default and must be set: INGEST_MAPPINGS=tasmota?tz=…" in wrong("tasmota")[0]
    assert "duplicate name a, first used in" in wrong(f"{folder},{folder}/a.yaml")[0]


def test_all_faults_of_all_files_are_said(tmp_path: Path) -> None:
    folder = written(tmp_path / "mine", "a", "b")
    for name in "ab":
        path = folder / f"{name}.yaml"
        path.write_text(path.read_text().replace("received", "{path: t, tz: Nowhere}").replace("[]", "[{pth: x}]"))
    lines = wrong(f"{folder},komp")
    assert len(lines) == 1 + 2 * 3
    assert [line.split(":")[0].rpartition("/")[2] for line in lines] == [
        "INGEST_MAPPINGS",
        *["a.yaml"] * 3,
        *["b.yaml"] * 3,
    ]


def test_the_library_has_no_faults() -> None:
    mappings = load(whole_library())
    assert set(formats()) <= set(names(mappings))


def test_the_mappings_of_the_tests_have_no_faults() -> None:
    paths = sorted(MINE.glob("*.yaml"))
    assert paths
    for path in paths:
        load(str(path))


@pytest.mark.parametrize("name", [*formats(), "v1", "v1-unknown"])
def test_each_of_the_library_has_what_a_reader_needs(name: str) -> None:
    file = next(file for file in load(library_entry(name) if name in formats() else "").files if file.name == name)
    assert 20 <= len(file.description) <= 120
    assert file.tests
    assert file.file.read_text().startswith("# ")
    routes = {route.name for route in file.routes}
    assert len(file.tests) >= len(routes) - 2, "most routes have a test"


def test_the_librarys_tests_reach_its_routes() -> None:
    mappings = load(whole_library())
    router = mappings.router()
    for file in mappings.files:
        for test in file.tests:
            for message in (*test.before, test.message):
                taken = {candidate.route.mapping for candidate in router.candidates(message.topic.encode())}
                assert file.name in taken, (file.name, test.name)


TEXTS = [(LIBRARY / f"{name}.yaml").read_text() for name in formats()]
YAML_TEXT = st.text(alphabet="{}[]:,-?&*!|>'\"%@`#\n abtopics$.0", max_size=80)
WORDS = [
    "name",
    "topics",
    "path",
    "each",
    "leaves",
    "zip",
    "cases",
    "value",
    "unit",
    "map",
    "when",
    "type",
    "fields",
    "tlv",
]
ANY_YAML = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(WORDS),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)),
    max_leaves=30,
)


@settings(max_examples=examples(500), deadline=None)
@given(st.one_of(st.binary(), YAML_TEXT.map(str.encode)))
def test_any_bytes_are_a_mapping_or_faults(content: bytes) -> None:
    read = read_mapping(content, Path("m.yaml"), "m.yaml", NEEDED)
    assert bool(read.faults) == (read.mapping is None)


@settings(max_examples=examples(1000), deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_a_mapping_that_was_damaged_is_one_or_has_faults(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    damaged = text[:start] + data.draw(YAML_TEXT) + text[end:]
    read = read_mapping(damaged.encode(errors="replace"), Path("m.yaml"), "m.yaml", NEEDED)
    assert bool(read.faults) == (read.mapping is None)
    assert all(fault.place and fault.place.line >= 1 and "\n" not in str(fault) for fault in read.faults)


@settings(max_examples=examples(1000), deadline=None)
@given(
    ANY_YAML, st.sampled_from(["points", "time", "when", "decode", "meta", "identity", "topics", "records", "tests"])
)
def test_any_value_of_a_key_is_a_mapping_or_faults(value: object, key: str) -> None:
    route = {"name": "r", "topics": "{tenant}/{site}/{device}", "time": "received", "points": []}
    file: dict[str, object] = {"version": 1, "name": "m", "routes": [route | ({key: value} if key != "tests" else {})]}
    if key == "tests":
        file["tests"] = value
    text = json.dumps(file)
    assert isinstance(faults(text), list)


def test_nesting_is_bounded() -> None:
    assert "nested more than 64 deep" in faults("a: " + "[" * (DEPTH_MAX + 1))[0]
