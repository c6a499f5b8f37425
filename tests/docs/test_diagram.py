"""docs/stack.svg is drawn from docs/stack.dot, which shows the resources of the template."""

import re

import pytest

from local.docs import diagram
from tests.service import ROOT
from tests.template.cloudformation import template
from tests.template.test_names import logical_id, stack

SOURCE = diagram.SOURCE.read_text()


def test_the_picture_is_up_to_date() -> None:
    try:
        drawn = diagram.as_svg()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    assert diagram.TARGET.read_text() == drawn, "make generate"


def test_the_functions_are_all_there() -> None:
    """A function has its name in the picture, or routes lead to it. The operations with routes are one node."""
    labels = re.findall(r'\[class=functions, label="(.*?)"\]', SOURCE)
    drawn = [logical_id(name) for label in labels for name in re.findall(r"\w+", label.replace("\\n", " "))]
    assert "operations [label=" in SOURCE
    assert sorted([*drawn, *{route.function for route in stack().routes}]) == sorted(
        logical_id(folder.name) for folder in (ROOT / "functions").iterdir() if (folder / "app.py").is_file()
    )


def test_the_parts_are_resources_of_the_stack() -> None:
    named = {name for comment in re.findall(r'comment="(.*?)"', SOURCE) for name in comment.split()}
    assert named
    assert named - set(template()["Resources"]) == set()


def test_it_is_readable_on_a_dark_page() -> None:
    assert '<polygon fill="white"' in diagram.TARGET.read_text()
