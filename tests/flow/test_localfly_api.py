"""The local Fly's API as its clients meet it: filters, leases, volumes, secrets, and refusals."""

from __future__ import annotations

import copy

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.local_daemon import REF, LocalDaemon, tiny_config
from helpers.plain_http import NO_TLS
from helpers.waiting import until

NONCE = "fly-machine-lease-nonce"


@pytest.fixture
def resting(daemon, app):
    """The path of a machine that was created and not started."""
    return f"{app}/machines/{daemon.new_machine(app, skip_launch=True, wait='')['id']}"


# Who may ask


def test_a_request_without_a_token_is_refused_and_both_schemes_are_taken(daemon):
    for headers, status in (
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer x"}, 200),
        ({"Authorization": "FlyV1 fm2_abc,fm2_def"}, 200),
    ):
        daemon.call("GET", "/platform/regions", expect=status, headers=headers)


def test_a_daemon_with_a_token_takes_no_other(tmp_path, image_cache):
    strict = LocalDaemon(tmp_path / "home", image_cache)
    try:
        strict.start("--token", "right")
        strict.call("GET", "/platform/regions", expect=401)
        strict.call("GET", "/platform/regions", headers={"Authorization": "Bearer right"})
    finally:
        strict.clean()


def test_a_web_page_cannot_use_the_api(daemon):
    headers = {"Origin": "https://example.com"}
    assert daemon.client.post("/localfly/stop", headers=headers).status_code == 403
    daemon.call("GET", "/platform/regions", expect=403, headers=headers)


# Apps


def test_the_name_of_an_app_is_taken_once(daemon, app):
    name = app.removeprefix("/apps/")

    error = daemon.call("POST", "/apps", {"name": name, "org_slug": "other"}, expect=422)

    assert error == {"error": "Name has already been taken", "status": "name_taken"}


@pytest.mark.parametrize("name", ["", "A", "-a-", "a_b", "x" * 64, "a b", "\u00e4\u00e4", None])
def test_a_name_that_fly_refuses_is_refused(daemon, name):
    daemon.call("POST", "/apps", {"name": name, "org_slug": "personal"}, expect=422)


def test_apps_are_listed_by_organization(daemon):
    daemon.call("POST", "/apps", {"name": "theirs", "org_slug": "them"}, expect=201)

    found = daemon.call("GET", "/apps", params={"org_slug": "them"})

    assert found["total_apps"] == 1
    assert found["apps"][0]["organization"]["slug"] == "them"


def test_a_deleted_app_takes_machines_volumes_and_its_port_with_it(daemon, app):
    volume = daemon.call("POST", f"{app}/volumes", {"name": "data", "size_gb": 1})["id"]
    mounts = [{"volume": volume, "path": "/data"}]
    daemon.new_machine(app, config=tiny_config(mounts=mounts))
    status = daemon.client.get("/localfly/status").json()
    port = status["apps"][app.removeprefix("/apps/")]["port"]

    daemon.call("DELETE", app, expect=202)

    daemon.call("GET", app, expect=404)
    assert not (daemon.home / "volumes" / volume).exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}", trust_env=False, verify=NO_TLS)
    daemon.new_app(app.removeprefix("/apps/"))
    assert daemon.call("GET", f"{app}/machines") == []


# Lists


def test_machines_are_filtered_by_region_state_and_metadata(daemon, app):
    def add(name, region, **metadata):
        config = tiny_config(metadata=metadata)
        request = {"name": name, "region": region, "config": config, "skip_launch": True}
        return daemon.call("POST", f"{app}/machines", request)

    def names(**params):
        return {m["name"] for m in daemon.call("GET", f"{app}/machines", params=params)}

    add("one", "iad", role="web", tier="a")
    add("two", "fra", role="web", tier="b")
    gone = add("three", "fra", role="job")
    daemon.call("DELETE", f"{app}/machines/{gone['id']}")

    assert names() == {"one", "two"}
    assert names(include_deleted="true") == {"one", "two", "three"}
    assert names(region="fra") == {"two"}
    assert names(state="started") == set()
    assert names(state="started,stopped,created") == {"one", "two"}
    assert names(**{"metadata.role": "web"}) == {"one", "two"}
    assert names(**{"metadata.role": "web", "metadata.tier": "b"}) == {"two"}
    assert names(**{"metadata.role": "none"}) == set()


