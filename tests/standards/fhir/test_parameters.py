"""Parameters of operations are read strictly and written in the words of FHIR."""

import pytest

from healthsync.errors import InvalidInput, NotSupported
from healthsync.standards.fhir.parameters import LONGEST, Parameters, answer


def of(*parameters: dict) -> Parameters:
    return Parameters.of_resource({"resourceType": "Parameters", "parameter": list(parameters)})


def test_a_url_and_a_resource_say_the_same():
    url = Parameters.of_query([("code", "x"), ("flag", "true"), ("count", "7"), ("_format", "json")])
    resource = of(
        {"name": "code", "valueCode": "x"}, {"name": "flag", "valueBoolean": True}, {"name": "count", "valueInteger": 7}
    )
    for asked in (url, resource):
        assert (asked.text("code"), asked.flag("flag", False), asked.number("count")) == ("x", True, 7)
        assert asked.only({"code", "flag", "count"}) is asked
        assert (asked.text("none"), asked.flag("none", True), asked.number("none"), asked.object("none")) == (
            None,
            True,
            None,
            None,
        )


def test_parts_and_resources_are_kept():
    asked = of(
        {"name": "r", "resource": {"resourceType": "ValueSet"}}, {"name": "p", "part": [{"name": "a", "valueUri": "u"}]}
    )
    assert asked.object("r") == {"resourceType": "ValueSet"}
    assert asked.all("p")[0].text("a") == "u"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: of({"name": "a", "valueCode": "x"}, {"name": "a", "valueCode": "y"}).text("a"), InvalidInput),
        (lambda: of({"name": "a", "valueInteger": 1}).text("a"), InvalidInput),
        (lambda: Parameters.of_query([("a", "x\0")]).text("a"), InvalidInput),
        (lambda: Parameters.of_query([("a", "x" * (LONGEST + 1))]).text("a"), InvalidInput),
        (lambda: Parameters.of_query([("a", "yes")]).flag("a", False), InvalidInput),
        (lambda: Parameters.of_query([("a", "-1")]).number("a"), InvalidInput),
        (lambda: Parameters.of_query([("a", "1" * 10)]).number("a"), InvalidInput),
        (lambda: Parameters.of_query([("a", "٣")]).number("a"), InvalidInput),
        (lambda: of({"name": "a", "valueBoolean": True}).number("a"), InvalidInput),
        (lambda: Parameters.of_query([("a", "x")]).object("a"), InvalidInput),
        (lambda: Parameters.of_query([("a", "x")]).only({"b"}), NotSupported),
        (lambda: Parameters.of_resource({"resourceType": "ValueSet"}), InvalidInput),
        (lambda: of({"valueCode": "x"}), InvalidInput),
        (lambda: of({"name": "a", "part": [{"valueCode": "x"}]}), InvalidInput),
    ],
)
def test_what_is_no_such_parameter_is_refused(call, error):
    with pytest.raises(error):
        call()


def test_an_answer_leaves_out_what_is_not_known():
    assert answer([("result", "valueBoolean", False), ("message", "valueString", None)]) == {
        "resourceType": "Parameters",
        "parameter": [{"name": "result", "valueBoolean": False}],
    }
