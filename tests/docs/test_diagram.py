"""docs/stack.svg is drawn from docs/stack.dot, which shows the resources of the template."""

import re

import pytest

from local.docs import diagram
from tests.template.cloudformation import template
from tests.template.test_names import INTERNAL

SOURCE = diagram.SOURCE.read_text()


def test_the_picture_is_up_to_date() -> None:
    try:
        drawn = diagram.as_svg()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    assert diagram.TARGET.read_text() == drawn, "make generate"


def test_the_functions_without_a_route_are_all_there() -> None:
    """The operations are one node, because openapi.yaml lists them."""
    labels = re.findall(r'\[class=functions, label="(.*?)"\]', SOURCE)
    assert sorted(name for label in labels for name in re.findall(r"\w+", label.replace("\\n", " "))) == sorted(
        INTERNAL
    )
    assert "operations [label=" in SOURCE


def test_the_parts_are_resources_of_the_stack() -> None:
    named = {name for comment in re.findall(r'comment="(.*?)"', SOURCE) for name in comment.split()}
    assert named
    assert named - set(template()["Resources"]) == set()


def test_it_is_readable_on_a_dark_page() -> None:
    assert '<polygon fill="white"' in diagram.TARGET.read_text()
