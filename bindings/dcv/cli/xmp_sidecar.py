# SPDX-License-Identifier: GPL-3.0-or-later
"""darktable's XMP sidecars: history steps found by a parser and edited as bytes, so that all else in the file stays as it was.

A sidecar lists the history as ``darktable:history/rdf:Seq/rdf:li`` with attributes; steps from number ``history_end`` on are undone ones.
``iop_order_list``, where present, is the order in which the modules run: operation, instance, operation, instance, ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from .xmp_params import OPERATION, VERSION, XmpError, decode, encode

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
DARKTABLE = "http://darktable.sf.net/"
OLDEST_XMP, NEWEST_XMP = 4, 5  # versions of the sidecar; before 4 (darktable 3.0) the order of modules was written in another way
ORDER_RAW, ORDER_JPEG = 2, 3  # darktable's built-in orders "v3.0 raw" and "v3.0 jpeg"
HASHES = ("history_basic_hash", "history_auto_hash", "history_current_hash")

ATTRIBUTE = re.compile(rb"""\s+([^\s=]+)\s*=\s*("[^"]*"|'[^']*')""")

EMPTY = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="{rdf}">
  <rdf:Description rdf:about=""
    xmlns:darktable="{darktable}">
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

# Without blending parameters: darktable then takes its defaults, whatever its version.
STEP = """
     <{rdf}:li
      {darktable}:num="{num}"
      {darktable}:operation="{operation}"
      {darktable}:enabled="1"
      {darktable}:modversion="{version}"
      {darktable}:params="{params}"
      {darktable}:multi_name=""
      {darktable}:multi_priority="0"/>"""

HISTORY = """
   <{darktable}:history>
    <{rdf}:Seq>{step}
    </{rdf}:Seq>
   </{darktable}:history>"""


@dataclass
class Element:
    """An XML element: names as (namespace, local name), `start` to `end` its bytes, up to `head` its start tag."""

    name: tuple[str, str]
    prefixes: dict[str, str]
    attributes: dict[tuple[str, str], str]
    start: int
    head: int
    end: int = 0
    children: list[Element] = field(default_factory=list)

    def own(self, name: str) -> str | None:
        """Value of an attribute in darktable's namespace."""
        return self.attributes.get((DARKTABLE, name))

    def child(self, namespace: str, name: str) -> Element | None:
        """The first child of this name."""
        return next((child for child in self.children if child.name == (namespace, name)), None)

    def prefix(self, namespace: str) -> str | None:
        """A prefix that stands for a namespace here."""
        return next((prefix for prefix, uri in self.prefixes.items() if uri == namespace and prefix), None)


@dataclass
class Step:
    """One step of the history."""

    element: Element
    num: int
    operation: str
    instance: int

    @property
    def enabled(self) -> bool:
        return self.element.own("enabled") != "0"

    def params(self) -> bytes:
        """The parameters' bytes; XmpError when damaged or of a version that this program does not know."""
        version = self.element.own("modversion") or ""
        if version not in map(str, range(1, VERSION + 1)):
            raise XmpError(f"parameters of version {version}; known are versions up to {VERSION}")
        return decode(self.element.own("params") or "")