def test_a_summary_leaves_out_what_is_long(daemon, app, resting):
    (summary,) = daemon.call("GET", f"{app}/machines", params={"summary": "true"})

    assert f"{app}/machines/{summary['id']}" == resting
    assert not {"config", "events", "checks", "host_status", "nonce"} & set(summary)


# Waiting


def test_a_wait_returns_when_one_of_its_states_is_reached(daemon, app):
    machine = daemon.call("POST", f"{app}/machines", {"config": tiny_config()})
    path = f"{app}/machines/{machine['id']}/wait"

    reached = daemon.call("GET", path, params=[("state", "suspended,failed"), ("state", "started")])

    assert reached["ok"]
    assert reached["state"] == "started"
    assert reached["version"] == machine["instance_id"]


def test_a_wait_for_another_version_or_a_later_event_goes_on(daemon, app):
    machine = daemon.new_machine(app)
    path = f"{app}/machines/{machine['id']}/wait"
    newest = daemon.machine(app, machine["id"])["events"][0]["id"]
    never = {"state": "started", "timeout": 1}

    daemon.call("GET", path, params={**never, "version": "01NONE"}, expect=408)
    daemon.call("GET", path, params={**never, "from_event_id": newest}, expect=408)
    daemon.call("GET", path, params={**never, "from_event_id": machine["events"][0]["id"]})


# Leases


def test_while_a_machine_is_leased_only_the_holder_changes_it(daemon, app):
    machine = daemon.new_machine(app)["id"]
    path = f"{app}/machines/{machine}"
    body = {"ttl": 60, "description": "deploying"}
    lease = daemon.call("POST", f"{path}/lease", body, expect=201)["data"]

    refused = [
        daemon.call("POST", path, {"config": tiny_config()}, expect=409),
        daemon.call("DELETE", path, expect=409),
        *(
            daemon.call("POST", f"{path}/{action}", expect=409)
            for action in ("start", "stop", "suspend", "restart", "cordon", "uncordon", "lease")
        ),
        daemon.call("POST", f"{path}/stop", headers={NONCE: "wrong"}, expect=409),
    ]

    assert all("deploying" in error["error"] for error in refused)
    assert daemon.machine(app, machine)["state"] == "started"
    daemon.call("PATCH", f"{path}/metadata", {"metadata": {"a": "b"}}, expect=204)
    daemon.call("POST", f"{path}/stop", headers={NONCE: lease["nonce"]})
    daemon.wait(app, machine, "stopped")


def test_a_lease_is_kept_with_its_nonce_and_given_back_to_its_holder_only(daemon, resting):
    lease = daemon.call("POST", f"{resting}/lease", {"ttl": 60}, expect=201)["data"]
    held = {NONCE: lease["nonce"]}
    kept = daemon.call("POST", f"{resting}/lease", {"ttl": 120}, headers=held, expect=201)["data"]

    assert kept["nonce"] == lease["nonce"]
    assert kept["expires_at"] > lease["expires_at"]
    daemon.call("DELETE", f"{resting}/lease", headers={NONCE: "wrong"}, expect=409)
    daemon.call("DELETE", f"{resting}/lease", headers=held)
    daemon.call("POST", f"{resting}/lease", {}, expect=201)


def test_a_lease_runs_out_and_its_nonce_with_it(daemon, resting):
    lease = daemon.call("POST", f"{resting}/lease", {"ttl": 1}, expect=201)["data"]

    until(lambda: daemon.client.get(f"/v1{resting}/lease").status_code != 200)
    held = {NONCE: lease["nonce"]}
    daemon.call("POST", f"{resting}/lease", {"ttl": 60}, headers=held, expect=400)
    daemon.call("POST", f"{resting}/lease", {}, expect=201)


def test_a_machine_is_created_with_a_lease_whose_nonce_is_told_once(daemon, app):
    made = daemon.new_machine(app, lease_ttl=60, skip_launch=True, wait="")

    assert made["nonce"]
    assert "nonce" not in daemon.machine(app, made["id"])
    daemon.call("DELETE", f"{app}/machines/{made['id']}", expect=409)


@pytest.mark.parametrize("ttl", [0.5, -1, 10**9, "x", True])
def test_a_lease_needs_sensible_seconds(daemon, resting, ttl):
    daemon.call("POST", f"{resting}/lease", {"ttl": ttl}, expect=400)


# Metadata


