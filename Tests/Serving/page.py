"""The page in headless Chromium against a real server, and against one that asks for a key.

Usage: page.py URL PICTURE URL_WITH_KEY KEY [SCREENSHOTS]
"""

import base64
import pathlib
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

url, picture, keyed, key, *screenshots = sys.argv[1:]
options = webdriver.ChromeOptions()
for argument in [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]:
    options.add_argument(argument)
options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
browser = webdriver.Chrome(options=options)


def find(name):
    return browser.find_element(By.ID, name)


def wait(condition):
    return WebDriverWait(browser, 30).until(lambda _: condition())


class Slow(BaseHTTPRequestHandler):
    """Stands before the server and passes an answer on event by event, so that there is time to look."""

    def pass_on(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) if self.command == "POST" else None
        headers = {"Content-Type": self.headers["Content-Type"]} if body else {}
        with urllib.request.urlopen(urllib.request.Request(url.rstrip("/") + self.path, body, headers)) as answer:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            try:
                for line in answer:
                    self.wfile.write(line)
                    if line == b"\n" and "event-stream" in answer.headers["Content-Type"]:
                        time.sleep(1)
            except OSError:
                pass  # Stopped.

    do_GET = do_POST = pass_on

    def log_message(self, *_):
        pass


def shoot(name):
    if screenshots:
        browser.save_screenshot(str(pathlib.Path(screenshots[0]) / f"serving-{name}.png"))


try:
    browser.set_window_size(1000, 760)
    browser.get(url)
    wait(lambda: "emoji" in find("model").text)
    assert not find("go").is_enabled(), "without a picture there is nothing to write about"

    find("file").send_keys(picture)
    wait(lambda: find("go").is_enabled())
    find("prompt").send_keys(Keys.ENTER)
    wait(lambda: find("text").text == "owl")
    wait(lambda: find("explanation").is_displayed())
    tokens = find("tokens").find_elements(By.TAG_NAME, "button")
    assert [token.text for token in tokens] == ["ow", "l", "end"], [token.text for token in tokens]
    assert "first token after" in find("times").text
    assert "probability" in tokens[0].get_attribute("aria-label")

    # By keyboard: focus shows where the model looked.
    browser.execute_script("arguments[0].focus()", tokens[0])
    wait(lambda: find("heat").is_displayed())
    painted = "return [...arguments[0].getContext('2d').getImageData(0, 0, arguments[0].width, arguments[0].height).data]"
    first = browser.execute_script(painted, find("heat"))
    assert len(first) == 4 * 36 and max(first[3::4]) == 190, first
    browser.switch_to.active_element.send_keys(Keys.TAB)
    assert browser.switch_to.active_element == tokens[1]
    wait(lambda: browser.execute_script(painted, find("heat")) != first)
    assert tokens[1].get_attribute("aria-pressed") == "true"
    shoot("page")

    # By pointer.
    second = browser.execute_script(painted, find("heat"))
    ActionChains(browser).move_to_element(tokens[0]).perform()
    wait(lambda: browser.execute_script(painted, find("heat")) == first != second)

    # Dropped, and pasted: a new picture, and nothing left of the text before.
    give = """
        const bytes = Uint8Array.from(atob(arguments[1]), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], arguments[2], {type: "image/jpeg"}));
        document.dispatchEvent(arguments[0] === "drop" ? new DragEvent("drop", {dataTransfer: data, cancelable: true})
          : new ClipboardEvent("paste", {clipboardData: data}));"""
    data = base64.b64encode(pathlib.Path(picture).read_bytes()).decode()
    for way in ["drop", "paste"]:
        browser.execute_script(give, way, data, f"{way}.jpg")
        wait(lambda: f"{way}.jpg" in find("picture").get_attribute("alt"))
        assert find("text").text == "" and not find("explanation").is_displayed()
        find("go").click()
        wait(lambda: find("text").text == "owl" and find("explanation").is_displayed())

    # What is wrong is said, and the page can be used again.
    find("ask").find_element(By.TAG_NAME, "summary").click()
    field = find("max-tokens")
    browser.execute_script("arguments[0].removeAttribute('min'); arguments[0].value = -1", field)
    find("go").click()
    wait(lambda: "max_tokens" in find("error").text)
    browser.execute_script("arguments[0].value = ''", field)
    find("go").click()
    wait(lambda: find("text").text == "owl" and find("explanation").is_displayed())

    # On a small screen in the dark nothing is wider than the screen.
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]})
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 360, "height": 760, "deviceScaleFactor": 1, "mobile": True})
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    shoot("page-small")

    # Taken: the first press shows what the camera sees, the second takes it.
    find("camera").click()
    wait(lambda: find("viewfinder").is_displayed() and find("camera").is_enabled())
    assert find("camera").text == "Take it" and not find("picture").is_displayed()
    find("camera").click()
    wait(lambda: "from the camera" in find("picture").get_attribute("alt") and find("picture").is_displayed())
    assert not find("viewfinder").is_displayed() and find("camera").text == "Take one"
    find("go").click()
    wait(lambda: find("text").text and find("explanation").is_displayed())

    # Every field has a label.
    unlabelled = "return [...document.querySelectorAll('input')].filter((i) => !i.labels.length && !i.ariaLabel).length"
    assert browser.execute_script(unlabelled) == 0
    # The text grows as it comes, before it is complete.
    slow = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=slow.serve_forever, daemon=True).start()
    browser.get(f"http://127.0.0.1:{slow.server_port}/")
    find("file").send_keys(picture)
    wait(lambda: find("go").is_enabled())
    find("go").click()
    wait(lambda: find("text").text == "ow")
    assert find("stop").is_displayed() and not find("go").is_enabled()
    wait(lambda: find("text").text == "owl")
    wait(lambda: find("explanation").is_displayed())

    # Stop ends it where it is.
    find("go").click()
    wait(lambda: find("text").text == "ow")
    find("stop").click()
    wait(lambda: find("go").is_enabled())
    assert find("text").text == "ow" and find("error").text == "" and not find("explanation").is_displayed()
    assert not find("stop").is_displayed()

    # So does another picture, beside which nothing more of the text comes.
    find("go").click()
    wait(lambda: find("text").text == "ow")
    browser.execute_script(give, "drop", data, "other.jpg")
    wait(lambda: "other.jpg" in find("picture").get_attribute("alt") and not find("stop").is_displayed())
    assert find("text").text == "" and not find("explanation").is_displayed()

    # Where a key is asked for, the page says so, and takes it.
    browser.get(keyed)
    find("file").send_keys(picture)
    wait(lambda: find("go").is_enabled())
    find("go").click()
    wait(lambda: "API key" in find("error").text)
    find("ask").find_element(By.TAG_NAME, "summary").click()
    find("key").send_keys(key)
    find("go").click()
    wait(lambda: find("text").text == "owl" and find("explanation").is_displayed())
    wait(lambda: "emoji" in find("model").text)

    wrong = [line for line in browser.get_log("browser") if line["level"] == "SEVERE" and not any(status in line["message"] for status in ["400", "401"])]
    assert not wrong, wrong
finally:
    browser.quit()
