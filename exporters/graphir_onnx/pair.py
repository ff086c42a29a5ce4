"""A model and the file of its data, which change as one: at no moment does the model on the disk name data that is not there, whole.

One rename moves one name. So where both files are there already, the data is written twice: under a spare name, NAME.onnx.data-XXXXXXXX, then the model
that names it takes its place, and from there on the new pair holds; then the data under its own name, the model that names that, and the spare goes.
A process that is killed leaves the old pair, or the new one with its data in the spare file. The next save to the same name removes what is left.
"""

import os
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from graphir.atomic import alone_in, remove_left, sync_folder, write_atomically
from graphir.tensors import Tensor

from .external import Entries, Folder, Layout, write_where_it_was
from .lowest import Note

Place = Callable[[Tensor], Mapping[str, str] | None]
Encode = Callable[[Place], bytes]  # the bytes of a model whose tensors lie where a Place says


def write_with_data(path: Path, encode: Encode, layout: Layout, note: Note) -> None:
    """Write a model, and beside it the file of its data, if there is any.

    Raises OSError and FormatError, and then the old files are there; once the new ones hold, that the data has another name is no more than a note.
    """
    folder = Folder(path)
    beside = folder.destination(Entries((layout.name,), 0, 0, None))
    with alone_in(folder.path) if layout else nullcontext():
        remove_left(beside)
        if layout and path.exists() and beside.exists() and not layout.is_in(beside):
            _over_a_pair(path, beside, encode, layout, note)
            return
        model = encode(layout.entries)
        if layout:
            layout.write(beside)
        write_atomically(path, lambda file: file.write(model))
        _remove_spares(beside)


def write_with_data_where_it_was(path: Path, model: bytes, tensors: Mapping[str, Tensor]) -> None:
    """Write a model whose data lies in files of other names, and those that are not there. tensors: those with such data, by name."""
    folder = Folder(path)
    with alone_in(folder.path) if tensors else nullcontext():
        write_where_it_was(tensors.items(), folder, path.name)
        write_atomically(path, lambda file: file.write(model))
        _remove_spares(folder.path / data_name(path), {t.carried["external"]["location"] for t in tensors.values()})


def data_name(path: Path) -> str:
    """The name of the file of a model's data."""
    return f"{path.name}.data"


def _over_a_pair(path: Path, beside: Path, encode: Encode, layout: Layout, note: Note) -> None:
    spare = beside.with_name(f"{beside.name}-{secrets.token_hex(4)}")
    model = encode(layout.named(spare.name).entries)
    try:
        _write_spare(spare, layout)
        write_atomically(path, lambda file: file.write(model))
    except BaseException:
        if _reads(path) != model:  # an interrupt may come right behind the rename
            spare.unlink(missing_ok=True)
        raise
    try:
        layout.write(beside)
        write_atomically(path, lambda file: file.write(encode(layout.entries)))
    except OSError as e:
        note(f"its data is in {spare.name}: {beside.name} could not be written ({e.strerror or e})")
        _remove_spares(beside, {spare.name})
    else:
        _remove_spares(beside)


def _write_spare(path: Path, layout: Layout) -> None:
    """Write the data to a new file, which nobody reads before a model names it."""
    try:
        with path.open("xb") as file:
            file.writelines(layout.chunks())
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as e:
        e.filename = str(path)
        raise


def _reads(path: Path) -> Any:
    with suppress(OSError):
        return path.read_bytes()
    return None


def _remove_spares(beside: Path, named: Collection[str] = ()) -> None:
    """Remove the spare files of processes that were killed, but for those that the model names."""
    spare = re.compile(re.escape(beside.name) + "-[0-9a-f]{8}")
    with suppress(OSError):
        for left in [p for p in beside.parent.iterdir() if spare.fullmatch(p.name) and p.name not in named]:
            with suppress(OSError):
                left.unlink()
