"""A SOPS file is judged where nobody has its key, and nothing of it is shown."""

from __future__ import annotations

import json

import pytest

from helpers.sops_files import age_key, encrypt
from roost.environment.load import load_files
from roost.environment.sops_file import SopsFileError, read_sops_file, sops_path

HIDDEN = "hooks.example/never-shown"
FILES = {
    "hooks.sops.yaml": f'HOOK: {HIDDEN}\nPORT: 5\nGROUP: {{A: {HIDDEN}}}\nEMPTY: ""\n',
    "hooks.sops.json": f'{{"HOOK": "{HIDDEN}", "PORT": 5, "GROUP": {{"A": "b"}}, "EMPTY": ""}}',
}
ENVIRONMENT = """\
app: acme-prefect
region: iad
prefect: {{version: 3.8.8}}
secrets:
  - PREFECT_SERVER_API_AUTH_STRING
  - {{name: {name}, from: {{sops: {file}}}}}
"""


@pytest.fixture(scope="module")
def key():
    return age_key()


@pytest.fixture
def repository(tmp_path):
    (tmp_path / ".git").mkdir()
    (tmp_path / "environments").mkdir()
    return tmp_path


@pytest.fixture
def faults(repository):
    """Return the faults of an environment that names a secret and its file."""

    def load(file, name="HOOK"):
        path = repository / "environments" / "staging.yaml"
        path.write_text(ENVIRONMENT.format(name=name, file=file))
        found = load_files([path]).faults
        assert HIDDEN not in repr(found)
        return [str(fault).removeprefix(f"{path}:") for fault in found]

    return load


@pytest.mark.parametrize("file", FILES)
def test_names_and_recipients_are_known_without_a_key(repository, key, file):
    other = age_key()
    path = encrypt(repository / file, FILES[file], key, other)

    found = read_sops_file(path)

    assert found.names == {"HOOK", "PORT", "GROUP", "EMPTY"}
    assert found.recipients == (key.recipient, other.recipient)


def test_a_dotenv_file_is_read_too(repository, key):
    path = encrypt(repository / "hooks.sops.env", f"# ours\nHOOK={HIDDEN}\n", key)

    found = read_sops_file(path)

    assert (found.names, found.recipients) == ({"HOOK"}, (key.recipient,))
    assert found.fault("HOOK") == ""


@pytest.mark.parametrize("file", FILES)
def test_a_good_file_is_no_fault(repository, faults, key, file):
    encrypt(repository / file, FILES[file], key)

    assert faults(file) == []


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("HOOKS", "has no key HOOKS; did you mean HOOK?"),
        ("QUITE_OTHER", "has no key QUITE_OTHER; add it with `sops edit`, it has EMPTY, GROUP"),
        ("PORT", "has PORT as a number or the like; put it in quotes"),
        ("GROUP", "has GROUP as a group of values; a secret is one text"),
        ("EMPTY", "has an empty EMPTY; give it a value"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_remedy(repository, faults, file, name, said):
    encrypt(repository / file, FILES[file], age_key())

    [fault] = faults(file, name)

    assert fault.startswith(f"6:{len(f'  - {{name: {name}, from: {{sops: ') + 1}: {file} {said}")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("plain.sops.yaml", f"HOOK: {HIDDEN}\n"),
        ("plain.sops.json", f'{{"HOOK": "{HIDDEN}"}}'),
        ("plain.sops.env", f"HOOK={HIDDEN}\n"),
        ("pretends.sops.yaml", f"HOOK: {HIDDEN}\nsops: yes\n"),
    ],
)
def test_a_file_in_clear_text_is_a_fault_that_does_not_show_it(repository, faults, file, content):
    (repository / file).write_text(content)

    [fault] = faults(file)

    assert f"{file} is not encrypted: anyone who reads the repository reads its values." in fault


