"""The local Fly beside the Machines API: GraphQL, `/api/v1`, commands in machines, tokens."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.local_daemon import REF, LocalDaemon, tiny_config
from helpers.waiting import until
from localfly.api.graphql.schema import schema

NAME = "fly-schema.graphql"
BESIDE = Path(__file__).parents[3] / "shared" / "data" / NAME


def ask(daemon, query, expect=200, **variables):
    """Send an operation and return the whole answer."""
    body = {"query": query, "variables": variables}
    answer = daemon.client.post("/graphql", json=body)
    assert answer.status_code == expect, answer.text
    return answer.json()


def errors(answer):
    """Return the messages of an answer's errors."""
    return [error["message"] for error in answer["errors"]]


def named(app):
    """Return the name of an app from its path."""
    return app.removeprefix("/apps/")


# GraphQL


def test_fields_are_matched_by_root_field_and_alias_and_fragments_are_spread(daemon, app):
    query = """
        query ($name: String!) {
            appcompact: app(name: $name) { id deployed organization { ...Org } role { name } }
            viewer { ... on User { email } ... on Macaroon { email } }
        }
        fragment Org on Organization { slug apps(first: 1) { nodes { name } } }
    """

    data = ask(daemon, query, name=named(app))["data"]

    assert data["appcompact"]["id"] == named(app)
    assert data["appcompact"]["deployed"] is False
    assert data["appcompact"]["organization"]["slug"] == "personal"
    assert data["viewer"] == {"email": "local@localfly"}


def test_pages_of_apps_follow_each_other_by_their_cursors(daemon):
    query = """query ($org: ID, $after: String) {
        apps(first: 2, after: $after, organizationId: $org) {
            pageInfo { hasNextPage endCursor } nodes { name }
        }
    }"""
    names = [f"paged-{number}" for number in range(5)]
    for name in names:
        daemon.call("POST", "/apps", {"name": name, "org_slug": "pages"}, expect=201)
    org = ask(daemon, '{ organization(slug: "pages") { id } }')["data"]["organization"]["id"]

    found, after = [], None
    while True:
        page = ask(daemon, query, org=org, after=after)["data"]["apps"]
        found += [node["name"] for node in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]

    assert found == names


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('{ app(name: "none") { id } }', "Could not find App"),
        ('{ latestImageDetails(image: "a:1") { tag } }', "Unknown repository"),
        ("{ certificate(id: 1) { id } }", "Cannot query field 'certificate' on type 'Queries'"),
        ('{ app(name: "none") { vmSize { name } } }', "The local Fly does not have it"),
        (
            "mutation ($i: ValidateWireGuardPeersInput!) { validateWireGuardPeers(input: $i) }",
            "no WireGuard",
        ),
        ("mutation { deleteApp(appId: 1) { organization { id } } }", "see its README"),
        ("{ app(", "Syntax Error"),
        ("{ viewer { email } } " * 500, "more than 2000 tokens"),
        (f"{{ {'a { ' * 900} }}", "Syntax Error"),
        ("query A { viewer { email } } query B { viewer { email } }", "operation name"),
    ],
    ids=[
        "no-app",
        "repository",
        "root",
        "field",
        "wireguard",
        "mutation",
        "syntax",
        "long",
        "deep",
        "two",
    ],
)
def test_what_is_refused_is_refused_in_graphqls_own_form(daemon, query, message):
    answer = ask(daemon, query)

    assert any(message.lower() in text.lower() for text in errors(answer))


def test_a_request_without_a_query_or_a_token_is_refused(daemon):
    assert daemon.client.post("/graphql", json={"variables": {}}).status_code == 400
    for path in ("/graphql", "/api/v1/organizations"):
        answer = daemon.client.post(path, json={}, headers={"Authorization": ""})
        assert answer.status_code == 401


