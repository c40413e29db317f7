"""Arrow files that anyone may have made: those of `datasets` need no memory, others may."""

from __future__ import annotations

import struct
from pathlib import Path


def require_plain(path: Path) -> None:
    """Refuse a stream that is compressed: all of it would be unpacked at once.

    Raises:
        OSError: It cannot be read.
        ValueError: It is compressed or has dictionaries, or is damaged.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            for message in pa.ipc.MessageReader.open_stream(file):
                packed = message.type == "record batch" and _is_packed(memoryview(message.metadata))
                if packed or message.type == "dictionary":
                    raise ValueError(
                        f"{path.name} is compressed or has dictionaries: save it plain"
                    )
    except (pa.ArrowException, struct.error) as error:
        raise ValueError(str(error)) from error


def _is_packed(metadata: memoryview) -> bool:
    """Whether the batch of a message is compressed, which `pyarrow` does not tell.

    The message is a table of FlatBuffers: its field 2 is the batch, whose field 3 says how.
    """
    (message,) = struct.unpack_from("<I", metadata)
    header = message + _field(metadata, message, 2)
    batch = header + struct.unpack_from("<I", metadata, header)[0]
    return _field(metadata, batch, 3) != 0


def _field(metadata: memoryview, table: int, number: int) -> int:
    """Where a field is, from where its table begins; 0 if the table lacks it."""
    fields = table - struct.unpack_from("<i", metadata, table)[0]
    (size,) = struct.unpack_from("<H", metadata, fields)
    place = 4 + 2 * number
    found: int = struct.unpack_from("<H", metadata, fields + place)[0] if place < size else 0
    return found
