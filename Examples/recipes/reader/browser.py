"""Chromium without a window, spoken to over its debugging pipe: a page as a picture, and where its words lie."""

import base64
import json
import os
import subprocess
from pathlib import Path

from support import Failure

WIDTH, HEIGHT = 1280, 900

# Each word by the box of its own range, where it is on the page's first screen, in one piece and not covered.
WORDS = r"""
document.fonts.ready.then(() => {
  const words = [], taken = [];
  const add = box => taken.push([box.left, box.top, box.right, box.bottom]);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const parent = node.parentElement, style = getComputedStyle(parent);
    for (const match of node.data.matchAll(/\S+/g)) {
      const range = document.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      const boxes = [...range.getClientRects()], box = boxes[0];
      boxes.forEach(add);
      if (boxes.length != 1 || box.left < 0 || box.top < 0 || box.right > innerWidth || box.bottom > innerHeight) continue;
      if (document.elementFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2) !== parent) continue;
      words.push({text: match[0], box: taken[taken.length - 1], font: style.fontFamily.replaceAll('"', ''),
                  size: parseFloat(style.fontSize)});
    }
  }
  document.querySelectorAll('input').forEach(input => add(input.getBoundingClientRect()));
  return JSON.stringify({words, taken});
})
"""


class Browser:
    def __init__(self, work: Path, environment: dict[str, str]):
        self.page = work / "page.html"
        self.count = 0
        self.pending = b""
        (commands, self.commands), (self.answers, answers) = os.pipe(), os.pipe()
        sandbox = "--no-sandbox" if os.geteuid() == 0 else "--disable-gpu"
        options = f"--headless --disable-gpu {sandbox} --hide-scrollbars --remote-debugging-pipe"
        try:
            self.process = subprocess.Popen(
                ["bash", "-c", f'exec chromium {options} --user-data-dir="$0" about:blank 3<&{commands} 4>&{answers}',
                 str(work / "profile")],
                pass_fds=(commands, answers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        finally:
            os.close(commands)
            os.close(answers)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    session = None

    def call(self, method: str, **parameters) -> dict:
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        try:
            os.write(self.commands, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise Failure("chromium ended at once: see what `chromium --headless about:blank` says") from None
        while (answer := self.receive()).get("id") != self.count:
            pass
        if "error" in answer:
            raise Failure(f"chromium refused {method} ({answer['error']['message']}): use Debian 12's chromium")
        return answer["result"]

    def receive(self) -> dict:
        while b"\0" not in self.pending:
            data = os.read(self.answers, 1 << 20)
            if not data:
                raise Failure("chromium ended: see what `chromium --headless about:blank` says")
            self.pending += data
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def show(self, html: str, scale: float) -> tuple[bytes, list[dict], list[list[float]]]:
        """The page's first screen as a PNG, its words, and the boxes of all text; in pixels of the picture."""
        self.page.write_text(html, encoding="utf-8")
        self.call("Emulation.setDeviceMetricsOverride", width=WIDTH, height=HEIGHT, deviceScaleFactor=scale, mobile=False)
        self.call("Page.navigate", url=self.page.as_uri())
        loaded = "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))"
        self.call("Runtime.evaluate", expression=loaded, awaitPromise=True)
        found = self.call("Runtime.evaluate", expression=WORDS, awaitPromise=True, returnByValue=True)
        page = json.loads(found["result"]["value"])
        picture = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        for word in page["words"]:
            word["box"] = [scale * edge for edge in word["box"]]
            word["size"] *= scale
        return picture, page["words"], [[scale * edge for edge in box] for box in page["taken"]]
