"""``mail-suppressions``: list the addresses that get no mails, and remove an address from the list."""

from pathlib import Path

from tests.cli.command_line import CommandLine
from tests.service import Service


def test_list_and_lift(own_service: Service, tmp_path: Path) -> None:
    from background.mail.suppressions import suppress

    line = CommandLine.of(own_service, tmp_path)
    assert line.run("mail-suppressions", "list").out == "No address is suppressed.\n"
    suppress(["ada@example.com", "ada@bücher.example"], "complaint", "feedback-7")
    listed = line.run("mail-suppressions", "list", "--json").json["suppressions"]
    assert [one["address"] for one in listed] == ["ada@bücher.example", "ada@example.com", "ada@xn--bcher-kva.example"]
    assert (listed[0]["reason"], listed[0]["feedback_id"]) == ("complaint", "feedback-7")
    assert listed[0]["expires_at"].endswith("Z")
    assert "ada@example.com" in line.run("mail-suppressions", "list").out

    assert line.run("mail-suppressions", "lift", "ada").code == 2
    assert line.run("mail-suppressions", "lift", "grace@example.com", "--json").code == 1
    lifted = line.run("mail-suppressions", "lift", "Ada@BÜCHER.example", "--json")
    assert sorted(lifted.json["lifted"]) == ["ada@bücher.example", "ada@xn--bcher-kva.example"]
    assert line.run("mail-suppressions", "lift", "ada@example.com").out == "ada@example.com gets mails again\n"
    assert own_service.execute("SELECT * FROM users_mail_suppressions") == []
