"""The pages for people: log in, log out, and the step between. They load nothing and run no script."""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import urlencode

from starlette.responses import HTMLResponse

from rebalancer_pipelines.adapters.ui_guard.access_token import TOKEN_VARIABLE
from rebalancer_pipelines.adapters.ui_guard.request_rules import LOGIN, LOGOUT

_HERE = Path(__file__).parent
_PAGE = Template((_HERE / "page.html").read_text(encoding="utf-8"))
_STYLE = (_HERE / "page.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; form-action 'self'; base-uri 'none'"

_LOGIN = """{notice}<form method="post" action="{action}">
<input type="hidden" name="next" value="{next}">
<input type="text" name="username" value="rebalancer" autocomplete="username" hidden>
<label for="token">Access token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Log in</button>
</form>
<p class="hint">The token lies in the file <code>ui_token</code> of the data folder, unless
<code>{variable}</code> names another.</p>"""

_LOGOUT = """<form method="post" action="{action}"><button autofocus>Log out</button></form>
<p class="hint">Or go <a href="/">back to the UI</a>.</p>"""


def login_page(following: str, *, status: int = 200, notice: str = "") -> HTMLResponse:
    """Asks for the token; afterwards the browser goes to the path `following`."""
    said = f'<p class="notice" role="alert">{escape(notice)}</p>\n' if notice else ""
    form = _LOGIN.format(notice=said, action=LOGIN, next=escape(following), variable=TOKEN_VARIABLE)
    return _page("Log in", form, status=status)


def logout_page() -> HTMLResponse:
    """Asks whether to log out: a link on another page must not do it."""
    return _page("Log out?", _LOGOUT.format(action=LOGOUT))


def way_to_login(wanted: str) -> HTMLResponse:
    """Leads to the login, and from there to the path `wanted`; says 401 to programs.

    A page rather than a redirect: somebody who follows a link from another site is logged in, but his browser shows
    the session only to what our own pages lead to.
    """
    link = escape(f"{LOGIN}?{urlencode({'next': wanted})}")
    head = f'<meta http-equiv="refresh" content="0; url={link}">\n'
    return _page("Log in first", f'<p class="hint">Go to the <a href="{link}">login</a>.</p>', status=401, head=head)


def _page(title: str, content: str, *, status: int = 200, head: str = "") -> HTMLResponse:
    text = _PAGE.substitute(title=title, content=content, style=_STYLE, head=head)
    return HTMLResponse(text, status, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"})
