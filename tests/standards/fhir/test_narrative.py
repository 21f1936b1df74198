"""narrative.html txt-1 and txt-2: what a clinician's browser will show may neither run nor fetch."""

from __future__ import annotations

import pytest

from healthsync.standards.fhir import narrative


def div(content: str) -> str:
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>'


@pytest.mark.parametrize(
    "content",
    [
        "<script>alert(1)</script>",
        "<SCRIPT>x</SCRIPT>",
        '<p onclick="x()">a</p>',
        '<img src="x.png" onerror="x()"/>a',
        '<a href="javascript:alert(1)">a</a>',
        '<a href=" java&#10;script:alert(1)">a</a>',
        '<a href="JaVaScRiPt:alert(1)">a</a>',
        '<a href="data:text/html;base64,AAAA">a</a>',
        '<a href="vbscript:x">a</a>',
        '<img src="https://tracker.example/p.gif"/>a',
        '<img src="//tracker.example/p.gif"/>a',
        '<img src="data:image/svg+xml;base64,AAAA"/>a',
        '<p style="background: url(https://tracker.example/p.gif)">a</p>',
        '<p style="width: expression(alert(1))">a</p>',
        '<p style="background: \\75rl(https://tracker.example)">a</p>',
        "<style>p {}</style>a",
        '<link rel="stylesheet" href="x.css"/>a',
        '<iframe src="x"/>a',
        '<form action="x"><input/></form>a',
        '<object data="x"/>a',
        '<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>a',
        '<a xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="javascript:x">a</a>',
    ],
)
def test_what_runs_or_fetches_is_refused(content: str) -> None:
    assert any(fault.startswith("txt-1") for fault in narrative.faults(div(content)))


def test_a_definition_may_show_images_of_its_publisher_and_still_runs_nothing() -> None:
    image = div('<img src="https://hl7.org/fhir/R4/help16.png" alt="help"/>')
    assert narrative.faults(image, of_definition=True) == []
    for hostile in ('<img src="javascript:x()"/>a', '<img src="//tracker.example/p.gif"/>a', "<script>x</script>"):
        assert narrative.faults(div(hostile), of_definition=True), hostile


@pytest.mark.parametrize(
    "text",
    [
        "plain text",
        "<div>no namespace</div>",
        div("<p>not closed"),
        div("a") + div("b"),
        '<p xmlns="http://www.w3.org/1999/xhtml">no div</p>',
        '<!DOCTYPE d [<!ENTITY e "x">]>' + div("&e;"),
        div("&undefined;"),
    ],
)
def test_what_is_not_one_xhtml_div_is_refused(text: str) -> None:
    assert narrative.faults(text)[0].startswith("txt-1")


@pytest.mark.parametrize("content", ["", "  \n ", "<p> </p>"])
def test_a_narrative_without_content_is_refused(content: str) -> None:
    assert narrative.faults(div(content)) == ["txt-2: a narrative has content"]


@pytest.mark.parametrize(
    "content",
    [
        "a&nbsp;b &copy; &lt;c&gt; &#233;",
        '<a href="https://example.org/x">a</a> <a href="#p">b</a> <a href="Patient/1">c</a> <a href="mailto:a@b">d</a>',
        '<a href="ftp://ftp.ihe.net/x">a</a>',
        '<img src="#photo" alt="a"/>',
        '<img src="data:image/png;base64,iVBORw0KGgo=" alt="a"/>',
        '<td style="background-image: url(line.png)">a</td>',
        '<p xml:lang="de" lang="de" class="x" style="color: #fff">a</p>',
        "a" * 1_500_000,
    ],
    ids=lambda content: content[:20],
)
def test_ordinary_narratives_pass(content: str) -> None:
    assert narrative.faults(div(content)) == []
