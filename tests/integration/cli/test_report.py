"""`rebalancer report` as a person types it: a page that holds everything and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.support.analytics import Marts, ToldHistory, tell

Cli = Callable[..., Any]
HOSTILE = "</style><script>alert(1)</script><img src=x onerror=\"alert(2)\"> & 'more'"


class Page(HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self._heading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._heading = tag in {"h2", "h3"}

    def handle_endtag(self, tag: str) -> None:
        self._heading = self._heading and tag not in {"h2", "h3"}

    def handle_data(self, data: str) -> None:
        if self._heading:
            self.headings.append(data)

    def figures(self) -> list[str]:
        return [attributes["id"] or "" for tag, attributes in self.tags if tag == "figure"]

    def drawing(self, identity: str) -> ElementTree.Element:
        """The wide drawing of a figure."""
        found = re.search(rf'<svg [^>]*aria-labelledby="{identity}-wide-title.*?</svg>', self.text, re.DOTALL)
        assert found is not None, identity
        return ElementTree.fromstring(found[0])

    def numbers(self, identity: str, column: int) -> list[float]:
        """A column of the numbers behind a figure."""
        _, _, figure = self.text.partition(f'<figure id="{identity}"')
        table = figure.partition("<tbody>")[2].partition("</tbody>")[0]
        rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", table)]
        return [float(re.sub(r"[^0-9.-]", "", row[column].replace("−", "-"))) for row in rows]

    def notes(self) -> list[str]:
        return re.findall(r'<p class="note">(.*?)</p>', self.text)


@pytest.fixture
def marts(cli: Cli, done: Callable[..., Any], ready_database: str) -> Marts:
    """Empty marts, and a portfolio `core`."""
    done("account", "add", "main", "--venue", "paper", "--prices", "recorded", "--deposit", "EUR=10000")
    weights = ("--weights", "BTC=50,ETH=30,EUR=20")
    done("portfolio", "create", "core", "--account", "main", *weights, "--description", HOSTILE)
    return Marts(ready_database)


@pytest.fixture
def page(cli: Cli, marts: Marts, tmp_path: Path) -> Callable[[], Page]:
    def write() -> Page:
        out = tmp_path / "report.html"
        outcome = cli("report", "core", "--out", str(out))
        assert (outcome.code, outcome.err) == (0, ""), outcome
        return Page(out.read_text(encoding="utf-8"))

    return write


def rehearsed(**changes: Any) -> ToldHistory:
    return ToldHistory("core", basis="rehearsed", run_mode="backfill", **{"days": 40, **changes})


def booked(**changes: Any) -> ToldHistory:
    return ToldHistory("core", **{"first": date(2019, 2, 5), "days": 12, "every": 3, **changes})


def test_what_happened_and_what_was_rehearsed_have_sections_of_their_own(
    marts: Marts, page: Callable[[], Page]
) -> None:
    tell(marts, booked())
    tell(marts, rehearsed())
    found = page()
    titles = [heading for heading in found.headings if heading.startswith(("What", "Rehearsed"))]
    assert titles == [
        "What happened",
        "Rehearsed on a recorded market (2017): what the planner would have done, no money moved",
    ]
    kinds = ("value", "drawdown", "weights", "drift", "traded", "success", "fees")
    assert found.figures() == [f"{basis}-{kind}" for basis in ("booked", "rehearsed") for kind in kinds]
    happened, played = found.text.split('<section class="history rehearsed"')
    assert "2017" not in happened
    assert "2019" not in played.split("<footer>")[0]


def test_it_loads_nothing_and_may_load_nothing(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, booked())
    found = page()
    for tag, attributes in found.tags:
        assert tag not in {"link", "img", "iframe", "object", "embed", "form", "base"}
        assert not {"src", "href", "style", "xlink:href"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert set(re.findall(r"https?://[^\"' <]+", found.text)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in found.text
    assert "@import" not in found.text
    (policy,) = [a["content"] for tag, a in found.tags if tag == "meta" and a.get("http-equiv")]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for tag in ("style", "script"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", found.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_paper_is_white_and_shows_what_only_a_click_would(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, booked())
    (style,) = re.findall(r"<style>(.*?)</style>", page().text, re.DOTALL)
    assert set(re.findall(r"@media ([^{]*prefers-color-scheme[^{]*) \{", style)) == {
        "screen and (prefers-color-scheme: dark)"
    }
    _, printed = style.split("@media print {")
    assert "print-color-adjust: exact" in printed
    assert "footer details::details-content { content-visibility: visible" in printed


def test_what_people_wrote_stays_text(marts: Marts, page: Callable[[], Page]) -> None:
    owner = dict(zip(("portfolio_id", "portfolio_name"), marts.portfolio("core"), strict=True))
    tell(marts, booked(failed=[1]))
    marts.write(
        "failure_reasons",
        {
            **owner,
            "run_mode": "live",
            "code": HOSTILE,
            "occurrences": 1,
            "last_at": "2019-02-06",
            "last_message": HOSTILE,
        },
    )
    found = page()
    assert len([tag for tag, _ in found.tags if tag == "script"]) == 1
    assert not [tag for tag, _ in found.tags if tag == "img"]
    assert found.text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 3


def test_days_without_a_value_are_gaps_and_named(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, rehearsed(lost=[date(2017, 10, 10), date(2017, 10, 11), date(2017, 10, 20)]))
    found = page()
    assert "No value on 10 Oct 2017 – 11 Oct 2017, 20 Oct 2017: no price of ETH." in found.notes()
    for identity, kind in (
        ("rehearsed-value", "own line"),
        ("rehearsed-drawdown", "loss line"),
        ("rehearsed-drawdown", "held line"),
        ("rehearsed-weights", "cash share"),
        ("rehearsed-fees", "cost line"),
    ):
        paths = [path for path in found.drawing(identity).iter() if path.get("class") == kind]
        assert len(paths) == 3, identity


def test_money_that_came_in_is_told_and_marked(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, booked(flows={date(2019, 2, 8): Decimal(500), date(2019, 2, 10): Decimal(-100)}))
    found = page()
    told = "Dotted, money that came in or went out: +500.00 on 8 Feb 2019; −100.00 on 10 Feb 2019, in EUR."
    assert [note for note in found.notes() if note.startswith(told)]
    marks = [line for line in found.drawing("booked-value").iter() if line.get("class") == "mark"]
    assert len(marks) == 2


def test_the_first_purchase_does_not_flatten_the_rest_and_is_told(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, booked())
    found = page()
    assert "5 Feb 2019 began at 80.00 points, above the edge." in found.notes()
    assert "Beyond the edge, 5 Feb 2019: 8,000.00 bought, 0.00 sold." in found.notes()


def test_thousands_of_rebalances_are_shown_as_averages(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, rehearsed(days=130, every=1))
    found = page()
    strokes = [line for line in found.drawing("rehearsed-drift").iter() if line.get("class") == "stroke"]
    assert len(strokes) == 20
    assert "on average per week" in found.text


def test_behind_each_chart_stand_its_numbers(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, booked())
    tables = re.findall(r'<table class="numbers">(.*?)</table>', page().text, re.DOTALL)
    assert [table.count("<tr data-x=") for table in tables] == [12, 12, 12, 4, 4, 4, 12]
    assert 'data-x="0.0000"' in tables[0]
    assert 'data-x="1.0000"' in tables[0]


def test_what_is_drawn_is_what_the_numbers_say(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, rehearsed(failed=[2]))
    found = page()
    for figure, class_, column in (
        ("value", "own line", 1),
        ("value", "held line", 2),
        ("drawdown", "loss line", 1),
        ("drawdown", "held line", 2),
        ("fees", "cost line", 1),
    ):
        (path,) = [one for one in found.drawing(f"rehearsed-{figure}").iter() if one.get("class") == class_]
        heights = [-float(point.split(",")[1]) for point in path.get("d", "").strip("M").split("L")]
        assert in_proportion(heights, found.numbers(f"rehearsed-{figure}", column)), (figure, class_)
    for figure, class_, column in (
        ("traded", "bought column", 1),
        ("traded", "sold column", 2),
        ("success", "done column", 1),
        ("success", "failed column", 2),
    ):
        columns = [one for one in found.drawing(f"rehearsed-{figure}").iter() if one.get("class") == class_]
        drawn = [number for number in found.numbers(f"rehearsed-{figure}", column) if number]
        assert len(columns) == len(drawn) > 0, (figure, class_)
    for class_, column in (("ring", 1), ("reached", 2)):
        ends = [one for one in found.drawing("rehearsed-drift").iter() if one.get("class") == class_]
        told = found.numbers("rehearsed-drift", column)
        assert in_proportion([-float(end.get("cy", "nan")) for end in ends], told[-len(ends) :]), class_
    for column, share in ((1, 50), (2, 30), (3, 20)):
        assert abs(found.numbers("rehearsed-weights", column)[0] - share) < 1


def in_proportion(heights: list[float], numbers: list[float]) -> bool:
    """Whether heights are numbers on some scale, to the tenth of a pixel in which they are written."""
    assert len(heights) == len(numbers) > 1
    low, high = numbers.index(min(numbers)), numbers.index(max(numbers))
    if numbers[low] == numbers[high]:
        return len(set(heights)) == 1
    scale = (heights[high] - heights[low]) / (numbers[high] - numbers[low])
    off = (
        heights[low] + (number - numbers[low]) * scale - height for height, number in zip(heights, numbers, strict=True)
    )
    return scale > 0 and all(abs(distance) < 0.25 + 0.01 * scale for distance in off)


def test_dry_runs_are_listed_apart_and_in_no_chart(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, ToldHistory("core", run_mode="dry_run", first=date(2019, 2, 5), days=3, every=1))
    found = page()
    assert found.figures() == ["booked-value", "booked-drawdown", "booked-weights", "booked-fees"]
    assert '<th scope="col">dry run</th>' in found.text


def test_rebalances_without_a_day_of_history_are_shown(marts: Marts, page: Callable[[], Page]) -> None:
    owner = dict(zip(("portfolio_id", "portfolio_name"), marts.portfolio("core"), strict=True))
    marts.write(
        "recent_rebalances",
        {
            **owner,
            "id": owner["portfolio_id"],
            "executed_at": "2019-02-06T10:00Z",
            "run_mode": "live",
            "success": False,
            "orders_executed": 0,
            "total_value_traded": 0,
            "valuation_currency": "EUR",
            "triggered_by": "manual",
            "duration_ms": 5,
            "first_error": "PRICE_STALE: too old",
        },
    )
    found = page()
    assert found.figures() == []
    assert "No day of it has a value yet" in found.text
    assert "PRICE_STALE: too old" in found.text


@pytest.mark.usefixtures("marts")
def test_a_portfolio_without_any_history_has_a_page_that_says_so(page: Callable[[], Page]) -> None:
    assert page().headings == ["Nothing to show yet"]


def test_one_day_is_enough(marts: Marts, page: Callable[[], Page]) -> None:
    tell(marts, booked(days=1))
    found = page()
    assert len(found.figures()) == 7
    assert [dot for dot in found.drawing("booked-value").iter() if dot.get("class") == "own dot"]


def test_bad_input_is_one_line_and_leaves_nothing(cli: Cli, marts: Marts, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    for arguments, code, line in (
        (("nobody", "--out", str(out)), 2, "portfolio: 'nobody' is unknown; there is core"),
        (("core", "--out", str(tmp_path)), 2, f"out: '{tmp_path}' is a folder; name a file in it"),
        (
            ("core", "--out", str(tmp_path / "no" / "report.html")),
            2,
            f"out: '{tmp_path / 'no' / 'report.html'}' lies in a folder that is not there; make it first",
        ),
        (("core",), 2, "Missing option '--out'; see 'rebalancer --help'"),
    ):
        outcome = cli("report", *arguments)
        assert (outcome.code, outcome.out, outcome.err) == (code, "", f"Error: {line}\n")
    assert not out.exists()


def test_before_the_analytics_are_built_nothing_is_written(cli: Cli, done: Callable[..., Any], tmp_path: Path) -> None:
    done("account", "add", "main", "--venue", "paper", "--prices", "recorded", "--deposit", "EUR=10000")
    done("portfolio", "create", "core", "--account", "main", "--weights", "BTC=50,EUR=50")
    outcome = cli("report", "core", "--out", str(tmp_path / "report.html"))
    assert (outcome.code, outcome.err) == (1, "Error: analytics: are not built yet; run 'rebalancer analytics build'\n")
    assert not (tmp_path / "report.html").exists()
