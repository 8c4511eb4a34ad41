"""A headless Chromium, driven through the WebDriver protocol of chromedriver."""

import json
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager
from pathlib import Path

MISSING = None
for program in ("chromium", "chromedriver"):
    if not shutil.which(program):
        MISSING = f"{program} is not installed (Debian: chromium, chromium-driver)"
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy is set
KEYS = {"enter": "\ue007", "tab": "\ue004", "space": " "}


class Browser:
    """One window."""

    def __init__(self, address: str, profile: Path):
        self._address = address
        wanted = {
            "goog:chromeOptions": {"args": [*OPTIONS, f"--user-data-dir={profile}"]},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = self._ask("/session", {"capabilities": {"alwaysMatch": wanted}})
        self._address += f"/session/{session['sessionId']}"

    def open(self, page: Path) -> None:
        self._ask("/url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: object) -> object:
        """What a function body of JavaScript returns."""
        return self._ask("/execute/sync", {"script": script, "args": arguments})

    def press(self, *keys: str) -> None:
        """Press keys one after the other, on whatever has the focus."""
        actions = [
            {"type": move, "value": KEYS[key]} for key in keys for move in ("keyDown", "keyUp")
        ]
        self._ask("/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def resize(self, width: int, height: int = 800) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)

    def command(self, name: str, **parameters: object) -> dict:
        """A command of Chromium's own protocol."""
        return self._ask("/goog/cdp/execute", {"cmd": name, "params": parameters})

    def complaints(self) -> list[str]:
        """What the console was told since it was last asked."""
        return [each["message"] for each in self._ask("/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """The addresses that were asked for since then."""
        messages = [
            json.loads(each["message"])["message"]
            for each in self._ask("/se/log", {"type": "performance"})
        ]
        sent = [each for each in messages if each["method"] == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in sent]

    def close(self) -> None:
        self._ask("", None, "DELETE")

    def _ask(self, path: str, content: dict | None, method: str = "POST") -> object:
        data = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self._address + path, data, method=method)
        with DIRECT.open(request, timeout=120) as answer:
            return json.load(answer)["value"]


@contextmanager
def browser(folder: Path):
    """A browser with a profile of its own in a folder."""
    with subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as driver:
        try:
            said = next(line for line in driver.stdout if "successfully on port" in line)
            port = said.rstrip(".\n").split()[-1]
            window = Browser(f"http://127.0.0.1:{port}", folder / "profile")
            try:
                yield window
            finally:
                window.close()
        finally:
            driver.terminate()
