"""The Stack of a SAM template."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.gateway.stack import Route, Stack
from local.gateway.template import TemplateUnusable, read_stack
from local.gateway.tests.gateway_process import FIXTURES

_MINIMAL = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.13
      Handler: app.handler
      CodeUri: {code}
      Events:
        Get: {{Type: HttpApi, Properties: {{Path: /hello, Method: GET{more}}}}}
"""


@pytest.fixture(scope="module")
def stack() -> Stack:
    """Return the Stack of fixtures/template.yaml with its defaults."""
    return read_stack(FIXTURES / "template.yaml", region="eu-west-1")


def _read(folder: Path, text: str) -> Stack:
    path = folder / "template.yaml"
    path.write_text(text, encoding="utf-8")
    return read_stack(path, region="eu-west-1")


def test_routes(stack: Stack) -> None:
    """Every HttpApi event is a route."""
    routes = {(route.method, route.path): route for route in stack.routes}
    assert routes["POST", "/users"].function == "EchoFunction"
    assert routes["GET", "/users/{id}"].key == "GET /users/{id}"
    assert routes["ANY", "/any/{proxy+}"].timeout == 30
    assert routes["GET", "/impatient"].timeout == 0.3


def test_default_route() -> None:
    """An HttpApi event without path and method is $default."""
    stack = read_stack(FIXTURES / "catch_all.yaml", region="eu-west-1")
    assert stack.routes == (Route("ANY", "$default", "EchoFunction"),)
    assert stack.routes[0].key == "$default"


def test_functions(stack: Stack) -> None:
    """A function has Globals and its own properties, folders of code and layers, and names."""
    function = stack.functions["DescribeFunction"]
    assert function.code_dir == FIXTURES / "functions/probe"
    assert function.layer_dirs == (FIXTURES / "layer",)
    assert (function.handler, function.timeout, function.memory) == ("app.describe", 20, 256)
    assert function.names == ("DescribeFunction", "described")
    assert function.aliases == ("live",)
    assert stack.functions["HangsFunction"].timeout == 1
    assert (stack.functions["OnceFunction"].retries, function.retries) == (0, 2)
    assert stack.functions["UnloadableFunction"].code_dir == FIXTURES / "functions/unloadable"


@pytest.mark.parametrize(("wanted", "layers"), [("no", ()), ("yes", (Path("layer"),))])
def test_a_layer_under_a_condition(tmp_path: Path, wanted: str, layers: tuple[Path, ...]) -> None:
    """Fn::If chooses the layer, and AWS::NoValue is no layer."""
    code, layer = FIXTURES / "functions/probe", FIXTURES / "layer"
    text = f"""{_MINIMAL.format(code=code, more="")}
      Layers: [!If [Wanted, !Ref Extra, !Ref AWS::NoValue]]
  Extra:
    Type: AWS::Serverless::LayerVersion
    Properties: {{ContentUri: {layer}}}
Conditions:
  Wanted: !Equals ["{wanted}", "yes"]
"""
    stack = _read(tmp_path, text)
    assert stack.functions["Hello"].layer_dirs == tuple(FIXTURES / each for each in layers)
    assert stack.warnings == ()


def test_variables(stack: Stack) -> None:
    """Intrinsic functions are resolved. A value that only a deployment has is left out and reported once."""
    variables = stack.functions["DescribeFunction"].variables
    assert variables == {
        "STAGE": "dev",
        "COLOUR": "green",
        "KIND": "development",
        "JOINED": "a-dev-y",
        "SUBSTITUTED": "eu-west-1/dev/w/${literal}",
        "FLAG": "true",
        "NUMBER": "30",
        "OTHER_FUNCTION": "EchoFunction",
        "OTHER_ARN": "arn:aws:lambda:eu-west-1:123456789012:function:EchoFunction",
        "MG_PROBE": "template",
        "OWN": "one",
    }
    unset = sorted(stack.unresolved)
    assert unset == ["API", "DATABASE", "FROM_STORE"]


def test_parameters_and_conditions() -> None:
    """Parameters change values, and decide which resources exist."""
    stack = read_stack(FIXTURES / "template.yaml", region="eu-west-1", parameters={"Stage": "prod", "Stored": "v"})
    variables = stack.functions["ProductionFunction"].variables
    assert (variables["COLOUR"], variables["KIND"], variables["FROM_STORE"]) == ("red", "production", "v")
    assert "/production" in {route.path for route in stack.routes}


