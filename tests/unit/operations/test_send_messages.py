"""The process that sends: real servers take what it sends, and no address is ever shown."""

from __future__ import annotations

import json
import subprocess
import sys
from email import message_from_bytes
from email.policy import default

import pytest
from aiosmtpd.controller import Controller

from helpers.environments import environment_data
from helpers.message_server import MessageServer
from helpers.prefect_process import free_port
from helpers.waiting import LIMIT_S
from roost.apply.sops import Unread
from roost.environment.files import EnvironmentFile
from roost.environment.model import Environment
from roost.operations import notifier, send_messages
from roost.operations.notifier import Address, addressed, heard, send
from roost.report.notice import Notice
from roost.secret_text import SecretText

# The library loads all of its senders, and one of them imports a module that Python 3.13 removed.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
TEAMS = (
    "https://prod-12.westus.logic.azure.com:443/workflows/643e69f83c8944438d68119179a10a64"
    "/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun"
    "&sv=1.0&sig=KODuebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJZxFE5A"
)
NOTICE = Notice(
    fact="failed",
    environment="staging",
    title="staging: the deploy failed",
    text="Said @everyone <!channel> <b>bold</b> & [x](http://evil.example).",
    link="https://github.com/acme/infra/actions/runs/1",
)


@pytest.fixture
def server():
    with MessageServer() as found:
        yield found


def to(name, url):
    return Address(name, SecretText(url))


def test_a_plain_web_address_gets_the_message_as_json_and_each_failure_is_a_sentence(server):
    told = {
        to("GOOD", f"{server.url}/hook?token=hunter2&a=1"): [NOTICE],
        to("GONE", f"{server.url}/gone/hunter2"): [NOTICE],
        to("MOVED", f"{server.url}/moved/hunter2"): [NOTICE],
        to("SECRET_HOST", "http://hunter2.invalid/"): [NOTICE],
        to("CLOSED", "http://127.0.0.1:1/hunter2"): [NOTICE],
        to("WRONG", "hunter2"): [NOTICE],
        Address("NONE", Unread("the environment variable NONE is not set", "Set it.")): [NOTICE],
    }

    results = {result.name: result for result in send(told, {})}

    assert results["GOOD"].sentence == "GOOD: the message was delivered to its web address."
    assert "it answered 404. Check the address" in results["GONE"].sentence
    assert "it answered 302. Check the address" in results["MOVED"].sentence
    assert "not delivered to its web address: it could not be reached" in results["CLOSED"].sentence
    assert "not delivered to its web address" in results["SECRET_HOST"].sentence
    assert "no address that messages can be sent to. Store it as Slack" in results["WRONG"].sentence
    assert "the environment variable NONE is not set. Set it." in results["NONE"].sentence
    assert "hunter2" not in str(results)
    paths = dict(server.got)
    assert set(paths) == {"/hook?token=hunter2&a=1", "/gone/hunter2", "/moved/hunter2"}
    sent = paths["/hook?token=hunter2&a=1"]
    assert sent["title"] == "[Roost] staging: the deploy failed"
    assert "@everyone" not in sent["message"]
    assert sent["message"].endswith(NOTICE.link)