def test_addresses_and_secrets_are_those_of_the_machines_api(daemon, app):
    name = named(app)
    allocate = """mutation ($input: AllocateIPAddressInput!) { allocateIpAddress(input: $input) {
        ipAddress { address type } app { sharedIpAddress } } }"""
    v6 = ask(daemon, allocate, input={"appId": name, "type": "v6", "region": ""})["data"]
    shared = ask(daemon, allocate, input={"appId": name, "type": "shared_v4"})["data"]
    again = ask(daemon, allocate, input={"appId": name, "type": "shared_v4"})
    secrets = [{"key": "ONE", "value": "s3cret"}, {"key": "TWO", "value": "2"}]
    ask(
        daemon,
        "mutation ($input: SetSecretsInput!) { setSecrets(input: $input) { release { id } } }",
        input={"appId": name, "secrets": secrets},
    )
    ask(
        daemon,
        "mutation ($input: UnsetSecretsInput!) { unsetSecrets(input: $input) { release { id } } }",
        input={"appId": name, "keys": ["TWO"]},
    )

    ips = {ip["ip"]: ip["type"] for ip in daemon.call("GET", f"{app}/ip_assignments")["ips"]}
    address = v6["allocateIpAddress"]["ipAddress"]["address"]
    assert ips == {
        address: "v6",
        shared["allocateIpAddress"]["app"]["sharedIpAddress"]: "shared_v4",
    }
    assert shared["allocateIpAddress"]["ipAddress"] is None
    assert again["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    assert [s["name"] for s in daemon.call("GET", f"{app}/secrets")["secrets"]] == ["ONE"]
    release = """mutation ($input: ReleaseIPAddressInput!) { releaseIpAddress(input: $input) {
        app { ipAddresses { nodes { address } } } } }"""
    left = ask(daemon, release, input={"appId": name, "ip": address})["data"]
    assert left["releaseIpAddress"]["app"]["ipAddresses"]["nodes"] == []
    shown = ask(daemon, f'{{ app(name: "{name}") {{ secrets {{ name digest }} }} }}')
    assert "s3cret" not in str(shown)


def test_the_schema_is_the_part_of_flys_that_is_here():
    """Each type, field, argument and value has Fly's name and Fly's type."""
    from graphql import build_schema  # noqa: PLC0415 - slow to import

    path = next(
        (p for p in (Path(os.environ.get("FLY_GRAPHQL") or NAME), BESIDE) if p.is_file()), None
    )
    if path is None:
        pytest.skip(f"Fly's GraphQL schema is neither in $FLY_GRAPHQL nor at {BESIDE}")
    published = build_schema(path.read_text(encoding="utf-8"))

    assert list(differences(schema().type_map, published.type_map)) == []


def differences(ours, theirs):
    """Return where our types and Fly's part."""
    for name, kind in ours.items():
        other = theirs.get(name)
        if other is None:
            yield f"no type {name}"
            continue
        for value in getattr(kind, "values", ()):
            if value not in other.values:
                yield f"no value {name}.{value}"
        for field, shape in getattr(kind, "fields", {}).items():
            found = other.fields.get(field)
            if found is None or str(found.type) != str(shape.type):
                yield f"{name}.{field}: {shape.type}, not {found and found.type}"
                continue
            for argument, asked in getattr(shape, "args", {}).items():
                known = found.args.get(argument)
                if known is None or str(known.type) != str(asked.type):
                    yield f"{name}.{field}({argument}): {asked.type}, not {known and known.type}"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
PROBES = (
    ("query ($v: String) { apps(first: 1, after: $v) { nodes { id } } }", None),
    (
        "query ($v: Int) { organizations(first: $v) { nodes { apps(first: $v) { totalCount } } } }",
        None,
    ),
    (
        """mutation ($v: CreateLimitedAccessTokenInput!) { createLimitedAccessToken(input: $v) {
            limitedAccessToken { name } } }""",
        {"name": "x", "organizationId": "personal", "profile": "deploy"},
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PROBES), st.sampled_from(["expiry", "profileParams", "name"]), JUNK)
def test_no_variable_breaks_graphql(daemon, probe, field, value):
    query, template = probe
    variable = value if template is None else {**template, field: value}
    content = json.dumps({"query": query, "variables": {"v": variable}}).encode()

    answer = daemon.client.post("/graphql", content=content)

    assert answer.status_code in {200, 400}, answer.text
    assert "internal" not in str(answer.json().get("errors"))


# Releases, builds and logs


def test_a_release_is_noted_and_ends_as_its_deploy_does(daemon, app):
    body = {"app_name": named(app), "image": REF, "strategy": "CANARY", "definition": {"env": {}}}
    made = daemon.client.post("/api/v1/releases", json=body)
    first = made.json()["release"]
    daemon.client.post("/api/v1/releases", json=body)
    path = f"/api/v1/releases/{first['id']}"
    done = daemon.client.patch(path, json={"status": "complete", "metadata": {"a": 1}})

    assert (made.status_code, first["version"], first["status"]) == (201, 1, "pending")
    assert done.json()["stable"]
    assert daemon.client.patch(path, json={"status": "splendid"}).status_code == 400
    assert daemon.client.patch("/api/v1/releases/x", json={"status": "failed"}).status_code == 404
    listed = daemon.client.get(f"/api/v1{app}/releases", params={"limit": 1}).json()["releases"]
    assert [release["version"] for release in listed] == [2]
    query = f"""{{ app(name: "{named(app)}") {{
        currentReleaseUnprocessed {{ version configDefinition }}
        complete: releasesUnprocessed(first: 9, status: "complete") {{ nodes {{ version imageRef }} }}
    }} }}"""
    shown = ask(daemon, query)["data"]["app"]
    assert shown["currentReleaseUnprocessed"] == {"version": 2, "configDefinition": {"env": {}}}
    assert shown["complete"]["nodes"] == [{"version": 1, "imageRef": REF}]


def test_what_is_not_below_api_v1_is_said_to_be_absent(daemon):
    for path, sentence in (
        ("/api/v1/organizations/personal/machines", "POST /api/v1/organizations/personal/machines"),
        ("/api/v1/builds/depot_builder", "localfly image build"),
    ):
        answer = daemon.client.post(path, json={})

        assert answer.status_code == 501
        assert sentence in answer.json()["error"]


def test_logs_go_on_where_the_last_piece_ended(daemon, app):
    machine = daemon.new_machine(app)
    log = daemon.home / "logs" / f"{machine['id']}.log"
    until(lambda: "listening" in log.read_text())

    def read(**params):
        answer = daemon.client.get(f"/api/v1{app}/logs", params=params)
        assert answer.status_code == 200, answer.text
        entries = [entry["attributes"] for entry in answer.json()["data"]]
        return entries, answer.json()["meta"]["next_token"]

    first, token = read(instance=machine["id"])
    with log.open("a") as file:
        file.write("one\ntwo\nhalf")
    second, token = read(next_token=token)
    with log.open("a") as file:
        file.write(" and half\n")
    third, token = read(next_token=token)

    assert [entry["message"] for entry in first] == ["listening"]
    assert first[0]["meta"]["event"]["provider"] == "app"
    assert [entry["message"] for entry in second] == ["one", "two"]
    assert [entry["message"] for entry in third] == ["half and half"]
    assert read(next_token=token)[0] == []
    assert read(region="fra")[0] == []
    for wrong in ("x", "bnVsbA==", "e30", "eyJhIjogSW5maW5pdHl9"):
        answer = daemon.client.get(f"/api/v1{app}/logs", params={"next_token": wrong})
        assert answer.status_code == 400, wrong


# Commands in machines


def test_a_command_runs_in_the_machines_environment_and_reports_its_end(daemon, app):
    daemon.call("POST", f"{app}/secrets", {"values": {"TOKEN": "t0p"}})
    machine = daemon.new_machine(app)
    path = f"{app}/machines/{machine['id']}/exec"
    code = "import os, sys; sys.stderr.write(sys.stdin.read()); print(os.environ['TOKEN']); exit(3)"

    done = daemon.call("POST", path, {"command": ["python", "-c", code], "stdin": "in"})
    killed = daemon.call("POST", path, {"cmd": "sh -c 'kill -9 $$'"})

    assert done == {"exit_code": 3, "exit_signal": 0, "stdout": "t0p\n", "stderr": "in"}
    assert killed["exit_signal"] == 9
    daemon.call("POST", path, {"cmd": "no-such-program"}, expect=400)
    daemon.call("POST", path, {"cmd": "'open"}, expect=400)
    daemon.call("POST", path, {"cmd": "true", "container": "x"}, expect=501)
    error = daemon.call("POST", path, {"cmd": "sleep 600", "timeout": 1}, expect=408)["error"]
    assert "ran for 1 s" in error
    flood = daemon.call("POST", path, {"cmd": "head -c 3000000 /dev/zero"})
    assert len(flood["stdout"]) == 1024 * 1024
    assert not [p for p in daemon.machine_processes() if "600" in p.cmdline()]


def test_a_command_ends_with_its_machine_and_none_runs_in_one_that_rests(daemon, app):
    machine = daemon.new_machine(app)
    path = f"{app}/machines/{machine['id']}"
    daemon.ask(app, "/")
    code = f"import http.client; c = http.client.HTTPConnection('{daemon.client.base_url.host}'"
    code += f", {daemon.client.base_url.port}); c.request('POST', '/v1{path}/stop', headers="
    code += "{'Authorization': 'Bearer x'}); c.getresponse(); import time; time.sleep(600)"

    error = daemon.call("POST", f"{path}/exec", {"command": ["python", "-c", code]}, expect=412)
    daemon.wait(app, machine["id"], "stopped")

    assert "stopped" in error["error"]
    daemon.call("POST", f"{path}/exec", {"cmd": "true"}, expect=412)


# Tokens and organizations


def test_a_token_made_here_opens_a_strict_daemon_until_it_is_revoked(tmp_path, image_cache):
    strict = LocalDaemon(tmp_path / "home", image_cache)
    try:
        strict.start("--token", "right")
        strict.connect(str(strict.client.base_url), "right")
        app = strict.new_app("mine")
        query = """mutation ($org: ID!) { createLimitedAccessToken(input: {
            name: "ci", organizationId: $org, profile: "deploy", profileParams: {app_id: "mine"},
            expiry: "1h"}) { limitedAccessToken { id tokenHeader } } }"""
        made = ask(strict, query, org="personal")["data"]["createLimitedAccessToken"]
        token = made["limitedAccessToken"]
        headers = {"Authorization": token["tokenHeader"]}

        strict.call("GET", app, headers=headers)
        strict.call("GET", app, headers={"Authorization": "FlyV1 localfly_guess"}, expect=401)
        listed = ask(
            strict, '{ app(name: "mine") { limitedAccessTokens { nodes { name token } } } }'
        )
        assert listed["data"]["app"]["limitedAccessTokens"]["nodes"] == [
            {"name": "ci", "token": ""}
        ]
        strict.stop()
        strict.start("--token", "right")
        strict.call("GET", app, headers=headers)
        strict.connect(str(strict.client.base_url), "right")
        revoke = """mutation ($id: ID) { deleteLimitedAccessToken(input: {id: $id}) { token } }"""
        ask(strict, revoke, id=token["id"])
        strict.call("GET", app, headers=headers, expect=401)
        assert token["tokenHeader"].encode() not in (strict.home / "state.db").read_bytes()
    finally:
        strict.clean()


def test_machines_of_an_organization_are_listed_page_by_page(daemon):
    daemon.call("POST", "/apps", {"name": "first-of-them", "org_slug": "many"}, expect=201)
    daemon.call("POST", "/apps", {"name": "second-of-them", "org_slug": "many"}, expect=201)
    made = {
        daemon.new_machine(f"/apps/{name}", skip_launch=True, wait="")["id"]
        for name in ("first-of-them", "second-of-them")
    }
    daemon.call("POST", "/apps/first-of-them/volumes", {"name": "data", "size_gb": 1})

    def page(**params):
        return daemon.call("GET", "/orgs/many/machines", params={"limit": 1, **params})

    one = page()
    two = page(cursor=one["next_cursor"])

    assert {m["id"] for m in [*one["machines"], *two["machines"]]} == made
    assert two["next_cursor"] == ""
    assert one["machines"][0]["config"]["image"] == tiny_config()["image"]
    assert page(state="started")["machines"] == []
    assert page(region="fra")["machines"] == []
    (volume,) = daemon.call("GET", "/orgs/many/volumes")["volumes"]
    assert volume["app_name"] == "first-of-them"


# The command line


def test_the_variables_for_flyctl_name_this_daemon_and_are_set_for_a_command(daemon, tmp_path):
    url = str(daemon.client.base_url).rstrip("/")

    printed = daemon.command("env")
    run = daemon.command("env", "sh", "-c", "echo $FLY_API_BASE_URL $FLY_CONFIG_DIR")
    away = LocalDaemon(tmp_path / "none", tmp_path).command("env")

    for name in ("FLY_API_BASE_URL", "FLY_FLAPS_BASE_URL", "FLY_UIEX_BASE_URL"):
        assert f"export {name}={url}\n" in printed.stdout
    assert run.stdout == f"{url} {daemon.home / 'flyctl'}\n"
    assert away.returncode == 1
    assert "localfly start --detach" in away.stderr
    assert daemon.command("env", "no-such-program").returncode == 1