def test_one_value_left_in_the_clear_is_a_fault_that_does_not_show_it(repository, faults, key):
    path = encrypt(repository / "hooks.sops.yaml", "HOOK: x\n", key)
    path.write_text(f"OTHER: {HIDDEN}\n{path.read_text()}")

    assert faults("hooks.sops.yaml") == []
    [fault] = faults("hooks.sops.yaml", "OTHER")
    assert "has OTHER in the clear; encrypt it, and change the value that was committed" in fault


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("no.sops.yaml", None, "does not exist; create it with `sops edit FILE`"),
        ("bad.sops.yaml", f"HOOK: [{HIDDEN}\n", "is not plain YAML (line 2)"),
        ("bad.sops.json", f'{{"HOOK": "{HIDDEN}"', "is not a JSON object"),
        ("deep.sops.json", "[" * 100_000, "is not a JSON object"),
        ("bad.sops.env", HIDDEN, "has a line that is not NAME=VALUE"),
        ("large.sops.yaml", f"HOOK: {HIDDEN * 20_000}", "is larger than 256 KB"),
        ("hooks.txt", HIDDEN, "must end in one of .yaml, .yml, .json, .env"),
        ("../hooks.yaml", HIDDEN, "is outside of the repository"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(repository, faults, file, content, said):
    if content is not None:
        (repository / file).write_text(content)

    [fault] = faults(file)

    assert f"{file} {said}" in fault


@pytest.mark.parametrize("name", ["/etc/passwd.yaml", "a/../../x.yaml", "link/x.yaml"])
def test_nothing_outside_of_the_repository_is_looked_at(repository, tmp_path_factory, name):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.yaml").write_text("sops: {mac: x}")
    (repository / "link").symlink_to(outside)

    with pytest.raises(SopsFileError, match="outside of the repository"):
        sops_path(repository, name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("link.sops.yaml", "[http]\n\textraheader: hunter2\n"),
        ("link.sops.yaml", "sops: {mac: x}\nhunter2: hunter3\n"),
        ("link.sops.json", '{"sops": {"mac": "x"}, "hunter2": "hunter3"}'),
        ("link.sops.env", "sops_mac=x\nhunter2=hunter3\n"),
        (".git/x.sops.yaml", "sops: {mac: x}\nhunter2: hunter3\n"),
    ],
)
def test_git_s_own_files_are_no_secrets_and_nothing_of_them_is_shown(
    repository, faults, name, content
):
    """A job's git may keep a token there, and a link has whatever suffix one wants."""
    (repository / ".git" / "x.sops.yaml").write_text(content)
    if not name.startswith(".git/"):
        (repository / name).symlink_to(".git/x.sops.yaml")

    [fault] = faults(name)

    assert f"{name} is outside of the repository" in fault
    assert "hunter" not in fault


def test_nothing_of_a_file_that_is_none_of_sops_is_shown(repository, faults):
    (repository / "creds.yaml").write_text("hunter2: hunter3\nHOOK: hunter4\n")

    [fault] = faults("creds.yaml")

    assert "is not encrypted" in fault
    assert "hunter" not in fault


def test_without_git_the_folder_above_the_environments_counts(tmp_path, key):
    folder = tmp_path / "somewhere" / "environments"
    folder.mkdir(parents=True)
    encrypt(folder.parent / "hooks.sops.yaml", "HOOK: x\n", key)
    (folder / "staging.yaml").write_text(ENVIRONMENT.format(name="HOOK", file="hooks.sops.yaml"))

    assert load_files([folder]).faults == ()


VAULT = [{"vault_address": "http://127.0.0.1:9", "engine_path": "transit", "key_name": "k"}]
KEEPER = "is encrypted for HashiCorp Vault, and Roost uses age keys alone"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"hc_vault": VAULT}, KEEPER),
        ({"HC_Vault": VAULT}, KEEPER),  # which is the same to SOPS, in JSON
        ({"key_groups": [{"age": []}, {"hc_vault": VAULT}]}, KEEPER),
        ({"kms": [{"arn": "arn:aws:kms:x"}]}, "is encrypted for AWS KMS"),
        ({"gcp_kms": [{"resource_id": "x"}]}, "is encrypted for Google Cloud KMS"),
        ({"azure_kv": [{"vault_url": "https://x"}]}, "is encrypted for Azure Key Vault"),
        ({"hckms": [{"key_id": "x"}]}, "is encrypted for Huawei Cloud KMS"),
        ({"pgp": [{"fp": "x"}]}, "is encrypted for PGP"),
        ({"quantum": [{"at": "x"}]}, "has metadata that Roost does not know"),
    ],
)
def test_a_file_that_sends_sops_elsewhere_for_the_key_is_refused(
    repository, faults, key, more, said
):
    """Where SOPS asks, and with whose login, would be the choice of whoever changes the file."""
    path = encrypt(repository / "hooks.sops.json", f'{{"HOOK": "{HIDDEN}"}}', key)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "sops": {**data["sops"], **more}}))

    [fault] = faults("hooks.sops.json")

    assert said in fault


def test_a_dotenv_file_that_sends_sops_elsewhere_is_refused(repository, faults, key):
    path = encrypt(repository / "hooks.sops.env", f"HOOK={HIDDEN}\n", key)
    path.write_text(
        f"{path.read_text()}sops_hc_vault__list_0__map_vault_address=http://127.0.0.1\n"
    )

    [fault] = faults("hooks.sops.env")

    assert KEEPER in fault


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('"SOPS": {"hc_vault": [1]}', "has metadata of SOPS twice"),
        ('"sops": {"hc_vault": [1]}', "is not a JSON object"),
    ],
)
def test_metadata_that_stands_twice_is_refused(repository, faults, key, more, said):
    path = encrypt(repository / "hooks.sops.json", f'{{"HOOK": "{HIDDEN}"}}', key)
    path.write_text(f"{{{more},{path.read_text().strip().removeprefix('{')}")

    [fault] = faults("hooks.sops.json")

    assert said in fault


def test_keepers_that_an_older_sops_wrote_and_nobody_uses_are_no_fault(repository, faults, key):
    path = encrypt(repository / "hooks.sops.yaml", f"HOOK: {HIDDEN}\n", key)
    none = "".join(
        f"    {name}: []\n" for name in ("kms", "gcp_kms", "azure_kv", "hc_vault", "pgp")
    )
    path.write_text(path.read_text().replace("sops:\n", f"sops:\n{none}"))

    assert faults("hooks.sops.yaml") == []