def test_metadata_is_written_with_neither_restart_nor_version(daemon, app):
    machine = daemon.new_machine(app)
    path = f"{app}/machines/{machine['id']}"
    pid = daemon.ask(app, "/count")["pid"]

    daemon.call("PUT", f"{path}/metadata", {"metadata": {"a": "1", "b": "2"}}, expect=204)
    daemon.call("PATCH", f"{path}/metadata", {"metadata": {"a": "", "c": "3"}}, expect=204)

    assert daemon.call("GET", f"{path}/metadata") == {"b": "2", "c": "3"}
    assert daemon.machine(app, machine["id"])["config"]["metadata"] == {"b": "2", "c": "3"}
    assert daemon.machine(app, machine["id"])["instance_id"] == machine["instance_id"]
    assert daemon.ask(app, "/count")["pid"] == pid


def test_a_precondition_that_fails_keeps_metadata_as_it_was(daemon, resting):
    for stale in ({"machine_version": "01OLD"}, {"updated_at": "2020-01-01T00:00:00Z"}):
        body = {"metadata": {"a": "1"}, **stale}
        daemon.call("PATCH", f"{resting}/metadata", body, expect=412)
        daemon.call("PUT", f"{resting}/metadata", body, expect=412)

    assert daemon.call("GET", f"{resting}/metadata") == {}


# Volumes


def volume_of(daemon, app, **fields):
    return daemon.call("POST", f"{app}/volumes", {"name": "data", "size_gb": 1, **fields})


def mounting(volume):
    mounts = [{"volume": volume["id"], "path": "/data"}]
    return tiny_config(mounts=mounts, env={"DATA": "/data"})


def test_a_volume_belongs_to_one_machine_of_its_region(daemon, app):
    volume = volume_of(daemon, app, region="fra")
    config = mounting(volume)
    daemon.call("POST", f"{app}/machines", {"config": config, "region": "iad"}, expect=400)
    made = daemon.new_machine(app, config=config, region="fra", wait="", skip_launch=True)

    assert made["config"]["mounts"][0]["size_gb"] == 1
    attached = daemon.call("GET", f"{app}/volumes/{volume['id']}")["attached_machine_id"]
    assert attached == made["id"]
    daemon.call("POST", f"{app}/machines", {"config": config, "region": "fra"}, expect=409)
    daemon.call("DELETE", f"{app}/volumes/{volume['id']}", expect=409)
    daemon.call("POST", f"{app}/machines/{made['id']}", {"config": tiny_config()}, expect=400)

    daemon.call("DELETE", f"{app}/machines/{made['id']}")
    daemon.call("DELETE", f"{app}/volumes/{volume['id']}")
    (dying,) = daemon.call("GET", f"{app}/volumes")
    assert dying["state"] == "pending_destroy"
    daemon.call("POST", f"{app}/machines", {"config": config, "region": "fra"}, expect=404)


def test_a_volume_grows_and_never_shrinks(daemon, app):
    volume = volume_of(daemon, app)
    path = f"{app}/volumes/{volume['id']}/extend"

    assert daemon.call("PUT", path, {"size_gb": 3})["volume"]["size_gb"] == 3
    daemon.call("PUT", path, {"size_gb": 2}, expect=400)
    daemon.call("PUT", path, {}, expect=400)


def test_a_snapshot_restores_what_was_there_and_a_fork_what_is(daemon, app):
    volume = volume_of(daemon, app)
    path = f"{app}/volumes/{volume['id']}/snapshots"
    daemon.new_machine(app, config=mounting(volume))
    daemon.ask(app, "/write?old")
    daemon.call("POST", path)
    until(lambda: daemon.call("GET", path)[0]["status"] == "created")
    snapshot = daemon.call("GET", path)[0]
    daemon.ask(app, "/write?new")

    restored = volume_of(daemon, app, snapshot_id=snapshot["id"])
    forked = volume_of(daemon, app, source_volume_id=volume["id"])

    def note(found):
        return (daemon.home / "volumes" / found["id"] / "note").read_text()

    assert (note(volume), note(restored), note(forked)) == ("new", "old", "new")
    assert snapshot["size"] == 3
    daemon.call("PUT", f"{app}/volumes/{volume['id']}/extend", {"size_gb": 3})
    body = {"name": "small", "size_gb": 1, "source_volume_id": volume["id"]}
    daemon.call("POST", f"{app}/volumes", body, expect=400)
    body = {"name": "none", "snapshot_id": "vs_none"}
    daemon.call("POST", f"{app}/volumes", body, expect=404)


