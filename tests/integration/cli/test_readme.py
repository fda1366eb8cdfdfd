"""What the README promises of commands and settings is what the program has."""

from __future__ import annotations

import re
from pathlib import Path

from rebalancer_pipelines.cli.app import app
from rebalancer_pipelines.domain.account_settings import SETTINGS, parse_settings

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def test_every_setting_stands_there_with_its_defaults() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+ \| [^|]+) \|", README, re.MULTILINE))
    live, paper = parse_settings({}, is_paper=False), parse_settings({}, is_paper=True)
    assert rows == {name: f"{s.write(live)} | {s.write(paper)}" for name, s in SETTINGS.items()}


def test_every_command_stands_there() -> None:
    table = README[README.index("| command |") : README.index("## Going live")]
    groups = {group.name: [c.name for c in group.typer_instance.registered_commands] for group in app.registered_groups}
    for command in app.registered_commands:
        assert re.search(rf"`{command.name}\b", table), command.name
    for group, commands in groups.items():
        listed = " ".join(re.findall(rf"`{group} ([^`]+)`", table))
        assert [name for name in commands if name not in listed.split()] == []


def test_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            assert target.startswith("http") or (document.parent / target).exists(), (document.name, target)
