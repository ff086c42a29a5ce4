"""What keeps a file's own bytes: an element that would not be written back as it was read carries its message, the `origin`.

Beside it stands what the element was `encoded` to when it was read. On export the origin is the start, and only that is overwritten in which
the element encodes to something else by then.
"""

from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError, Message

from graphir.plugins import FormatError

# How the entries of a list of messages are told apart; lists of others are compared place by place.
_KEYS = {
    "AttributeProto": "name",
    "ValueInfoProto": "name",
    "StringStringEntryProto": "key",
    "OperatorSetIdProto": "domain",
}
_ORDERED = ("input", "output")


def keep(carried: dict[str, Any], message: Message, encoded: Message, always: bool = False) -> dict[str, Any] | None:
    """`carried`, with the message as its origin where what graphs say of it encodes to other bytes. None where nothing is left to carry."""
    if always or message.SerializeToString() != encoded.SerializeToString():
        carried["origin"], carried["encoded"] = message.SerializeToString(), encoded.SerializeToString()
    return carried or None


def restore(message: Any, carried: Mapping[str, Any] | None, now: Message) -> None:
    """Fill an empty message with what graphs say now, laid over the origin if there is one."""
    if carried and "origin" in carried:
        message.CopyFrom(parsed(type(now), carried["origin"]))
        overwrite(message, parsed(type(now), carried["encoded"]), now)
    else:
        message.CopyFrom(now)


def parsed(kind: type[Message], data: bytes, where: str = "") -> Any:
    """A message that is carried. Raises FormatError where the bytes are none."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise FormatError(f"{where}the origin that is carried is no {kind.DESCRIPTOR.name}") from None


def overwrite(message: Any, before: Any, after: Any) -> None:
    """Change in `message` those fields in which `after` differs from `before`."""
    if before.SerializeToString() == after.SerializeToString():
        return
    for field in {f.number: f for m in (before, after) for f, _ in m.ListFields()}.values():
        name = field.name
        repeated = hasattr(getattr(message, name), "extend")
        if field.type != field.TYPE_MESSAGE:
            _overwrite_scalar(message, before, after, name, repeated)
        elif repeated:
            _overwrite_list(getattr(message, name), getattr(before, name), getattr(after, name), name)
        elif not after.HasField(name):
            message.ClearField(name)
        elif not before.HasField(name):
            getattr(message, name).CopyFrom(getattr(after, name))
        else:
            overwrite(getattr(message, name), getattr(before, name), getattr(after, name))


def _overwrite_scalar(message: Any, before: Any, after: Any, name: str, repeated: bool) -> None:
    # repr tells -0.0 from 0.0, and takes one NaN for another: graphs do not keep their payloads in attributes.
    if repeated:
        if repr(getattr(before, name)) != repr(getattr(after, name)):
            message.ClearField(name)
            getattr(message, name).extend(getattr(after, name))
    elif not after.HasField(name):
        message.ClearField(name)
    elif not before.HasField(name) or repr(getattr(before, name)) != repr(getattr(after, name)):
        setattr(message, name, getattr(after, name))


def _overwrite_list(messages: Any, before: Any, after: Any, name: str) -> None:
    """The same for a list of messages. An entry keeps what graphs do not know of it through any change, through a change of name too."""
    key = _KEYS.get(before[0].DESCRIPTOR.name if before else after[0].DESCRIPTOR.name)
    if key is None:
        if len(messages) == len(before) == len(after):
            for m, b, a in zip(messages, before, after):
                overwrite(m, b, a)
        else:
            del messages[:]
            messages.extend(after)
        return
    pairs = _aligned(messages, before, key)
    new = {getattr(a, key): a for a in after}
    known = {getattr(b, key): (m, b) for m, b in pairs if b is not None}
    gone = [k for k in known if k not in new]
    fresh = [k for k in new if k not in known]
    renamed = dict(zip(fresh, gone)) if len(fresh) == len(gone) and key == "name" and name != "attribute" else {}
    entries = {}
    for k, a in new.items():
        source = known.get(renamed.get(k, k))
        if source is None:
            entries[k] = a
        else:
            overwrite(source[0], source[1], a)
            entries[k] = source[0]
    if name in _ORDERED:
        result = list(entries.values())
    else:
        old_to_new = {k: k for k in known if k in new} | {old: k for k, old in renamed.items()}
        kept = {getattr(b, key): i for i, (_, b) in enumerate(pairs) if b is not None}
        at = {i: entries[old_to_new[k]] for k, i in kept.items() if k in old_to_new}
        result = [m if b is None else at[i] for i, (m, b) in enumerate(pairs) if b is None or i in at]
        result += [entries[k] for k in fresh if k not in renamed]
    del messages[:]
    messages.extend(result)


def _aligned(messages: Any, before: Any, key: str) -> list[tuple[Any, Any]]:
    """Each message with what graphs said of it, None where they said nothing."""
    keys = [getattr(m, key) for m in messages]
    if len(messages) == len(before) and (key == "domain" or keys == [getattr(b, key) for b in before]):  # domains have two spellings
        return list(zip(messages, before))
    left = {getattr(b, key): b for b in before}
    return [(m, left.pop(k, None)) for m, k in zip(messages, keys)]