def test_a_snapshot_is_of_one_moment_while_a_machine_writes(daemon, app):
    volume = volume_of(daemon, app)
    # Writes the same number into a hundred files, round after round, first file first.
    program = (
        "import itertools, os, pathlib\n"
        "folder = pathlib.Path(os.environ['DATA'])\n"
        "for number in itertools.count(1):\n"
        "    for name in range(100):\n"
        "        (folder / f'{name:02}').write_text(f'{number:06}')\n"
    )
    config = mounting(volume) | {"init": {"exec": ["python", "-c", program]}}
    machine = daemon.new_machine(app, config=config)["id"]
    folder = daemon.home / "volumes" / volume["id"]
    until((folder / "99").exists)

    fork = volume_of(daemon, app, source_volume_id=volume["id"])
    daemon.call("DELETE", f"{app}/machines/{machine}", params={"force": "true"})

    copies = sorted((daemon.home / "volumes" / fork["id"]).iterdir())
    numbers = [int(copy.read_text() or -1) for copy in copies]
    torn = [number for number in numbers if number < 0]
    whole = [number for number in numbers if number >= 0]
    assert len(torn) <= 1  # the file in hand, opened and not yet written
    assert whole == sorted(whole, reverse=True)
    assert max(whole) - min(whole) <= 1


# Secrets


def test_a_secrets_digest_follows_its_value_and_the_version_its_change(daemon, app):
    def put(**values):
        return daemon.call("POST", f"{app}/secrets", {"values": values})

    first, same, other = put(A="1", B="1"), put(A="1"), put(A="2")
    digests = {s["name"]: s["digest"] for s in first["secrets"]}

    assert digests["A"] == digests["B"]
    assert same["version"] == first["version"]
    assert other["version"] == first["version"] + 1
    assert {s["name"]: s["digest"] for s in other["secrets"]}["A"] != digests["A"]
    assert put(A=None, NEVER=None)["secrets"] == [s for s in other["secrets"] if s["name"] == "B"]


def test_a_batch_with_one_bad_secret_changes_nothing(daemon, app):
    for bad in ({"A": "1", "B": 2}, {"A": "1", "1B": "2"}, {"A": "1", "B": ["x"]}):
        daemon.call("POST", f"{app}/secrets", {"values": bad}, expect=400)

    assert daemon.call("GET", f"{app}/secrets") == {"secrets": []}


# Refusals of configs


def test_every_unknown_field_is_named_with_what_was_probably_meant(daemon, app):
    config = tiny_config(gueest={}, env={"ANY": "name"})
    config["services"][0] |= {"auto_stop_machines": "suspend", "internal_prt": 1}

    error = daemon.call("POST", f"{app}/machines", {"config": config}, expect=422)["error"]

    assert "config.gueest (did you mean guest?)" in error
    assert "services[0].auto_stop_machines (that is fly.toml; here it is autostop)" in error
    assert "services[0].internal_prt (did you mean internal_port?)" in error
    error = daemon.call("POST", f"{app}/machines", {"konfig": {}}, expect=422)["error"]
    assert "konfig" in error
    assert daemon.call("GET", f"{app}/machines") == []