def test_what_hangs_is_given_up_and_leaves_no_process(server, monkeypatch):
    """A name server, a handshake or an answer that never ends: the process is killed with it."""
    monkeypatch.setattr(notifier, "SOCKET_S", 3600)
    monkeypatch.setattr(notifier, "LIMIT_S", 0.2)
    started = []
    run = subprocess.Popen

    def remembered(*arguments, **options):
        started.append(run(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(notifier.subprocess, "Popen", remembered)

    [result] = send({to("HANG", f"{server.url}/hang"): [NOTICE]}, {})

    assert "there was no answer within 0 s" in result.sentence
    assert [process.returncode for process in started] == [-9]


def test_the_sender_gets_no_token_and_no_address_but_on_its_input(monkeypatch):
    seen = {}

    class Sender:
        def __init__(self, arguments, **options):
            seen.update(arguments=arguments, env=options["env"])

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def communicate(self, asked, timeout):
            seen.update(asked=asked, timeout=timeout)
            return "", ""

    monkeypatch.setattr(notifier.subprocess, "Popen", Sender)
    environ = {"FLY_API_TOKEN": "hunter2", "https_proxy": "http://proxy:1", "PATH": "/bin"}

    [result] = send({to("A", "https://chat.example/hunter2"): [NOTICE]}, environ)

    assert seen["env"] == {"https_proxy": "http://proxy:1", "PATH": "/bin"}
    assert "hunter2" not in str(seen["arguments"])
    assert json.loads(seen["asked"])["messages"][0]["url"] == "https://chat.example/hunter2"
    assert "the program that sends ended before that" in result.sentence


def test_mail_is_sent_with_the_text_as_text():
    class Mails:
        def __init__(self):
            self.got = []

        async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 - the library's name
            self.got.append(message_from_bytes(envelope.content, policy=default))
            return "250 OK"

    mails = Mails()

    port = free_port()
    controller = Controller(mails, hostname="127.0.0.1", port=port, ready_timeout=LIMIT_S)
    controller.start()
    try:
        address = f"mailto://127.0.0.1:{port}?from=roost@acme.test&to=ada@acme.test&mode=insecure"
        [result] = send({to("MAIL", address): [NOTICE]}, {})
    finally:
        controller.stop()

    assert result.sentence == "MAIL: the message was delivered to E-Mail."
    [mail] = mails.got
    assert mail["subject"] == "[Roost] staging: the deploy failed"
    assert mail["to"] == "ada@acme.test"
    body = mail.get_body(("html", "plain")).get_content()
    assert "<b>" not in body or mail.get_body().get_content_type() == "text/plain"


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "Slack"),
        (
            "https://discord.com/api/webhooks/123456789012/abcdefghijklmnopqrstuvwxyz012345",
            "Discord",
        ),
        (TEAMS, "Power Automate / Workflows (for MSTeams)"),
        ("https://chat.example.com/hooks/x", "JSON"),
        ("mailtos://me:pw@smtp.acme.test?to=ada@acme.test", "E-Mail"),
    ],
    ids=["slack", "discord", "teams", "webhook", "mail"],
)
def test_an_address_is_taken_as_people_paste_it(url, service):
    assert str(send_messages.plugin_for(url).service_name) == service


@pytest.mark.parametrize("url", ["", "hunter2", "ftp://a/b", "https://", "https:///x"])
def test_what_is_no_address_is_not_sent_to(url):
    assert send_messages.plugin_for(url) is None


def test_slack_gets_signs_of_its_own_as_text(server, monkeypatch):
    """`<!channel>` calls everybody, `<http://x|y>` is a link under another name."""
    plugin = send_messages.plugin_for(
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    )
    monkeypatch.setattr(type(plugin), "webhook_url", server.url)
    message = {"title": "T <b>", "body": "A <!channel> & <http://evil.example|x>"}

    assert send_messages.accepted(plugin, message, 5)

    [(_, got)] = server.got
    [shown] = got["attachments"]
    assert shown["title"] == "T &lt;b&gt;"
    assert shown["text"] == "A &lt;!channel&gt; &amp; &lt;http://evil.example|x&gt;"
    assert "github.com/caronc" not in json.dumps(got)  # no image of somebody else's


def test_who_sends_nothing_loads_no_library_for_it():
    """It takes 0.2 s and more; only the process that sends has it."""
    program = (
        "import sys, roost.cli.app, roost.commands.notify, roost.workflows.notify;"
        "sys.exit('apprise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# Who is told


class Here:
    """The part of a context that finding addresses needs."""

    def __init__(self, **environ):
        self.environ = environ


def file(name, *entries, tmp_path):
    data = environment_data(app=f"acme-{name}", notify=list(entries))
    return EnvironmentFile(name, tmp_path / f"{name}.yaml", Environment.model_validate(data))


def test_a_fact_goes_to_those_who_listen_for_it_in_its_environment(tmp_path):
    staging = file("staging", {"url_secret": "A", "on": ("drift",)}, tmp_path=tmp_path)
    other = file("other", {"url_secret": "B"}, tmp_path=tmp_path)
    drift = NOTICE.model_copy(update={"fact": "drift", "environment": "staging.nightly"})

    assert heard([staging, other], [NOTICE, drift]) == (drift,)
    told = addressed(Here(A="https://a.example", B="https://b.example"), [staging, other], [drift])
    assert {address.name: len(notices) for address, notices in told.items()} == {"A": 1}


def test_a_fact_about_no_environment_that_is_here_goes_to_each_address_once(tmp_path):
    both = [
        file(name, {"url_secret": secret}, tmp_path=tmp_path)
        for name, secret in (("staging", "A"), ("other", "B"), ("third", "C"))
    ]
    token = NOTICE.model_copy(update={"fact": "token", "environment": ""})

    told = addressed(Here(A="https://a.example", B="https://a.example"), both, [token])

    values = [address.value for address in told]
    assert values.count(SecretText("https://a.example")) == 1
    assert [address.name for address in told if isinstance(address.value, Unread)] == ["C"]