class Sidecar:
    """A sidecar's bytes and where its history is in them.

    Raises
    ------
    XmpError
        No XML, no XMP, or written in another way than darktable's.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        root = _parse(data)
        rdf = root if root.name == (RDF, "RDF") else root.child(RDF, "RDF")
        descriptions = [child for child in rdf.children if child.name == (RDF, "Description")] if rdf else []
        if not descriptions:
            raise XmpError("not an XMP sidecar: it has no rdf:Description")
        with_history = [part for part in descriptions if part.child(DARKTABLE, "history")]
        if len(with_history) > 1:
            raise XmpError("two histories in one sidecar")
        self.description = with_history[0] if with_history else descriptions[0]
        self.history = self.description.child(DARKTABLE, "history")
        for name in ("history_end", "iop_order_list", "iop_order_version", "xmp_version"):
            holders = [part for part in descriptions if part.own(name) is not None or part.child(DARKTABLE, name)]
            if any(part is not self.description or part.own(name) is None for part in holders):
                raise XmpError(f"{name} is not written as darktable writes it")
        sequence = self.history.child(RDF, "Seq") if self.history else None
        self.sequence = sequence
        self.steps = [_step(item) for item in sequence.children] if sequence else []
        end = self.description.own("history_end")
        self.end = len(self.steps) if end is None else min(_whole("history_end", end), len(self.steps))

    @classmethod
    def empty(cls) -> Sidecar:
        """A new one, without history."""
        return cls(EMPTY.format(rdf=RDF, darktable=DARKTABLE).encode())

    def step(self) -> Step | None:
        """The module's step that counts: its last that is not undone."""
        active = [step for step in self.steps if step.operation == OPERATION and step.num < self.end]
        return max(active, key=lambda step: step.num) if active else None

    def order(self) -> list[tuple[str, int]] | None:
        """Modules, as (operation, instance), in the order in which they run; None where the file names a built-in order."""
        text = self.description.own("iop_order_list")
        if text is None:
            return None
        parts = text.split(",")
        if len(parts) % 2:
            raise XmpError("the order of modules is damaged")
        return [(operation, _whole("iop_order_list", instance)) for operation, instance in zip(parts[::2], parts[1::2], strict=True)]

    def with_params(self, params: bytes, order: int = ORDER_RAW) -> bytes:
        """The file with the module switched on.

        The step that counts is replaced, and keeps its blending, name and instance; without one, a step is added behind those that count, and
        undone steps move up by one. A list of modules without the module gets it after colorin. Hashes of the history go: darktable makes
        them anew.

        Parameters
        ----------
        params : bytes
            The module's parameters.
        order : int
            Built-in order of modules, for a file that darktable has not written in yet.
        """
        if self.steps:
            version = self.description.own("xmp_version") or ""
            if _whole("xmp_version", version) < OLDEST_XMP:
                raise XmpError(f"a sidecar of version {version}: open the picture once in darktable 3.0 or newer")
        edits: list[tuple[int, int, bytes]] = []
        step = self.step()
        values: dict[str, str | None] = dict.fromkeys(HASHES)
        if step:
            edits += self._attributes(step.element, {"enabled": "1", "modversion": str(VERSION), "params": encode(params)})
        else:
            edits += self._add(params)
            if not self.steps:
                # the user's automatic presets first, as on a picture never opened, unless the file says that they have been applied
                for name, value in {"xmp_version": NEWEST_XMP, "auto_presets_applied": 0, "iop_order_version": order}.items():
                    if self.description.own(name) is None:
                        values[name] = str(value)
            if not self.steps or self.description.own("history_end") is not None:
                values["history_end"] = str(self.end + 1)
        place = (OPERATION, step.instance if step else 0)
        modules = self.order()
        if modules is not None and place not in modules:
            behind = [i for i, (operation, _) in enumerate(modules) if operation == "colorin"]
            if not behind:
                raise XmpError("the order of modules is damaged: it has no colorin")
            modules.insert(behind[-1] + 1, place)
            values["iop_order_list"] = ",".join(f"{operation},{instance}" for operation, instance in modules)
        edits += self._attributes(self.description, values)
        data = self.data
        for start, end, new in sorted(edits, reverse=True):
            data = data[:start] + new + data[end:]
        return data

    def _add(self, params: bytes) -> list[tuple[int, int, bytes]]:
        """A new step with the number `end`."""
        names = {"rdf": self.description.prefix(RDF) or "rdf", "darktable": self.description.prefix(DARKTABLE) or "darktable"}
        text = STEP.format(**names, num=self.end, operation=OPERATION, version=VERSION, params=encode(params))
        edits = []
        for step in self.steps:
            if step.num >= self.end:
                edits += self._attributes(step.element, {"num": str(step.num + 1)})
        masks = self.description.child(DARKTABLE, "masks_history")
        for item in [item for sequence in (masks.children if masks else []) for item in sequence.children]:
            num = item.own("mask_num")
            if num is not None and _whole("mask_num", num) >= self.end:
                edits += self._attributes(item, {"mask_num": str(int(num) + 1)})
        if self.steps and self.sequence:
            before = [step.element for step in self.steps if step.num < self.end]
            where = before[-1].end if before else self.sequence.head
            return [*edits, (where, where, text.encode())]
        history = HISTORY.format(**names, step=text).encode()
        if self.history:
            return [*edits, (self.history.start, self.history.end, history.lstrip())]
        whole = self.description
        if whole.head == whole.end:  # <rdf:Description .../>: the last two bytes of the tag make room
            tag = self.data[whole.start + 1 :].split(maxsplit=1)[0]
            return [*edits, (whole.end - 2, whole.end, b">" + history + b"\n  </" + tag + b">")]
        return [*edits, (whole.head, whole.head, history)]

    def _attributes(self, element: Element, values: dict[str, str | None]) -> list[tuple[int, int, bytes]]:
        """Edits that set attributes in darktable's namespace, or remove those with None."""
        edits = []
        missing = {name: value for name, value in values.items() if element.own(name) is None and value is not None}
        name_end = re.compile(rb"<[^\s/>]+").match(self.data, element.start)
        assert name_end is not None
        last = name_end.end()
        while found := ATTRIBUTE.match(self.data, last):
            last = found.end()
            name = _resolve(found[1].decode(), element.prefixes, attribute=True)
            if name[0] != DARKTABLE or name[1] not in values:
                continue
            value = values[name[1]]
            edits.append((*found.span(), b"") if value is None else (found.start(2) + 1, found.end(2) - 1, value.encode()))
        added = ""
        prefix = element.prefix(DARKTABLE)
        if missing and not prefix:
            prefix = "darktable"
            added = f'\n    xmlns:darktable="{DARKTABLE}"'
        added += "".join(f'\n   {prefix}:{name}="{value}"' for name, value in missing.items())
        return [*edits, (last, last, added.encode())] if added else edits


