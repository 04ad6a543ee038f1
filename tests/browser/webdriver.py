"""A browser without a window, driven by the W3C's WebDriver protocol, which is JSON over HTTP.

Source: https://www.w3.org/TR/webdriver2/, sections 8 to 17. Waiting is always for a condition.
"""

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_SECONDS = 120
"""How long a page may take to show something; only a test that fails waits this long."""

_DEEP = """
function deep(selector, root = document) {
  const found = [...root.querySelectorAll(selector)];
  for (const element of root.querySelectorAll('*')) {
    const inner = element.shadowRoot ?? element.contentDocument;
    if (inner) found.push(...deep(selector, inner));
  }
  return found;
}
function shown(selector) { return deep(selector).filter(element => element.getClientRects().length); }
"""


def wait(what, attempt):
    """Return the first result of ``attempt`` that is true.

    Raises:
        TimeoutError: There was none; ``what`` was waited for.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := attempt()):
        if time.monotonic() > until:
            raise TimeoutError(f"waited {PATIENCE_SECONDS} s for {what}.")
        time.sleep(0.2)
    return found


def programs():
    """Return the paths of the browser and its driver, None where one of them is not there."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window."""

    def __init__(self, url):
        self._url = url

    def open(self, url):
        """Load a page, also where it differs from the one before in its fragment alone."""
        self._post("url", {"url": "about:blank"})
        self._post("url", {"url": url})

    def run(self, script, *arguments):
        """Return what the JavaScript function body ``script`` returns, or what it promises.

        It can use ``deep(selector)``, all elements that match, in shadow trees and frames too, and
        ``shown(selector)``, those of them that have a place on the page.
        """
        return self._post("execute/sync", {"script": _DEEP + script, "args": arguments})

    def wait(self, what, script, *arguments):
        """Return the first value of ``script`` that is true; see ``wait``."""
        return wait(what, lambda: self.run(script, *arguments))

    def click(self, selector, text=None):
        """Click on the first element shown that matches and, if given, whose trimmed text is ``text``."""
        script = """
        const found = shown(arguments[0]).find(one => !arguments[1] || one.innerText.trim() == arguments[1]);
        if (found) found.click();
        return Boolean(found);
        """
        self.wait(f"{selector} {text or ''}", script, selector, text)

    def screenshot(self, path):
        """Keep what the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self._call("GET", "screenshot")))

    def _post(self, what, values):
        return self._call("POST", what, values)

    def _call(self, method, what, values=None):
        return _request(f"{self._url}/{what}", method, values)


@contextmanager
def chromium(folder, width=1500, height=850):
    """Give a browser whose files are in the new ``folder``; both its processes end with the context."""
    browser, driver = programs()
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        f"--user-data-dir={folder}",
        f"--window-size={width},{height}",
    ]
    options = {"binary": browser, "args": flags}
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True) as process:
        try:
            port = next(line.split()[-1].rstrip(".") for line in process.stdout if "successfully on port" in line)
            sessions = f"http://localhost:{port}/session"
            wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
            url = f"{sessions}/{_request(sessions, 'POST', wanted)['sessionId']}"
            try:
                yield Browser(url)
            finally:
                _request(url, "DELETE")
        finally:
            process.terminate()


def _request(url, method, values=None):
    data = None if values is None else json.dumps(values).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=2 * PATIENCE_SECONDS) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.load(error)["value"]["message"]) from None
