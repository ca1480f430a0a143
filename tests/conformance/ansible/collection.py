"""Extracts only the collection kubernetes.core from the large package `ansible` into the folder of the first argument."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PREFIX = "ansible_collections/kubernetes/core/"
PACKAGE = Path(__file__).parent / "collection.txt"

with tempfile.TemporaryDirectory() as folder:
    pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, "--require-hashes", "-r", PACKAGE, "-d", folder], check=True)
    (wheel,) = Path(folder).glob("*.whl")
    with zipfile.ZipFile(wheel) as package:
        package.extractall(sys.argv[1], [name for name in package.namelist() if name.startswith(PREFIX)])