BAD = {
    "no image": {"image": ""},
    "unknown image": {"image": "registry.fly.io/none:1"},
    "memory not in steps": {"guest": {"memory_mb": 300}},
    "memory too small": {"guest": {"cpus": 2, "memory_mb": 256}},
    "memory too large": {"guest": {"memory_mb": 4096}},
    "no such size": {"guest": {"cpus": 3}},
    "no such kind": {"guest": {"cpu_kind": "fast"}},
    "size and guest": {"size": "shared-cpu-1x"},
    "no such preset": {"guest": None, "size": "huge"},
    "env not strings": {"env": {"A": 1}},
    "env null": {"env": {"A": None}},
    "services not a list": {"services": {}},
    "no port": {"services": [{"protocol": "tcp"}]},
    "no such protocol": {"services": [{"internal_port": 80, "protocol": "quic"}]},
    "autostart a string": {
        "services": [{"internal_port": 80, "protocol": "tcp", "autostart": "true"}]
    },
    "autostop a wish": {
        "services": [{"internal_port": 80, "protocol": "tcp", "autostop": "maybe"}]
    },
    "restart a wish": {"restart": {"policy": "sometimes"}},
    "a signal that is none": {"stop_config": {"signal": "SIGNONE"}},
    "a timeout that is none": {"stop_config": {"timeout": "soon"}},
    "a timeout too long": {"stop_config": {"timeout": "1h"}},
    "two mounts": {"mounts": [{"volume": "vol_a", "path": "/a"}, {"volume": "b", "path": "/b"}]},
    "mount without a volume": {"mounts": [{"path": "/data"}]},
    "mount on the root": {"mounts": [{"volume": "vol_a", "path": "/"}]},
    "a check of no type": {"checks": {"up": {"port": 80}}},
    "a check that never comes": {"checks": {"up": {"type": "tcp", "port": 1, "interval": "x"}}},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_a_config_that_fly_refuses_is_refused_and_changes_nothing(daemon, app, resting, changes):
    config = tiny_config(**changes)
    before = daemon.call("GET", resting)

    error = daemon.call("POST", f"{app}/machines", {"config": config}, expect=400)["error"]
    daemon.call("POST", resting, {"config": config}, expect=400)

    assert error.startswith("invalid_argument: ")
    assert daemon.call("GET", f"{app}/machines") == [before]


@pytest.mark.parametrize(
    "changes",
    [{"schedule": "daily"}, {"containers": [{}]}, {"files": [{"guest_path": "/x"}]}],
    ids=str,
)
def test_what_is_not_here_is_refused_rather_than_ignored(daemon, app, changes):
    config = tiny_config(**changes)

    error = daemon.call("POST", f"{app}/machines", {"config": config}, expect=501)["error"]

    assert "README" in error


def test_names_and_regions_of_machines(daemon, app, resting):
    daemon.new_machine(app, name="one", skip_launch=True, wait="")
    for request, status in (
        ({"name": "one"}, 409),
        ({"name": "x" * 64}, 400),
        ({"region": "mars"}, 400),
    ):
        body = {"config": tiny_config(), **request}
        daemon.call("POST", f"{app}/machines", body, expect=status)
    for request in ({"name": "other"}, {"region": "fra"}):
        daemon.call("POST", resting, {"config": tiny_config(), **request}, expect=400)


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b'"x"', b"\xff", b'{"config": NaN}', b'{"name": "\\ud800"}', b"[" * 5000],
    ids=["cut", "list", "text", "bytes", "NaN", "surrogate", "deep"],
)
def test_a_body_that_is_no_json_object_is_refused(daemon, app, content):
    answer = daemon.client.post(f"/v1{app}/machines", content=content)

    assert answer.status_code == 400
    assert "JSON" in answer.json()["error"]


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(value, path=()):
    """List every place inside a document."""
    inside = {dict: getattr(value, "items", tuple), list: lambda: enumerate(value)}
    for key, inner in inside.get(type(value), tuple)():
        yield (*path, key)
        yield from places(inner, (*path, key))


FULL = tiny_config(
    env={"A": "1"},
    init={"exec": ["true"], "swap_size_mb": 0},
    restart={"policy": "no", "max_retries": 1},
    stop_config={"signal": "SIGTERM", "timeout": "1s"},
    metadata={"a": "b"},
    checks={"up": {"type": "http", "port": 1, "path": "/", "interval": "1s"}},
    dns={"options": [{"name": "a", "value": "b"}]},
)
REQUESTS = {
    "/machines": {"config": FULL, "name": "n", "region": "iad", "min_secrets_version": 0},
    "/volumes": {"name": "data", "size_gb": 1, "compute": {"memory_mb": 256}},
    "/secrets": {"values": {"A": "1"}},
    "/ip_assignments": {"type": "v6", "region": "iad"},
}


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_request_breaks_the_api(daemon, app, data):
    path = data.draw(st.sampled_from(sorted(REQUESTS)))
    body = copy.deepcopy(REQUESTS[path])
    place = data.draw(st.sampled_from(sorted(places(body), key=str)))
    target = body
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = data.draw(JSON_VALUES)

    answer = daemon.client.post(f"/v1{app}{path}", json=body | launched_never(path))

    assert answer.status_code in {200, 400, 404, 409, 412, 422, 501}, answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]


def launched_never(path):
    """Keep generated machines from starting."""
    return {"skip_launch": True} if path == "/machines" else {}


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "limit=9.5"])
def test_numbers_in_queries_are_checked(daemon, resting, query):
    daemon.call("GET", f"{resting}/events?{query}", expect=400)


def test_the_image_a_machine_names_is_taken_apart(daemon, resting):
    found = daemon.call("GET", resting)["image_ref"]

    assert found["registry"] == "registry.fly.io"
    assert f"{found['registry']}/{found['repository']}:{found['tag']}" == REF
