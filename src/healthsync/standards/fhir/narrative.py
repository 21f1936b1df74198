"""Narratives that are safe to show: the XHTML subset of narrative.html (txt-1, txt-2).

A narrative comes from a stranger and ends in a clinician's browser. Nothing in it may run, and nothing may be fetched:
an image that is loaded from elsewhere tells its owner who looks at which patient. R4 itself leaves it open where an
image comes from; what defines (a profile, a value set) is about no patient, and guides show images of their publisher.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

_XHTML = "{http://www.w3.org/1999/xhtml}"
_XML = "{http://www.w3.org/XML/1998/namespace}"
_ELEMENT_NAMES = (
    "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img "
    "li ol p pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var"
)
_ELEMENTS = frozenset(_ELEMENT_NAMES.split())
_ATTRIBUTE_NAMES = (
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset "
    "cite class colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel "
    "rev rowspan rules scope shape span src start style summary tabindex title type valign value vspace width"
)
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split()) | {f"{_XML}lang", f"{_XML}id", f"{_XML}space"}

_SAFE_LINK = re.compile(r"(?:https?:|ftps?:|mailto:|tel:|urn:|[#/.?]|[\w%-]+(?:[/?#.]|$))", re.IGNORECASE)
# Local (#id), inline, or beside the page that shows it; a scheme or // would ask another host.
_SAFE_IMAGE = re.compile(r"#|data:image/(?:png|jpeg|gif|webp);base64,|(?!//)[\w./%~-]+(?:[?#]|$)", re.IGNORECASE)
_STYLE_URL = re.compile(r"url\s*\(\s*[\"']?([^\"')]*)", re.IGNORECASE)
_ACTIVE_STYLE = re.compile(r"expression\s*\(|@import|javascript:|\\", re.IGNORECASE)


_PUBLISHED_IMAGE = re.compile(r"https?://[^/]", re.IGNORECASE)


def faults(div: str, *, of_definition: bool = False) -> list[str]:
    """What is wrong with the XHTML of a narrative, as sentences; empty when it is safe and has content.

    That of a definition, which no patient has, may show images of other hosts.
    """
    try:
        root = fromstring(_with_characters(div), forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return ["txt-1: a narrative is one well-formed XHTML div"]
    if root.tag != f"{_XHTML}div":
        return ["txt-1: a narrative is one div in the XHTML namespace"]
    found = list(dict.fromkeys(_element_faults(root, of_definition)))
    if not "".join(root.itertext()).strip() and root.find(f".//{_XHTML}img") is None:
        found.append("txt-2: a narrative has content")
    return found


def _element_faults(root: Element, of_definition: bool) -> Iterator[str]:
    for element in root.iter():
        tag = element.tag.removeprefix(_XHTML) if isinstance(element.tag, str) else ""
        if tag not in _ELEMENTS:
            yield "txt-1: an element is not allowed in narratives (no scripts, forms, frames, objects, styles)"
        for name, value in element.attrib.items():
            if name not in _ATTRIBUTES:
                yield "txt-1: an attribute is not allowed in narratives (no event handlers)"
            elif name in {"href", "cite", "longdesc"} and not _SAFE_LINK.match(_squeezed(value)):
                yield "txt-1: a link in a narrative may not run code"
            elif name == "src" and not _is_image(_squeezed(value), of_definition):
                yield "txt-1: an image in a narrative is local or inline, never loaded from another host"
            elif name == "style" and not _is_safe_style(value):
                yield "txt-1: a style in a narrative may not load or run anything"


def _is_image(source: str, of_definition: bool) -> bool:
    return bool(_SAFE_IMAGE.match(source) or (of_definition and _PUBLISHED_IMAGE.match(source)))


def _is_safe_style(style: str) -> bool:
    urls_are_safe = all(_SAFE_IMAGE.match(_squeezed(url)) for url in _STYLE_URL.findall(style))
    return urls_are_safe and not _ACTIVE_STYLE.search(style)


def _squeezed(value: str) -> str:
    """Browsers ignore white space and control characters inside `java script:`."""
    return re.sub(r"[\x00-\x20]", "", value)


def _with_characters(div: str) -> str:
    """XHTML's named entities as characters, since a fragment has no DTD to define them; XML's own five stay."""
    return re.sub(r"&(?!(?:amp|lt|gt|quot|apos);)(\w+;)", lambda entity: html5.get(entity[1], entity[0]), div)
