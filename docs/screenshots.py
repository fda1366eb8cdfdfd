"""Makes the pictures of the report that the README shows, with the Chromium that is on the PATH.

    python -m docs.screenshots [--portfolio demo-balanced] [--data-dir DIR]

It needs what `make up` has left: the demo, with its year of the recorded market. It works beside it and alone.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from rebalancer_pipelines.adapters.report.page import report_page
from rebalancer_pipelines.application.portfolio_report import read_report
from rebalancer_pipelines.cli.output import errors, say
from rebalancer_pipelines.cli.session import open_session
from rebalancer_pipelines.domain.errors import RebalancerError
from rebalancer_pipelines.domain.history_basis import HistoryBasis

HERE = Path(__file__).parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_SECONDS = 90

# In a frame: a browser's own window cannot be as narrow as a phone.
_FRAME = """<!doctype html><meta name="color-scheme" content="light dark">
<style>html{{overflow:hidden}}body{{margin:0;zoom:{zoom}}}iframe{{border:0;display:block}}</style>
<iframe src="report.html" width="{width}" height="{height}"></iframe>"""


@dataclass(frozen=True)
class Shot:
    """One picture: its file, the size of the screen in CSS pixels, how much larger it is drawn, light or dark."""

    file: str
    width: int
    height: int
    zoom: float
    dark: bool

    def take(self, browser: str, folder: Path) -> None:
        """Take the picture of `report.html` in the folder. Raises `CalledProcessError` when the browser fails."""
        frame = folder / "frame.html"
        frame.write_text(_FRAME.format(width=self.width, height=self.height, zoom=self.zoom), encoding="utf-8")
        target = folder / self.file
        subprocess.run(
            [
                browser,
                "--headless=new",
                *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
                f"--blink-settings=preferredColorScheme={0 if self.dark else 1}",
                f"--user-data-dir={folder / 'browser'}",
                f"--window-size={round(self.width * self.zoom)},{round(self.height * self.zoom)}",
                f"--screenshot={target}",
                frame.as_uri(),
            ],
            check=True,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
        shutil.copyfile(target, HERE / self.file)


SHOTS = (
    Shot("report.png", width=1280, height=1480, zoom=1.0, dark=False),
    Shot("report-phone.png", width=390, height=1440, zoom=1.5, dark=True),
)


def main(arguments: list[str]) -> int:
    """Take all pictures; 0 when it is done, 1 with one line of why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--portfolio", default="demo-balanced")
    parser.add_argument("--data-dir", type=Path)
    chosen = parser.parse_args(arguments)
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        return _fail(f"no browser on the PATH: install Chromium (looked for {', '.join(BROWSERS)})")
    try:
        with open_session(chosen.data_dir) as session:
            report = read_report(session.ports, chosen.portfolio)
    except RebalancerError as error:
        return _fail(str(error))
    # A demo that was started today has little that happened, and a whole year that was rehearsed.
    shown = [history for history in report.histories if history.basis is HistoryBasis.REHEARSED and history.days]
    if not shown:
        return _fail(f"{chosen.portfolio} has no rehearsed history; start the demo with 'make up' first")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "report.html").write_text(report_page(replace(report, histories=shown)), encoding="utf-8")
        try:
            for shot in SHOTS:
                shot.take(browser, folder)
                say(f"Wrote {HERE / shot.file}")
        except (subprocess.SubprocessError, OSError) as error:
            return _fail(f"{browser} took no picture: {type(error).__name__}")
    return 0


def _fail(line: str) -> int:
    errors.print(f"Error: {line}", markup=False)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