def test_false_conditions(stack: Stack) -> None:
    """Functions and routes whose condition does not hold do not exist."""
    assert "ProductionFunction" not in stack.functions
    assert "/production" not in {route.path for route in stack.routes}


def test_schedules(stack: Stack) -> None:
    """Rates become schedules, except disabled ones. Other expressions become warnings."""
    schedules = {schedule.name: schedule for schedule in stack.schedules}
    minutely, hourly = schedules["DescribeFunctionMinutely"], schedules["DescribeFunctionHourly"]
    assert (minutely.function, minutely.period, minutely.payload) == (
        "DescribeFunction",
        300,
        '{"from": "schedule"}',
    )
    assert (hourly.period, hourly.payload, hourly.source) == (3600, None, "aws.events")
    assert len(schedules) == 2
    assert any("cron(0 3 * * ? *)" in warning for warning in stack.warnings)


def test_cors() -> None:
    """The CorsConfiguration of the API."""
    cors = read_stack(FIXTURES / "catch_all.yaml", region="eu-west-1").cors
    assert cors is not None
    assert (cors.allow_origins, cors.max_age) == (("https://app.example.com",), 600)


def test_a_function_added_is_served(tmp_path: Path) -> None:
    """It needs an entry in the template, and nothing else."""
    (tmp_path / "hello").mkdir()
    stack = _read(tmp_path, _MINIMAL.format(code="./hello/", more=""))
    assert stack.routes == (Route("GET", "/hello", "Hello"),)
    assert stack.functions["Hello"].code_dir == tmp_path / "hello"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Resources: [", "template.yaml"),
        ("Description: nothing", "no Resources"),
        (_MINIMAL.format(code="missing", more=""), "there is no folder"),
        (_MINIMAL.format(code="s3://bucket/key", more=""), "must be a local folder"),
        (_MINIMAL.format(code=".", more="").replace("python3.13", "nodejs22.x"), "only Python"),
        (_MINIMAL.format(code=".", more=", Nonsense: 1").replace("CodeUri", "CodeUrl"), "CodeUrl"),
        (_MINIMAL.format(code=".", more=", PayloadFormatVersion: '1.0'"), "payload format 2.0"),
        (_MINIMAL.format(code=".", more="").replace("Path: /hello", "Path: /hello/"), "must not end in a slash"),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path: Path, text: str, expected: str) -> None:
    """The text of TemplateUnusable names the problem."""
    with pytest.raises(TemplateUnusable, match=expected):
        _read(tmp_path, text)


def test_an_authorizer_is_not_ignored(tmp_path: Path) -> None:
    """A route that API Gateway would protect is not served unprotected."""
    authorizer = """
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      Auth:
        DefaultAuthorizer: Jwt
        Authorizers:
          Jwt:
            IdentitySource: $request.header.Authorization
            JwtConfiguration: {issuer: 'https://issuer.example.com', audience: [me]}
"""
    with pytest.raises(TemplateUnusable, match="authorizers cannot"):
        _read(tmp_path, _MINIMAL.format(code=".", more=", ApiId: !Ref Api") + authorizer)


def test_settings_need_their_route(tmp_path: Path) -> None:
    """CloudFormation cannot make a stage with settings of a route that the API does not have."""
    api = """
  Api:
    Type: AWS::Serverless::HttpApi
    Properties:
      RouteSettings:
        GET /hello: {ThrottlingRateLimit: 1}
"""
    text = _MINIMAL.format(code=".", more=", ApiId: !Ref Api") + api
    assert _read(tmp_path, text).routes[0].key == "GET /hello"
    with pytest.raises(TemplateUnusable, match="RouteSettings of POST /hello: the API has no such route"):
        _read(tmp_path, text.replace("GET /hello:", "POST /hello:"))


def test_no_template(tmp_path: Path) -> None:
    """A missing file is named."""
    with pytest.raises(TemplateUnusable, match="nowhere"):
        read_stack(tmp_path / "nowhere.yaml", region="eu-west-1")


def test_unknown_parameter() -> None:
    """A misspelt parameter is refused."""
    with pytest.raises(TemplateUnusable, match="Stagee"):
        read_stack(FIXTURES / "template.yaml", region="eu-west-1", parameters={"Stagee": "prod"})
