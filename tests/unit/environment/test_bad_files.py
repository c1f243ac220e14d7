"""Bad files: each fault says where it stands and how to mend it, and nothing raises or hangs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.environment.load import load_files
from roost.environment.yaml_source import MAX_BYTES, read_source

GOOD = """\
app: acme
region: iad
prefect: {version: 3.8.8}
secrets: [PREFECT_SERVER_API_AUTH_STRING]
"""
REPLICATED = """\
app: acme
region: iad
prefect: {version: 3.8.8}
secrets: [PREFECT_SERVER_API_AUTH_STRING, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY]
database:
  backend: sqlite
  replicate:
    url: s3://bucket/path
    endpoint: https://fly.storage.tigris.dev
"""
BOMB = "x-a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"x-{this}: &{this} [{','.join([f'*{last}'] * 9)}]\n"
    for last, this in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.fixture
def faults_of(tmp_path):
    """The faults of one file, as LINE:COLUMN: MESSAGE."""

    def load(text):
        path = tmp_path / "staging.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return [str(f).removeprefix(f"{path}:") for f in load_files([path]).faults]

    return load


def test_the_file_the_others_are_made_from_is_good(faults_of):
    assert faults_of(GOOD) == []
    assert faults_of(REPLICATED) == []


@pytest.mark.parametrize(
    "replicate",
    [
        "s3://bucket/a/b-c_d=e.f",
        "{url: s3://my.bucket/x, region: eu-central-1, sync_interval: 1h}",
        "{url: s3://bucket/x, endpoint: 'http://127.0.0.1:9000'}",
        "{url: s3://bucket/x, endpoint: 'http://minio.internal:9000'}",
    ],
)
def test_a_place_to_copy_to_is_good(faults_of, replicate):
    assert (
        faults_of(REPLICATED[: REPLICATED.index("  replicate:")] + f"  replicate: {replicate}\n")
        == []
    )


@pytest.mark.parametrize(
    ("replicate", "fault"),
    [
        ("s3://bucket", "7:14: url must be s3://BUCKET/PATH, with a path that is this"),
        ("s3://bucket/x/", "url must be s3://BUCKET/PATH"),
        ("s3://bucket/../x", "url must be s3://BUCKET/PATH"),
        ("s3://bucket/x?endpoint=e", "url must be s3://BUCKET/PATH"),
        ("s3://key:secret@bucket/x", "url must be s3://BUCKET/PATH"),
        ("https://bucket.s3.amazonaws.com/x", "url must be s3://BUCKET/PATH"),
        ("5", "replicate must be s3://BUCKET/PATH, or a mapping with url, found 5"),
        ("{endpoint: 'https://e'}", "url is missing; add it"),
        ("{url: s3://bucket/x, endpiont: 'https://e'}", "did you mean endpoint?"),
        ("{url: s3://bucket/x, endpoint: 'https://u:p@e'}", "endpoint must be https://HOST"),
        ("{url: s3://bucket/x, endpoint: e.com}", "endpoint must be https://HOST"),
        ("{url: s3://bucket/x, region: Frankfurt}", "region must be the bucket's region"),
        ("{url: s3://bucket/x, sync_interval: 5}", "is not a duration"),
    ],
)
def test_a_place_to_copy_to_that_is_none(faults_of, replicate, fault):
    text = REPLICATED[: REPLICATED.index("  replicate:")] + f"  replicate: {replicate}\n"

    [found] = faults_of(text)

    assert fault in found


def test_a_copy_is_for_sqlite_only(faults_of):
    text = REPLICATED.replace(
        "backend: sqlite", "backend: postgres\n  url_secret: AWS_ACCESS_KEY_ID"
    )

    [found] = faults_of(text)

    assert "replicate is for the other backend; remove it, or change backend" in found


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD + "regoin: ams\n", "5:1: there is no key regoin; did you mean region?"),
        (GOOD + "scaling: {cuont: 1}\n", "5:11: there is no key cuont; did you mean count?"),
        (GOOD + "5: x\n", "5:1: there is no key 5; known here: access, adopt, app,"),
        (GOOD + "region: ams\n", "5:1: region is written here twice, first in line 2; keep one"),
        (GOOD + "? [a]\n: x\n", "5:3: a key must be a plain word"),
        ("app: x\nscaling:\n\tcount: 1\n", "3:1: a tab; YAML indents with spaces"),
        ("app: x\nscaling:\n  \tcount: 1\n", "3:3: a tab; YAML indents with spaces"),
        ("", "1:1: is empty; an environment needs at least app, region and prefect"),
        ("# only a comment\n", "1:1: is empty"),
        ("- app: acme\n", "1:1: must be a mapping of keys to values"),
        ("acme\n", "1:1: must be a mapping of keys to values"),
        (GOOD + "machine: {size: x\n", "is not YAML here"),
        (GOOD + "organization: *x\n", "5:15: found undefined alias; name it first with &"),
    ],
)
def test_the_shape_of_the_file(faults_of, text, fault):
    assert any(fault in found for found in faults_of(text))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            GOOD + "machine: {memory_mb: 512MB}\n",
            "5:22: memory_mb must be a whole number, without quotes or unit, found 512MB",
        ),
        (GOOD + "machine: {memory_mb: 1_024}\n", "found 1_024; write 1024"),
        (GOOD + "machine: {memory_mb: 600}\n", "memory_mb must be a multiple of 256"),
        (GOOD + "scaling: {idle_after: 300}\n", "5:23: idle_after is not a duration"),
        (GOOD + "scaling: {idle_after: 5 minutes}\n", "such as 90s, 5m or 1h30m"),
        (GOOD + "scaling: {count: -1}\n", "count must be 0 or more, found -1"),
        (GOOD + "scaling: {count: 21}\n", "count must be 20 or less, found 21"),
        (
            GOOD + "drift: {ignore: [{field: guest.memory, reason: x}]}\n",
            (
                "5:26: field must be a field as plans show it, such as guest.memory_mb or "
                "env.PREFECT_LOGGING_LEVEL, found guest.memory; did you mean guest.memory_mb?"
            ),
        ),
        (GOOD + "drift: {ignore: [{field: guest.cpus}]}\n", "reason is missing; add it"),
        (
            GOOD + "drift: {ignore: [{field: env.PREFECT_X, reason: x}]}\n",
            "5:26: PREFECT_X is not under prefect.settings; add it there, or remove the rule",
        ),
        (
            GOOD + "drift:\n  ignore:\n" + "  - {field: guest.cpus, reason: x}\n" * 2,
            "8:13: guest.cpus is listed twice; keep one",
        ),
        (
            GOOD + "drift: repair\n",
            "5:8: drift must be heal, or a mapping with heal and ignore, found repair",
        ),
        (
            GOOD + "drift: true\n",
            "drift must be heal, or a mapping with heal and ignore, found true",
        ),
        (GOOD + "drift:\n", "drift must be heal, or a mapping with heal and ignore, found nothing"),
        (GOOD + "drift: {heel: true}\n", "5:9: there is no key heel; did you mean heal?"),
        (GOOD + "drift: {heal: yes}\n", "5:15: heal must be true or false, without quotes"),
        (GOOD + "protected: yes\n", "protected must be true or false, without quotes, found yes"),
        (GOOD + "machine:\n", "machine must be a mapping of keys to values"),
        (GOOD + "database: {backend: mysql}\n", "backend must be sqlite or postgres, found mysql"),
        (GOOD + "database: {volume_gb: 2}\n", "backend is missing"),
        (
            GOOD + "database: {backend: sqlite, volume_gb: 1.0}\n",
            "volume_gb must be a whole number",
        ),
        (
            GOOD + "database: {backend: sqlite, url_secret: X}\n",
            "5:29: url_secret is for the other backend; remove it, or change backend",
        ),
        (GOOD.replace("acme", "5"), "1:6: app must be text, found 5; put it in quotes"),
        (GOOD.replace("acme", "Acme_Prefect"), "1:6: app must be 2 to 63 lower-case letters"),
        (GOOD.replace("acme", "acme-"), "not beginning or ending with a dash"),
        (GOOD.replace("acme", "a" * 64), "app must be 2 to 63"),
        (GOOD.replace("iad", "no"), "2:9: region must be one of ams, arn,"),
        (GOOD.replace("iad", "aid"), "2:9: region must be one of ams, arn,"),
        (GOOD.replace("iad", "sea"), "(Seattle, which Fly has closed); the nearest is sjc"),
        (
            GOOD.replace("3.8.8", "3.10"),
            "3:20: version must be a full version, such as 3.9.1, found 3.10",
        ),
        (GOOD.replace("3.8.8", "'3.8'"), "version must be a full version, such as 3.9.1"),
        (GOOD.replace("app: acme\n", ""), "app is missing; add it"),
        (GOOD.replace("[PREFECT", "[5, PREFECT"), "entry 1 must be a mapping"),
        (GOOD.replace("[PREFECT", "[a-b, PREFECT"), "name must be a name such as SLACK_HOOK"),
        (GOOD.replace("[PREFECT", "[{name: A, from: {}}, PREFECT"), "must name one source"),
        (GOOD.replace("[PREFECT", "[{name: A, from: {env: B, sops: c}}, PREFECT"), "one source"),
    ],
)
def test_the_values_of_fields(faults_of, text, fault):
    found = faults_of(text)

    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (GOOD + "scaling: {count: 2}\n", "5:18: SQLite serves one machine; set count to 1"),
        (GOOD + "scaling: {count: 0}\n", "count 0 would leave the SQLite volume"),
        (
            GOOD + "machine: {size: shared-cpu-2x, memory_mb: 4096}\n",
            "Fly suspends machines of up to 2048 MB; set autostop to stop",
        ),
        (GOOD + "machine: {memory_mb: 4096}\nscaling: {autostop: stop}\n", "takes 256 to 2048 MB"),
        (
            GOOD + "machine: {size: performance-1x, memory_mb: 2304}\nscaling: {autostop: stop}\n",
            "performance-1x takes memory in steps of 1024 MB; use 2048 or 3072",
        ),
        (GOOD + "machine: {memory_mb: 256}\n", "is killed at 256; use 512"),
        (GOOD + "scaling: {min_machines_running: 2}\n", "is more than count 1"),
        (
            GOOD + "scaling: {concurrency: {soft_limit: 200}}\n",
            "soft_limit 200 is above hard_limit",
        ),
        (GOOD + "scaling: {idle_after: 1s}\n", "idle_after must be from 5s to 168h"),
        (GOOD + "health: {interval: 1s}\n", "interval must be from 2s to 600s"),
        (GOOD + "health: {timeout: 2m}\n", "timeout must be from 1s to 60s"),
        (GOOD + "health: {grace_period: 0s}\n", "grace_period must be from 1s to 600s"),
        (GOOD + "health: {path: /}\n", "/api/health"),
        (GOOD + "access: {internal_port: 80}\n", "1024"),
        (
            GOOD + "adopt: 148e21ea7d6389\nscaling: {count: 2}\n",
            "adopt takes over the one machine of a server with topology single and count 1",
        ),
        (
            GOOD.replace("[PREFECT_SERVER_API_AUTH_STRING]", "[]") + "access: {auth: none}\n",
            "a public server without a login lets anybody run flows",
        ),
        (GOOD.replace("[PREFECT_SERVER_API_AUTH_STRING]", "[A]"), "auth: basic needs the secret"),
        (GOOD + "access: {public: false, auth: none}\n", "would switch the login on"),
        (
            GOOD + "database: {backend: postgres, url_secret: URL}\n",
            "names a secret that is not in secrets",
        ),
        (GOOD.replace("[PREFECT", "[A, A, PREFECT"), "A is listed twice; keep one"),
        (
            GOOD + "database: {backend: sqlite, replicate: s3://bucket/path}\n",
            "5:40: replicate needs the secrets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; add",
        ),
        (
            GOOD.replace("[PREFECT", "[AWS_ACCESS_KEY_ID, PREFECT")
            + "database: {backend: sqlite, replicate: s3://bucket/path}\n",
            "replicate needs the secret AWS_SECRET_ACCESS_KEY; add it to secrets",
        ),
        (
            REPLICATED.replace("3.8.8}", "3.8.8, image: docker.io/acme/prefect}"),
            "Litestream is in roost's own image only; remove prefect.image, or replicate",
        ),
        (
            REPLICATED.replace("https", "http"),
            "9:15: the database would be sent unencrypted; write https://",
        ),
        (REPLICATED + "    sync_interval: 0s\n", "sync_interval must be from 1s to 1h"),
        (REPLICATED + "    sync_interval: 2h\n", "sync_interval must be from 1s to 1h"),
    ],
)
def test_rules_across_fields(faults_of, text, fault):
    assert any(fault in found for found in faults_of(text))


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("FOO: x", "FOO is not a Prefect setting"),
        ("PREFECT_HOME: /x", "PREFECT_HOME is decided by database; remove it"),
        ("PREFECT_SERVER_API_AUTH_STRING: x", "holds a secret; list its name under secrets"),
        ("PREFECT_UI_URL: 'postgres://h:6543/db'", "port 6543 is a transaction pooler"),
        ("PREFECT_X: null", "PREFECT_X is empty; give it a value or remove the key"),
        ('"": null', "a key without a name is empty; give it a value or remove the key"),
        ("PREFECT_X: [1]", "PREFECT_X must be text, found a list"),
        (r'PREFECT_UI_URL: "a\0b"', "has a NUL character"),
    ],
)
def test_settings(faults_of, setting, fault):
    found = faults_of(GOOD.replace("3.8.8}", f"3.8.8, settings: {{{setting}}}}}"))

    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.parametrize(
    ("addition", "fault"),
    [
        ("x-a: &a {region: ams}\n<<: *a\n", "6:1: << adds region, which is written here too"),
        ("x-a: &a x\n<<: *a\n", "6:1: << merges mappings only"),
        ("x-a: &a {k: 1}\nx-b: &b {k: 2}\nx-c: {<<: [*a, *b]}\n", "<< adds k"),
    ],
)
def test_a_merge_that_hides_a_field_is_a_fault(faults_of, addition, fault):
    [found] = faults_of(GOOD + addition)

    assert fault in found


def test_a_merge_that_hides_nothing_is_fine_even_through_another(faults_of):
    text = GOOD.replace("region: iad\n", "")

    assert faults_of("x-a: &a {region: ams}\n<<: *a\n" + text) == []
    assert faults_of("x-a: &a {region: ams}\nx-b: &b {<<: *a, prune: true}\n<<: *b\n" + text) == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (GOOD.encode() + b"organization: caf\xe9\n", "5:18: byte 0xe9 is not UTF-8"),
        (GOOD.encode("utf-16"), "1:1: byte 0xff is not UTF-8"),
        (GOOD + "organization: a\0b\n", "5:16: U+0000 is a control character; remove it"),
        (GOOD + "organization: a\x1b[31mb\n", "5:16: U+001B is a control character"),
        (GOOD + "organization: a\u202eb\n", "5:16: U+202E changes the reading direction"),
        (GOOD + "organization: a\u2028b\n", "U+2028 is a control character"),
        (GOOD + "---\n" + GOOD, "5:1: a second document; one file is one environment"),
        (GOOD + "x-a: !!python/object/apply:os.system [id]\n", "os.system is not allowed"),
        (GOOD + "organization: !!str x\n", "is not allowed; write plain values"),
        (GOOD + "organization: ! x\n", "is not allowed; write plain values"),
        (GOOD + "x-a: " + "[" * 2000 + "]" * 2000, "nested more than 32 deep"),
        (GOOD + "x-a: " + "{a: " * 2000 + "}" * 2000, "nested more than 32 deep"),
        (GOOD + "#" * 10_000_000, "is larger than 256 KiB"),
        (BOMB + GOOD, "expands to too much; use fewer aliases"),
        ("x-a: &a [*a]\n" + GOOD, "expands to too much"),
        ("x-a: &a {<<: *a}\n" + GOOD, "expands to too much"),
        ("x-a: &a {<<: [*a, *a, *a]}\n" + GOOD, "expands to too much"),
    ],
)
def test_hostile_files_are_refused_before_anything_is_built(faults_of, content, fault):
    [found] = faults_of(content)

    assert fault in found


@pytest.mark.parametrize("filler", ["x", "\t", "\u00e9", "x\t", ". "])
def test_a_long_line_is_judged_as_fast_as_a_short_one(faults_of, filler):
    """One pass: a check that looks back at the line from each character would take minutes here."""
    line = (filler * MAX_BYTES)[: (MAX_BYTES - 1000) // len(filler.encode()) * len(filler)]
    size = len((GOOD + "#" + line).encode())
    assert MAX_BYTES / 2 < size < MAX_BYTES

    assert faults_of(GOOD + "#" + line + "\n") == []


def test_what_a_terminal_would_obey_is_shown_as_its_escape(faults_of):
    r"""An escape in quotes reaches the value; the message about it must not carry it on."""
    found = faults_of(GOOD + r'"\e[31mred": 1' + "\n" + r'organization: "a\e\u202eb"' + "\n")

    assert len(found) == 2
    assert all(text.isprintable() for text in found)
    assert any(r"a\x1b\u202eb" in text for text in found)


def test_every_fault_of_a_file_is_found_in_one_run(faults_of):
    text = GOOD.replace("iad", "no").replace("3.8.8", "3.10") + "protected: yes\nextra: 1\n"

    assert len(faults_of(text)) == 4


@pytest.mark.parametrize("text", ["\ufeff" + GOOD, GOOD.replace("\n", "\r\n"), "---\n" + GOOD])
def test_what_editors_add_is_fine(faults_of, text):
    assert faults_of(text) == []


@given(st.binary(max_size=200))
def test_any_bytes_give_data_or_faults(content):
    source = read_source("x.yaml", content)

    assert bool(source.faults) or isinstance(source.data, dict)


YAML_LIKE = st.text(st.sampled_from("ab:- \n[]{},&*<!|>'\"#?%@\t0.~\\ex"), max_size=80)


@given(YAML_LIKE)
def test_any_text_that_looks_like_yaml_gives_data_or_faults(text):
    source = read_source("x.yaml", text.encode())

    assert bool(source.faults) or isinstance(source.data, dict)


@given(st.lists(st.sampled_from([*GOOD.splitlines(keepends=True), "  ", "x: ", "- ", "*a", "&a "])))
def test_a_good_file_torn_and_stirred_gives_an_environment_or_faults(tmp_path_factory, pieces):
    path = tmp_path_factory.getbasetemp() / "torn.yaml"
    path.write_text("".join(pieces))

    loaded = load_files([path])

    assert len(loaded.files) == (0 if loaded.faults else 1)


def test_a_token_in_the_place_of_a_secret_s_name_is_not_shown(faults_of):
    """One of letters, digits and `_` alone looks like a name, and is found missing as one."""
    text = GOOD + "database: {backend: postgres, url_secret: pnu_0123456789abcdef}\n"

    told = "\n".join(faults_of(text))

    assert "names a secret that is not in secrets" in told
    assert "pnu_" not in told