def _step(item: Element) -> Step:
    operation, num = item.own("operation"), item.own("num")
    if item.name != (RDF, "li") or operation is None or num is None:
        raise XmpError("the history is not written as darktable writes it")
    return Step(item, _whole("num", num), operation, _whole("multi_priority", item.own("multi_priority") or "0"))


def _whole(name: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise XmpError(f"{name} is {text!r} in place of a number")
    return int(text)


# ---- XML -----------------------------------------------------------------------------------------------------------------------------


def _resolve(name: str, prefixes: dict[str, str], *, attribute: bool) -> tuple[str, str]:
    """(namespace, local name); a name without prefix has the default namespace, but an attribute's has none."""
    prefix, colon, local = name.rpartition(":")
    if not colon:
        return ("" if attribute else prefixes.get("", ""), name)
    return prefixes.get(prefix, ""), local


def _parse(data: bytes) -> Element:
    """The root element, with all elements' places in the bytes."""
    try:
        data.decode()
    except UnicodeDecodeError:
        raise XmpError("not an XMP sidecar in UTF-8") from None
    parser = expat.ParserCreate("UTF-8")
    parser.buffer_text = True
    stack: list[Element] = []
    roots: list[Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        prefixes = dict(stack[-1].prefixes) if stack else {}
        prefixes |= {key[6:]: value for key, value in attributes.items() if key.startswith("xmlns:") or key == "xmlns"}
        position = parser.CurrentByteIndex
        head = _tag_end(data, position)
        named = {_resolve(key, prefixes, attribute=True): value for key, value in attributes.items()}
        element = Element(_resolve(name, prefixes, attribute=False), prefixes, named, position, head)
        (stack[-1].children if stack else roots).append(element)
        stack.append(element)

    def end(_name: str) -> None:
        element = stack.pop()
        empty = data[element.head - 2 : element.head] == b"/>"
        element.end = element.head if empty else data.index(b">", parser.CurrentByteIndex) + 1

    def refuse(*_: Any) -> None:
        raise XmpError("not an XMP sidecar: it has a document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise XmpError(f"not an XMP sidecar: {error}") from None
    return roots[0]


def _tag_end(data: bytes, start: int) -> int:
    """Where the start tag that begins at `start` ends; > may stand in values."""
    found = re.compile(rb"""<(?:"[^"]*"|'[^']*'|[^"'>])*>""").match(data, start)
    if not found:
        raise XmpError("not an XMP sidecar")
    return found.end()
