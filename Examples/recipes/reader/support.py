"""What the recipe's scripts share: failures, Python libraries and Debian packages in a folder, and samples in shards."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

PILLOW = "pillow==13.0.0"


class Failure(Exception):
    """A sentence for the user: what went wrong and what to do."""


def run(command: list[str], folder: Path, advice: str, **more) -> str:
    """What the command writes to standard output."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, **more)
    except FileNotFoundError:
        raise Failure(f"{command[0]} was not found: {advice}") from None
    if result.returncode != 0:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise Failure(f"{' '.join(command[:3])} failed ({said[-1] if said else 'no message'}): {advice}")
    return result.stdout


def install_libraries(folder: Path, packages: list[str]) -> None:
    """For this process alone."""
    if not folder.is_dir():
        partial = folder.with_name(folder.name + ".partial")
        run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:",
             "--target", str(partial), *packages], folder.parent,
            "check the network, and that Python 3.11 has pip (on Debian: apt-get install python3-pip)")
        partial.rename(folder)
    sys.path.insert(0, str(folder))


def fetch_packages(work: Path, names: list[str]) -> dict[str, str]:
    """Downloads Debian packages and unpacks each in a folder of its name in work/root; returns the versions."""
    archives = work / "archives"
    archives.mkdir()
    (work / "root").mkdir()
    run(["apt-get", "download", "--quiet", *names], archives,
        "this recipe takes words and fonts from Debian's packages; on Debian 12, run `sudo apt-get update` and "
        "check the network and the free disk space (1 GB)")
    versions = {}
    for archive in sorted(archives.iterdir()):
        name, version, _ = archive.name.split("_")
        versions[name] = version.replace("%3a", ":")
        run(["dpkg-deb", "-x", str(archive), str(work / "root" / name)], work, "check the free disk space (1 GB)")
        archive.unlink()
    return versions


def add_sample(archive: tarfile.TarFile, name: str, ending: str, picture: bytes, record: dict) -> None:
    """A picture and, behind it, what is known of it."""
    for suffix, data in ((ending, picture), (".json", json.dumps(record, ensure_ascii=False).encode())):
        entry = tarfile.TarInfo(name + suffix)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
