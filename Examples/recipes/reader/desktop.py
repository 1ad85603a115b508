"""A GTK program's window as a picture, and where its words lie: run by `screens` with the system's Python under Xvfb.

    /usr/bin/python3 desktop.py FILE PICTURE

Opens FILE in mousepad, asks it for its words' boxes over AT-SPI, and writes PICTURE and, on standard output, JSON.
"""

import json
import re
import subprocess
import sys
import time

import gi

gi.require_version("Atspi", "2.0")
gi.require_version("Gdk", "3.0")
from gi.repository import Atspi, Gdk  # noqa: E402

PATIENCE = 40  # seconds
LONGEST = 6000  # characters that can be on one screen


def find(node, role: str):
    if node is None or node.get_role_name() == role:
        return node
    children = (find(node.get_child_at_index(place), role) for place in range(node.get_child_count()))
    return next((child for child in children if child), None)


def edges(box) -> list[int]:
    return [box.x, box.y, box.x + box.width, box.y + box.height]


def is_inside(inner: list[int], outer: list[int]) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def words(view) -> list[dict]:
    screen = Atspi.CoordType.SCREEN
    visible = edges(view.get_component_iface().get_extents(screen))
    text = view.get_text_iface()
    found = []
    for match in re.finditer(r"\S+", Atspi.Text.get_text(text, 0, min(LONGEST, Atspi.Text.get_character_count(text)))):
        box = edges(Atspi.Text.get_range_extents(text, match.start(), match.end(), screen))
        if box[1] > visible[3]:
            break
        # A word over the end of a line has the box of both lines.
        first = edges(Atspi.Text.get_range_extents(text, match.start(), match.start() + 1, screen))
        if box[3] - box[1] == first[3] - first[1] and is_inside(box, visible):
            found.append({"text": match.group(), "box": box})
    return found


def main() -> None:
    file, picture = sys.argv[1:]
    program = subprocess.Popen(["mousepad", "--disable-server", file])
    view, ends = None, time.monotonic() + PATIENCE
    while not view and time.monotonic() < ends:
        time.sleep(0.5)
        view = find(Atspi.get_desktop(0), "text")
    if not view:
        sys.exit("mousepad showed no text")
    time.sleep(2)  # until all is drawn
    found = words(view)
    root = Gdk.get_default_root_window()
    Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height()).savev(picture, "png", [], [])
    program.kill()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
