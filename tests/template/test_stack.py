"""The stack is small enough, has least privilege, no secret in a variable, and an alarm for every function."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from local.gateway.template import translated
from tests.imports import imports
from tests.template.cloudformation import (
    GIVEN,
    REGION,
    ROOT,
    dumped,
    intrinsics,
    made,
    parameters,
    references,
    resources,
    statements,
    takes,
    template,
)
from users.settings import Settings

FUNCTIONS = sorted(resources("AWS::Lambda::Function"))
OPERATIONS = [name.removesuffix("Function") for name in FUNCTIONS]
INTERNAL = {"Bootstrap", "CheckVersion", "DeliverOutbox", "SweepAccounts", "ReportTelemetry", "RecordMailFeedback"}
# CloudFormation and CodeDeploy call the newest code of the other functions.
SHIFTED = set(OPERATIONS) - {"Bootstrap", "CheckVersion"}
HASHING = {"RegisterUser", "IssueToken", "UpdateUserSecret", "ResetPassword", "Bootstrap"}
SECRETS = {
    "MG_USERS_DB_PASS",
    "MG_USERS_DB_OWNER_PASS",
    "MG_USERS_SECRET_KEY",
    "MG_USERS_ADMIN_PASSWORD",
    "MG_USERS_ORIGIN_SECRET",
    "MG_SPICEDB_PRE_SHARED_KEY",
    "MG_EMAIL_PASSWORD",
    "MG_AUTH_GRPC_CLIENT_KEY",
    "MG_DOMAINS_GRPC_CLIENT_KEY",
}
# EC2 and X-Ray accept no narrower resource for these actions (service authorization reference).
TAKES_NO_RESOURCE = {
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
}


def function(operation: str) -> dict[str, Any]:
    properties: dict[str, Any] = template()["Resources"][f"{operation}Function"]["Properties"]
    return properties


def role_of(operation: str) -> str:
    """Return the logical id of the function's role, which operations with the same needs share."""
    attribute = function(operation)["Role"]["Fn::GetAtt"]
    name, wanted = attribute.split(".") if isinstance(attribute, str) else attribute
    assert wanted == "Arn"
    return str(name)


def documents_of(role: str) -> dict[str, Any]:
    """Return the documents of all policies of a role by their names, also those of some deployments only."""
    properties = template()["Resources"][role]["Properties"]
    inline = {policy["PolicyName"]: policy["PolicyDocument"] for policy in properties.get("Policies", [])}
    attached = set(references(properties.get("ManagedPolicyArns", []))) - {"AWS::NoValue"}
    return inline | {name: template()["Resources"][name]["Properties"]["PolicyDocument"] for name in attached}


def variables(operation: str) -> dict[str, Any]:
    found: dict[str, Any] = function(operation)["Environment"]["Variables"]
    return found


# ---------------------------------------------------------------------------------------------------- the whole


def test_it_stays_below_cloudformations_limits() -> None:
    assert len(template()["Resources"]) < 450  # of 500
    assert len(template()["Parameters"]) <= 200
    assert len(template()["Outputs"]) <= 200
    assert len(dumped(template())) < 1_000_000


def test_every_condition_and_every_parameter_is_used() -> None:
    text = dumped(template())
    assert [name for name in template()["Conditions"] if f'"{name}"' not in text.replace(f'"{name}":', "", 1)] == []


def test_nothing_names_what_is_not_there_when_it_is_made() -> None:
    """In the deployments that differ most, no resource refers to a resource that its conditions leave out."""
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf"
    for given in (
        {},
        {"VpcId": "vpc-1", "SubnetIds": "subnet-1,subnet-2", "Egress": "none", "DbHost": "db", "DbPassSecretArn": arn},
        {"DbHost": "db", "DbOwner": "owner", "DbOwnerPassSecretArn": arn},
        {"NatPerZone": "true"},
        {"Egress": "endpoints", "DbProxy": "true", "EsUrl": "nats://nats:4222", "EmailHost": "mail"},
        {
            "CloudFront": "true",
            "DomainName": "users.example.com",
            "CertificateArn": "a",
            "CloudFrontCertificateArn": "b",
        },
        {
            "VpcId": "vpc-1",
            "SubnetIds": "subnet-1",
            "RouteTableIds": "rtb-1",
            "DbSecurityGroupId": "sg",
            "DbHost": "db",
        },
    ):
        there, known = made(**given), intrinsics(**given)
        for name in there:
            kept = _chosen(template()["Resources"][name]["Properties"], known)
            missing = {each for each in references(kept) if each in template()["Resources"]} - there
            assert not missing, f"{name} names {missing} with {given}"


def _chosen(value: Any, known: Any) -> Any:
    """Return the value with every Fn::If replaced by its branch."""
    if isinstance(value, dict):
        if set(value) == {"Fn::If"}:
            condition, then, otherwise = value["Fn::If"]
            return _chosen(then if known.condition(condition) else otherwise, known)
        return {key: _chosen(member, known) for key, member in value.items()}
    return [_chosen(member, known) for member in value] if isinstance(value, list) else value


def test_nothing_goes_round_in_a_circle() -> None:
    """CloudFormation refuses circular dependencies, and cfn-lint finds them in the transformed template only."""
    graph = {
        name: ({*references(resource.get("Properties", {})), *_list(resource.get("DependsOn", []))})
        & template()["Resources"].keys()
        for name, resource in template()["Resources"].items()
    }
    while leaves := [name for name, needs in graph.items() if not needs & graph.keys()]:
        for name in leaves:
            del graph[name]
    assert graph == {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize(
    ("given", "absent"),
    [
        ({}, {"Distribution", "WebAcl", "DatabaseProxy", "ApiDomain", "SecretsManagerEndpoint", "DatabaseStandby"}),
        ({"DbHost": "db"}, {"Database", "DatabaseWriter", "DatabaseSecurityGroup", "DatabaseProxy"}),
        ({"VpcId": "vpc-1"}, {"Vpc", "NatGateway", "PrivateSubnetA", "S3Endpoint"}),
        ({"EmailHost": "mail"}, {"EmailIdentity", "ConfigurationSet", "MailFeedback", "BounceRateAlarm"}),
        ({"EmailHost": "mail"}, {name for name in template()["Resources"] if name.startswith("RecordMailFeedback")}),
        ({"EsUrl": "nats://a:1"}, {"EventBus"}),
    ],
)
def test_what_is_off_is_not_made(given: dict[str, str], absent: set[str]) -> None:
    assert absent <= template()["Resources"].keys()
    assert not absent & made(**given)


def test_the_way_of_the_bootstraps_answer_is_always_there() -> None:
    assert "S3Endpoint" in made() & made(Egress="endpoints") & made(Egress="none")
    assert "S3Endpoint" in made(VpcId="vpc-1", RouteTableIds="rtb-1")
    assert "S3Endpoint" not in made(VpcId="vpc-1", RouteTableIds="none")  # the VPC has one


@pytest.mark.parametrize(("given", "zones"), [({}, {0}), ({"NatPerZone": "true"}, {0, 1})])
def test_a_zone_has_a_way_out(given: dict[str, str], zones: set[int]) -> None:
    """With NatPerZone the gateway is in the same zone, so that the loss of the other zone changes nothing."""
    known, there = intrinsics(**given), made(**given)
    kept = {name: _chosen(template()["Resources"][name]["Properties"], known) for name in there}
    tables = {
        each["SubnetId"]["Ref"]: each["RouteTableId"]["Ref"]
        for each in kept.values()
        if "SubnetId" in each and "RouteTableId" in each
    }
    gateways = {
        each["RouteTableId"]["Ref"]: each["NatGatewayId"]["Ref"] for each in kept.values() if "NatGatewayId" in each
    }
    ways = {
        subnet: kept[gateways[tables[subnet]]]["SubnetId"]["Ref"] for subnet in ("PrivateSubnetA", "PrivateSubnetB")
    }
    assert {_zone(kept[subnet]) for subnet in ways.values()} == zones
    assert given == {} or all(_zone(kept[private]) == _zone(kept[public]) for private, public in ways.items())
    assert {tables[subnet] for subnet in ways.values()} == {"PublicRoutes"}
    assert {each["Ref"] for each in kept["S3Endpoint"]["RouteTableIds"]} == {tables[subnet] for subnet in ways}


def _zone(subnet: dict[str, Any]) -> int:
    return int(subnet["AvailabilityZone"]["Fn::Select"][0])


def test_bootstrap_waits_for_every_way_out() -> None:
    """The stack deletes bootstrap, which answers CloudFormation a last time, before any of them."""
    waited: set[str] = set()
    further = {"Bootstrap"}
    while further := further - waited:
        waited |= further
        needed = [template()["Resources"][name] for name in further]
        names = {name for each in needed for name in (*references(each.get("Properties", {})), *_depends_on(each))}
        further = names & template()["Resources"].keys()
    ways = {
        *resources("AWS::EC2::Route"),
        *resources("AWS::EC2::SubnetRouteTableAssociation"),
        *resources("AWS::EC2::SecurityGroupIngress"),
        *resources("AWS::RDS::DBProxyTargetGroup"),
        "DatabaseWriter",
        "S3Endpoint",
        "SecretsManagerEndpoint",
    }
    assert ways - waited == set()


def _depends_on(resource: dict[str, Any]) -> list[str]:
    return _list(resource.get("DependsOn", []))


ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:users/x-AbCdEf"


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({}, ""),
        ({"VpcId": "vpc-1", "SubnetIds": "subnet-1,subnet-2", "Egress": "none"}, ""),
        ({"DbHost": "db", "DbPassSecretArn": ARN, "DbSecurityGroupId": "sg-1"}, ""),
        ({"VpcId": "vpc-1", "SubnetIds": "subnet-1", "Egress": "endpoints", "RouteTableIds": "rtb-1"}, ""),
        ({"VpcId": "vpc-1", "SubnetIds": "subnet-1", "Egress": "endpoints"}, "needs RouteTableIds"),
        ({"VpcId": "vpc-1", "SubnetIds": "subnet-1"}, "Egress=nat is for the VPC that is made"),
        ({"AWS::Region": "il-central-1"}, "DbSslRootCert is needed"),
        ({"AWS::Region": "il-central-1", "DbProxy": "true"}, ""),
        ({"AWS::Region": "il-central-1", "DbSslRootCert": "/opt/python/certificates/il.pem"}, ""),
        ({"VpcId": "vpc-1"}, "VpcId needs SubnetIds"),
        ({"SubnetIds": "subnet-1,subnet-2"}, "need VpcId"),
        ({"RouteTableIds": "rtb-1"}, "need VpcId"),
        ({"Egress": "none"}, "Egress=none needs VpcId"),
        ({"Egress": "endpoints", "NatPerZone": "true"}, "NatPerZone needs Egress=nat"),
        ({"VpcId": "vpc-1", "SubnetIds": "s", "Egress": "none", "VpcFlowLogs": "true"}, "VpcFlowLogs is for the VPC"),
        ({"VpcFlowLogs": "true"}, ""),
        ({"DbHost": "db"}, "DbHost needs DbPassSecretArn"),
        ({"DbHost": "db", "DbOwner": "owner", "DbOwnerPassSecretArn": ARN}, ""),
        ({"DbHost": "db", "DbOwner": "owner", "DbOwnerPassSecretArn": ARN, "DbPassSecretArn": ARN}, ""),
        ({"DbHost": "db", "DbOwner": "owner", "DbPassSecretArn": ARN}, "DbOwner needs DbOwnerPassSecretArn"),
        ({"DbHost": "db", "DbOwner": "magistrala", "DbOwnerPassSecretArn": ARN}, "another role than DbUser"),
        ({"DbOwner": "owner", "DbOwnerPassSecretArn": ARN}, "are for DbHost"),
        ({"DbPassSecretArn": ARN}, "are for DbHost"),
        ({"DbHost": "db", "DbPassSecretArn": ARN, "DbProxy": "true"}, "not for DbHost"),
        ({"DbSecurityGroupId": "sg-1"}, "needs DbHost"),
        ({"AuthGrpcServerCaCerts": "/opt/ca.pem"}, "AuthGrpcServerCaCerts needs AuthJwksUrl with https"),
        ({"AuthGrpcServerCaCerts": "/opt/ca.pem", "AuthJwksUrl": "https://auth.internal:9001/keys"}, ""),
        ({"AuthGrpcServerCaCerts": "/opt/ca.pem", "AuthKeysAlgorithm": "HS512"}, ""),
        ({"DomainName": "users.example.com"}, "needs CertificateArn"),
        ({"CloudFront": "true"}, "CloudFront needs DomainName"),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(given: dict[str, str], refusal: str) -> None:
    refused = refusals(**given)
    assert bool(refused) == bool(refusal)
    assert any(refusal in text for text in refused) or not refusal


def refusals(**given: str) -> list[str]:
    """Return the messages of the template's rules against a deployment with these parameters."""
    known = intrinsics(**given)
    return [
        assertion["AssertDescription"]
        for rule in template()["Rules"].values()
        if known.resolve(rule["RuleCondition"])
        for assertion in rule["Assertions"]
        if not known.resolve(assertion["Assert"])
    ]


def test_the_regions_that_need_no_authorities_are_those_of_the_layer() -> None:
    (assertion,) = template()["Rules"]["RegionHasAuthorities"]["Assertions"]
    files = {path.stem for path in ROOT.glob("layers/common/python/users/certificates/*.pem")}
    assert set(assertion["Assert"]["Fn::Contains"][0]) == files - {"rds-proxy"}


@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("", True),
        ("https://auth.example.com/keys", True),
        ("http://auth:9001/keys/.well-known/jwks.json", True),
        ("http://auth.internal:9001/keys", True),
        ("http://auth.prod.corp/keys", True),
        ("http://10.1.2.3:9001/keys", True),
        ("http://172.31.0.9/keys", True),
        ("http://100.127.0.1/keys", True),
        ("http://[fd12:3456::1]:9001/keys", True),
        ("http://auth.example.com/keys", False),
        ("http://8.8.8.8/keys", False),
        ("http://172.32.0.9/keys", False),
        ("http://134744072/keys", False),
        ("http://10.1.2.3.example.com/keys", False),
        ("http://auth.internal@example.com/keys", False),
        ("http://auth:9001@example.com/keys", False),
        ("http://[2001:db8::1]/keys", False),
        ("HTTP://auth/keys", False),
        ("ftp://auth/keys", False),
    ],
)
def test_keys_by_http_come_from_what_looks_private(url: str, taken: bool) -> None:
    """S67. Bootstrap checks the addresses of the name."""
    pattern = template()["Parameters"]["AuthJwksUrl"]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, url)) == taken


@pytest.mark.parametrize(
    ("arn", "taken"),
    [
        ("", True),
        (ARN, True),
        (f"{ARN}:password", True),
        ("arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds!cluster-1-AbCdEf:password", True),
        (ARN.removesuffix("-AbCdEf"), False),  # Secrets Manager accepts it, but no policy would match it
        ("users/x", False),
        ("p4ssw0rd", False),
    ],
)
def test_a_secret_is_told_by_its_whole_arn(arn: str, taken: bool) -> None:
    for name, about in template()["Parameters"].items():
        if name.endswith("SecretArn"):
            assert bool(re.fullmatch(about["AllowedPattern"], arn)) == taken


# ---------------------------------------------------------------------------------------------------- functions


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_function_writes_its_log_group_and_no_other(operation: str) -> None:
    """The API operations share one group, and a function without a route has its own."""
    group = f"{operation}LogGroup" if operation in INTERNAL else "OperationsLogGroup"
    assert function(operation)["LoggingConfig"] == {"LogGroup": {"Ref": group}}
    assert template()["Resources"][group]["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    written = [
        _list(statement["Resource"])
        for document in documents_of(role_of(operation)).values()
        for statement in statements(document)
        if any(action.startswith("logs:") for action in _list(statement["Action"]))
    ]
    assert written in ([[{"Fn::GetAtt": [group, "Arn"]}]], [[{"Fn::GetAtt": f"{group}.Arn"}]])


def test_operations_share_a_role_where_they_may_do_the_same_and_only_there() -> None:
    """The tests of secrets and of the delivery check that no operation may do more than its code needs."""
    api = set(OPERATIONS) - INTERNAL
    assert {operation: role_of(operation) for operation in INTERNAL} == {each: f"{each}Role" for each in INTERNAL}
    assert not {role_of(operation) for operation in api} & {f"{each}Role" for each in INTERNAL}
    rights = {role: dumped(documents_of(role)) for role in {role_of(operation) for operation in api}}
    assert len(set(rights.values())) == len(rights), "two roles have the same rights"
    assert all("Policies" not in template()["Resources"][role]["Properties"] for role in rights)


def test_every_role_of_lambda_is_used() -> None:
    of_lambda = {
        name
        for name, role in resources("AWS::IAM::Role").items()
        if "lambda.amazonaws.com" in dumped(role["Properties"]["AssumeRolePolicyDocument"])
    }
    assert of_lambda == {role_of(operation) for operation in OPERATIONS}


# A failure of the hook fails its deployment, so it needs no alarm.
@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - {"CheckVersion"}))
def test_a_function_is_watched(operation: str) -> None:
    alarm = template()["Resources"]["FailuresAlarm"]["Properties"]
    expression, *others = map(intrinsics().choose, alarm["Metrics"])
    metrics = {each["Id"]: each["MetricStat"]["Metric"] for each in others}
    assert expression["Expression"] == "SUM(METRICS())"
    if operation in INTERNAL:  # a failure raises
        dimension = {"Name": "FunctionName", "Value": {"Ref": f"{operation}Function"}}
        of_the_function = [
            (metric["Namespace"], metric["MetricName"])
            for metric in metrics.values()
            if dimension in metric.get("Dimensions", [])
        ]
        assert of_the_function == [("AWS/Lambda", "Errors")]
    else:  # it answers 500, or API Gateway does if it raises, exceeds its time or may not be called
        counter = template()["Resources"]["InternalErrorsFilter"]["Properties"]
        assert counter["LogGroupName"] == {"Ref": "AccessLogGroup"}
        # API Gateway answers 500 to a throttled call as well. That is no defect, and ThrottlesAlarm counts it.
        assert counter["FilterPattern"] == '{ ($.status = "500") && ($.integration_status != "429") }'
        (stage,) = resources("AWS::ApiGatewayV2::Stage").values()
        log_format = json.loads(stage["Properties"]["AccessLogSettings"]["Format"])
        assert log_format["status"] == "$context.status"
        assert log_format["integration_status"] == "$context.integrationStatus"
        (counted,) = counter["MetricTransformations"]
        watched = metrics["answered"]
        assert (watched["Namespace"], watched["MetricName"]) == (counted["MetricNamespace"], counted["MetricName"])
        assert "AWS::StackName" in dumped(watched["Namespace"])
    assert all(each["MetricStat"]["Period"] == 60 and each["MetricStat"]["Stat"] == "Sum" for each in others)
    assert alarm["Threshold"] == 0
    assert alarm["AlarmActions"] == [{"Ref": "AlarmTopic"}]
    assert function(operation)["TracingConfig"] == {"Mode": "Active"}


@pytest.mark.parametrize("operation", sorted(SHIFTED))
def test_a_new_version_takes_over_slowly_and_is_rolled_back_by_the_alarm(operation: str) -> None:
    """A failure of any function causes the rollback, because a function without traffic has no failures of its own."""
    (alias,) = (
        alias
        for alias in resources("AWS::Lambda::Alias").values()
        if alias["Properties"]["FunctionName"] == {"Ref": f"{operation}Function"}
    )
    group = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"]
    deployment = template()["Resources"][group]["Properties"]
    alarms = {"Enabled": True, "Alarms": [{"Name": {"Ref": "FailuresAlarm"}}]}
    assert intrinsics().choose(deployment["AlarmConfiguration"]) == alarms
    assert "DEPLOYMENT_STOP_ON_ALARM" in deployment["AutoRollbackConfiguration"]["Events"]
    assert "Canary10Percent5Minutes" in dumped(deployment["DeploymentConfigName"])


@pytest.mark.parametrize("operation", sorted(SHIFTED))
def test_all_at_once_passes_an_alarm_that_is_on(operation: str) -> None:
    """Otherwise a repaired version could not be deployed while the broken version fails."""
    group = template()["Resources"][f"{operation}FunctionDeploymentGroup"]["Properties"]
    chosen = intrinsics(DeploymentType="AllAtOnce").choose(group["AlarmConfiguration"])
    assert chosen == {}


def test_no_canary_waits_for_another() -> None:
    """A late failure would find shifted aliases, and CodeDeploy does not shift them back while the alarm is on."""
    stack = template()["Resources"]
    waits_for = {
        name: {*references(resource), *_list(resource.get("DependsOn", []))} & stack.keys()
        for name, resource in stack.items()
    }
    order = list(TopologicalSorter(waits_for).static_order())  # what a resource waits for comes before it
    shifted = {f"{operation}FunctionAliaslive" for operation in SHIFTED}
    behind: dict[str, set[str]] = {}
    for name in order:
        behind[name] = set().union(*({each} | behind[each] for each in waits_for[name]))
    assert {alias: behind[alias] & shifted for alias in shifted if behind[alias] & shifted} == {}


@pytest.mark.parametrize("given", [{}, {"DeploymentType": "AllAtOnce"}])
def test_a_new_version_is_invoked_before_it_gets_traffic(given: dict[str, str]) -> None:
    stack = translated(ROOT / "template.yaml", region=REGION, parameters=given)["Resources"]
    aliases = [each for each in stack.values() if each["Type"] == "AWS::Lambda::Alias"]
    hooks = {
        alias["Properties"]["FunctionName"]["Ref"].removesuffix("Function"): alias["UpdatePolicy"][
            "CodeDeployLambdaAliasUpdate"
        ]["BeforeAllowTrafficHook"]
        for alias in aliases
        if "UpdatePolicy" in alias
    }
    assert hooks == {operation: {"Ref": "CheckVersionFunction"} for operation in SHIFTED}


def test_the_hook_has_a_name_that_codedeploy_may_call() -> None:
    """AWSCodeDeployRoleForLambda, which SAM gives to CodeDeploy, allows no other name.

    A stack's name has 49 characters.
    """
    role = template()["Resources"]["CodeDeployServiceRole"]["Properties"]
    assert "AWSCodeDeployRoleForLambda" in dumped(role["ManagedPolicyArns"])
    name = function("CheckVersion")["FunctionName"]["Fn::Sub"]
    assert name == "CodeDeployHook_${AWS::StackName}"
    assert len(name.replace("${AWS::StackName}", "x" * 49)) <= 64


KINDS = {
    **dict.fromkeys(set(OPERATIONS) - INTERNAL, "operation"),
    **dict.fromkeys(INTERNAL, "background"),
    **dict.fromkeys({"Bootstrap", "CheckVersion"}, "deployment"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_function_says_of_which_kind_and_stack_it_is(operation: str) -> None:
    tags = {tag["Key"]: tag["Value"] for tag in function(operation)["Tags"]}
    assert tags["Kind"] == KINDS[operation]
    assert tags["Stack"] == {"Ref": "AWS::StackId"}


def _kinds(statement: dict[str, Any]) -> set[str]:
    """Return the kinds of functions that a statement allows, all of them of this stack."""
    (operator,) = statement["Condition"]
    assert operator == "StringEquals"
    tags = {key.removeprefix("aws:ResourceTag/"): value for key, value in statement["Condition"][operator].items()}
    # Tags of our own. No reference of AWS promises that Lambda compares the tags that CloudFormation sets itself.
    assert tags.keys() == {"Stack", "Kind"}
    assert tags["Stack"] == {"Ref": "AWS::StackId"}
    return set(_list(tags["Kind"]))


def test_the_hook_may_invoke_the_versions_that_it_checks_and_nothing_else() -> None:
    hook = list(statements(documents_of("CheckVersionRole")["Hook"]))
    actions = {action for statement in hook for action in _list(statement["Action"])}
    allowed = {action: [each for each in hook if action in _list(each["Action"])] for action in actions}
    versions, itself = allowed.pop("lambda:InvokeFunction")
    known = intrinsics()
    assert known.resolve(versions["Resource"]) == f"arn:aws:lambda:{REGION}:1:function:*:*"
    assert {operation for operation in OPERATIONS if KINDS[operation] in _kinds(versions)} == SHIFTED
    own = known.resolve(function("CheckVersion")["FunctionName"])
    assert known.resolve(itself["Resource"]) == f"arn:aws:lambda:{REGION}:1:function:{own}"
    assert allowed.keys() == {
        "codedeploy:GetDeployment",
        "codedeploy:GetApplicationRevision",
        "codedeploy:PutLifecycleEventHookExecutionStatus",
    }
    where = [each["Resource"] for found in allowed.values() for each in found]
    assert all("${ServerlessDeploymentApplication}" in dumped(each) for each in where)


def test_the_hook_is_outside_the_vpc() -> None:
    """With Egress=endpoints no function inside the VPC reaches CodeDeploy."""
    assert function("CheckVersion")["VpcConfig"] == {"Ref": "AWS::NoValue"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_sizes_and_times(operation: str) -> None:
    properties = function(operation)
    assert properties["Runtime"] == "python3.13"
    assert properties["Architectures"] == [{"Ref": "Architecture"}]
    assert properties["MemorySize"] == {"Ref": "HashingMemorySize" if operation in HASHING else "MemorySize"}
    assert properties["Timeout"] <= (900 if operation in INTERNAL else 25)
    if operation not in INTERNAL:
        assert properties["Timeout"] < 30  # afterwards API Gateway answers for it


@pytest.mark.parametrize("operation", sorted(set(OPERATIONS) - {"Bootstrap"}))
def test_the_database_is_ready_before_new_code(operation: str) -> None:
    assert "Bootstrap" in _list(template()["Resources"][f"{operation}Function"]["DependsOn"])


@pytest.mark.parametrize("layer", ["DependenciesLayer", "CommonLayer", "BackgroundLayer"])
def test_a_new_layer_is_a_new_version_of_every_function(layer: str, tmp_path: Path) -> None:
    """Otherwise the alias would still use a version with the old layer."""
    text = (ROOT / "template.yaml").read_text()
    changed = re.sub(rf"(  {layer}:\n(?:    .*\n)*?      ContentUri: )\S+", r"\1s3://bucket/other", text)
    assert changed != text
    (tmp_path / "template.yaml").write_text(changed)
    versions = set(resources("AWS::Lambda::Version"))
    others = translated(tmp_path / "template.yaml", region=REGION)["Resources"]
    new = {
        resource["Properties"]["FunctionName"]["Ref"]
        for name, resource in others.items()
        if resource["Type"] == "AWS::Lambda::Version" and name not in versions
    }
    assert new == set(FUNCTIONS)  # including functions that need it only for traces


def test_old_versions_are_deleted() -> None:
    assert {version["DeletionPolicy"] for version in resources("AWS::Lambda::Version").values()} == {"Delete"}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_variables_fit(operation: str) -> None:
    """All variables have 4 KB. A value that only a deployment has counts as 130 bytes."""
    known = intrinsics()
    size = 0
    for name, value in variables(operation).items():
        resolved = known.resolve({"value": value}).get("value", "")
        size += len(name) + (len(resolved) if isinstance(resolved, str) else 130)
    assert size < 3000


# ---------------------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_variable_holds_a_secret(operation: str) -> None:
    assert not SECRETS & variables(operation).keys()
    for name, value in variables(operation).items():
        if re.search(r"PASS(WORD)?$|SECRET|KEY", name.removesuffix("_SECRET_ARN")) and not name.endswith("_SECRET_ARN"):
            assert name in {"MG_AUTH_KEYS_ALGORITHM"}, f"{name}={value}"


def test_no_parameter_takes_a_secret() -> None:
    assert [name for name, about in template()["Parameters"].items() if about.get("NoEcho")] == []
    assert "resolve:" not in dumped(list(resources("AWS::Lambda::Function").values()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_function_may_read_the_secrets_that_its_code_asks_for_and_no_others(operation: str) -> None:
    asked = _asked_for(operation)
    given = {name.removesuffix("_SECRET_ARN") for name in variables(operation) if name.endswith("_SECRET_ARN")}
    readable = _readable(operation)
    assert asked <= given
    assert asked <= readable
    # Any request may need the database and Auth, so these two are in Globals.
    assert given - asked <= {"MG_USERS_DB_PASS", "MG_AUTH_GRPC_CLIENT_KEY"}
    assert readable - asked <= {"MG_AUTH_GRPC_CLIENT_KEY"}


OWNERS_SECRETS = {"Database.MasterUserSecret.SecretArn", "DbOwnerPassSecretArn"}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    "given", [{}, {"DbProxy": "true"}, {"DbHost": "db", "DbOwner": "o", "DbOwnerPassSecretArn": ARN}]
)
def test_bootstrap_alone_may_read_the_owners_password(operation: str, given: dict[str, str]) -> None:
    """S66: an attacker in any other function cannot become the owner of the tables."""
    known = intrinsics(**given)
    role = template()["Resources"][role_of(operation)]["Properties"]
    attached = [each["Ref"] for each in _chosen(role["ManagedPolicyArns"], known) if each.get("Ref") != "AWS::NoValue"]
    documents = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
    documents += [template()["Resources"][name]["Properties"]["PolicyDocument"] for name in attached]
    readable = dumped(_chosen(documents, known)).replace('"Database", "MasterUserSecret', '"Database.MasterUserSecret')
    assert any(secret in readable for secret in OWNERS_SECRETS) == (operation == "Bootstrap")
    text = dumped(_chosen(variables(operation), known))
    assert any(secret in text for secret in OWNERS_SECRETS) == (operation == "Bootstrap")


@pytest.mark.parametrize(
    ("given", "user", "owner"),
    [
        ({}, "magistrala_functions", "magistrala"),
        ({"DbProxy": "true"}, "magistrala_functions", "magistrala"),
        ({"DbHost": "db", "DbPassSecretArn": ARN}, "magistrala", ""),
        ({"DbHost": "db", "DbUser": "f", "DbOwner": "o", "DbOwnerPassSecretArn": ARN}, "f", "o"),
    ],
)
def test_the_functions_role_is_not_the_owner(given: dict[str, str], user: str, owner: str) -> None:
    known = intrinsics(**given)
    assert {known.resolve(variables(operation)["MG_USERS_DB_USER"]) for operation in OPERATIONS} == {user}
    assert known.resolve(variables("Bootstrap")["MG_USERS_DB_OWNER"]) == owner
    assert [operation for operation in OPERATIONS if "MG_USERS_DB_OWNER" in variables(operation)] == ["Bootstrap"]


def test_rds_proxy_knows_both_passwords() -> None:
    """The secret contains the JSON that RDS Proxy reads, with the names of the roles that connect."""
    known = intrinsics(DbProxy="true")
    asked = [each["SecretArn"] for each in template()["Resources"]["DatabaseProxy"]["Properties"]["Auth"]]
    assert [set(references(each)) for each in asked] == [{"Database"}, {"DbPassword"}]
    (policy,) = template()["Resources"]["DatabaseProxyRole"]["Properties"]["Policies"]
    assert policy["PolicyDocument"]["Statement"][0]["Resource"] == asked
    made_secret = template()["Resources"]["DbPassword"]["Properties"]["GenerateSecretString"]
    name = json.loads(known.resolve(made_secret["SecretStringTemplate"]))["username"]
    assert name == known.resolve(variables("ViewProfile")["MG_USERS_DB_USER"])
    assert made_secret["GenerateStringKey"] == "password"


_VARIABLES = {variable.field: variable.name for variable in Settings.variables()}
# Secrets that a function imports but never uses. openapi, docs and password_policy have no caller, and the key makes
# tokens but does not read them.
_OUT_OF_REACH = {
    "Docs": {"db_pass", "auth_grpc_client_key"},
    "Openapi": {"db_pass", "auth_grpc_client_key"},
    "PasswordPolicy": {"db_pass", "auth_grpc_client_key"},
    "ResetPassword": {"secret_key"},
}


# A call of users.aws.secrets.secret, with the field of the settings that it asks for.
_ASKS = re.compile(r"\bsecret\([\w()]+\.(\w+)\)")


def test_no_question_for_a_secret_is_overlooked() -> None:
    """Every call of ``secret`` names its field, so that _asked_for finds it. Its own module asks for all of them."""
    sources = {*ROOT.glob("layers/*/python/**/*.py"), *ROOT.glob("functions/*/*.py")}
    sources.remove(ROOT / "layers/common/python/users/aws/secrets.py")
    asked = {source: len(re.findall(r"\bsecret\(", source.read_text())) for source in sources}
    assert {source: count for source, count in asked.items() if count != len(_ASKS.findall(source.read_text()))} == {}
    assert sum(asked.values()) > 10


def _asked_for(operation: str) -> set[str]:
    """Return the secrets that the function's code and all of its imports may ask for."""
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower()
    waiting, seen, asked = {ROOT / "functions" / snake / "app.py"}, set[Path](), set[str]()
    while waiting := waiting - seen:
        source = waiting.pop()
        seen.add(source)
        text = source.read_text()
        waiting |= set(_imported(source))
        asked |= set(_ASKS.findall(text)) - {"origin_secret"}  # see Request.address
        # users.steps.target.notice reads the secret, too.
        if source.name == "app.py" and re.search(r"request\.address|\bnotice\(request", text):
            asked.add("origin_secret")
    return {_VARIABLES[name] for name in asked - _OUT_OF_REACH.get(operation, set())}


def _imported(source: Path) -> Iterator[Path]:
    """Yield the service's modules that a module imports anywhere."""
    for module, name in imports(source):
        for path in (module, f"{module}.{name}"):
            layers = (ROOT / "layers" / layer / "python" for layer in ("common", "background"))
            for folder in (source.parent, *layers):
                place = folder / path.replace(".", "/")
                yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists())


def _readable(operation: str) -> set[str]:
    """Return the variables whose secrets the function's role may read."""
    role = template()["Resources"][role_of(operation)]["Properties"]
    allowed = set(references(role))
    for policy in set(references(role["ManagedPolicyArns"])):
        allowed |= set(references(template()["Resources"].get(policy, {}).get("Properties", {})))
    return {
        name.removesuffix("_SECRET_ARN")
        for name, value in variables(operation).items()
        if name.endswith("_SECRET_ARN") and set(references(value)) - {"AWS::NoValue"} <= allowed
    }


# ---------------------------------------------------------------------------------------------------- parameters


def test_parameters_are_the_variables_one_to_one() -> None:
    """Each documented MG_* variable has one parameter of its name, which sets the variable."""
    # The first is a random id of one process. The others are client certificates, which RDS does not accept.
    without = {"MG_USERS_INSTANCE_ID", "MG_USERS_DB_SSL_CERT", "MG_USERS_DB_SSL_KEY"}
    server = "MG_USERS_GRPC_"  # of the gRPC server, which is no function
    used: Counter[str] = Counter()
    for variable in Settings.variables():
        name = variable.name
        if name in without or name.startswith(server):
            continue
        parameter = "".join(word.capitalize() for word in re.sub(r"^MG_(USERS_)?", "", name).split("_"))
        if name in SECRETS:
            parameter, name = f"{parameter}SecretArn", f"{name}_SECRET_ARN"
        assert parameter in template()["Parameters"], f"{name} has no parameter {parameter}"
        used[parameter] += 1
        if name == "MG_USERS_DELETE_INTERVAL":  # a schedule's expression, no variable
            assert parameter in dumped(resources("AWS::Scheduler::Schedule"))
            continue
        values = [variables(operation)[name] for operation in OPERATIONS if name in variables(operation)]
        assert values, f"no function gets {name}"
        assert all(parameter in set(_names(value)) for value in values), f"{name} is not {parameter}"
    assert set(used.values()) == {1}
    variables_of_all = {name for operation in OPERATIONS for name in variables(operation)}
    documented = {variable.name for variable in Settings.variables()}
    assert {name.removesuffix("_SECRET_ARN") for name in variables_of_all} - documented == {
        "OUTBOX_FUNCTION",
        "POWERTOOLS_SERVICE_NAME",
    }


def _names(value: Any) -> list[str]:
    """Return the names in a value, with the parameters of its conditions."""
    found = list(references(value))
    text = dumped(value)
    return found + [name for name in template()["Parameters"] if f'"{name}"' in text]


# ---------------------------------------------------------------------------------------------------- privileges


def policies() -> list[dict[str, Any]]:
    """Return the documents of all policies of the stack."""
    managed = [policy["Properties"]["PolicyDocument"] for policy in resources("AWS::IAM::ManagedPolicy").values()]
    roles = resources("AWS::IAM::Role").values()
    return managed + [policy["PolicyDocument"] for role in roles for policy in role["Properties"].get("Policies", [])]


def test_no_policy_names_every_resource_where_fewer_can_be_named() -> None:
    wide = {
        action
        for document in policies()
        for statement in statements(document)
        if statement["Effect"] == "Allow" and "*" in _list(statement["Resource"])
        for action in _list(statement["Action"])
    }
    assert wide == TAKES_NO_RESOURCE


def test_no_policy_allows_actions_by_pattern() -> None:
    allowed = {
        action
        for document in policies()
        for statement in statements(document)
        if statement["Effect"] == "Allow"
        for action in _list(statement["Action"])
    }
    assert [action for action in allowed if "*" in action] == []


def test_functions_have_no_policies_of_aws() -> None:
    """AWSLambdaBasicExecutionRole would let each function write into every log group of the account."""
    for operation in OPERATIONS:
        role = template()["Resources"][role_of(operation)]["Properties"]
        assert "arn:" not in dumped(role["ManagedPolicyArns"])


def test_a_function_that_wakes_the_delivery_may_and_no_other() -> None:
    wakes = {operation for operation in OPERATIONS if "OUTBOX_FUNCTION" in variables(operation)}
    may = {
        operation
        for operation in OPERATIONS
        if "WakePolicy"
        in set(references(template()["Resources"][role_of(operation)]["Properties"]["ManagedPolicyArns"]))
    }
    assert wakes == may
    name = intrinsics().resolve(function("DeliverOutbox")["FunctionName"])
    assert {intrinsics().resolve(variables(operation)["OUTBOX_FUNCTION"]) for operation in wakes} == {f"{name}:live"}
    (statement,) = statements(template()["Resources"]["WakePolicy"]["Properties"]["PolicyDocument"])
    assert intrinsics().resolve(statement["Resource"]).endswith(f":function:{name}:live")


@pytest.mark.parametrize(
    ("url", "arn"),
    [
        ("eventbridge://mine", "arn:aws:events:eu-central-1:1:event-bus/mine"),
        ("eventbridge://arn:aws:events:eu-west-1:2:event-bus/mine", "arn:aws:events:eu-west-1:2:event-bus/mine"),
        ("nats://nats:4222", ""),
    ],
)
def test_the_delivery_may_put_events_on_the_bus_that_is_given(url: str, arn: str) -> None:
    role = intrinsics(EsUrl=url).resolve(template()["Resources"]["DeliverOutboxRole"]["Properties"])
    may = {
        statement["Resource"]
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "events:PutEvents" in _list(statement["Action"])
    }
    assert may == ({arn} if arn else set())


# ---------------------------------------------------------------------------------------------------- API, data, alarms


def test_api_gateway_makes_every_route_and_knows_every_route_setting() -> None:
    """API Gateway refuses a path that ends in a slash, and stage settings of a route that the API does not have."""
    (api,) = resources("AWS::ApiGatewayV2::Api").values()
    paths = api["Properties"]["Body"]["paths"]
    assert [path for path in paths if not path.startswith("/") or (path.endswith("/") and path != "/")] == []
    routes = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    stages = resources("AWS::ApiGatewayV2::Stage").values()
    settings = {route for stage in stages for route in stage["Properties"]["RouteSettings"]}
    assert settings
    assert settings - routes == set()


def test_api_gateway_calls_each_route_by_a_role_that_may_call_operations_and_nothing_else() -> None:
    integrations = [
        operation["x-amazon-apigateway-integration"]
        for item in template()["Resources"]["Api"]["Properties"]["Body"]["paths"].values()
        for operation in item.values()
    ]
    called = {name for each in integrations for name in references(each["uri"]) if not name.startswith("AWS::")}
    assert called == {f"{operation}Function" for operation in set(OPERATIONS) - INTERNAL}
    assert all(".Arn}:live/invocations" in dumped(each["uri"]) for each in integrations)
    assert all(each["credentials"] == {"Fn::GetAtt": ["ApiRole", "Arn"]} for each in integrations)
    (document,) = documents_of("ApiRole").values()
    (statement,) = statements(document)
    assert statement["Action"] == "lambda:InvokeFunction"
    assert intrinsics().resolve(statement["Resource"]) == f"arn:aws:lambda:{REGION}:1:function:*:live"
    assert {operation for operation in OPERATIONS if KINDS[operation] in _kinds(statement)} == set(
        OPERATIONS
    ) - INTERNAL


def test_access_logs_hold_no_query_and_no_path() -> None:
    (stage,) = resources("AWS::ApiGatewayV2::Stage").values()
    log_format = stage["Properties"]["AccessLogSettings"]["Format"]
    assert "$context.routeKey" in log_format
    assert "$context.status" in log_format
    for forbidden in ("query", "$context.path", "authorizer", "userAgent"):
        assert forbidden not in log_format


def test_routes_have_a_ceiling_and_those_that_hash_a_lower_one() -> None:
    (stage,) = resources("AWS::ApiGatewayV2::Stage").values()
    properties = stage["Properties"]
    assert properties["DefaultRouteSettings"]["ThrottlingRateLimit"] == {"Ref": "ThrottlingRateLimit"}
    routes = {
        f"{method.upper()} {path}": operation["x-amazon-apigateway-integration"]["uri"]
        for api in resources("AWS::ApiGatewayV2::Api").values()
        for path, item in api["Properties"]["Body"]["paths"].items()
        for method, operation in item.items()
    }
    hashing = {
        route
        for route, uri in routes.items()
        for operation in HASHING - {"Bootstrap"}
        if f"{operation}Function" in dumped(uri) and not route.startswith("GET ")
    }
    assert properties["RouteSettings"].keys() == hashing


def test_cors_is_off_until_an_origin_is_named() -> None:
    given = {"CorsAllowOrigins": "https://a.example,https://b.example"}
    body = translated(ROOT / "template.yaml", region=REGION, parameters=given)["Resources"]["Api"]["Properties"]["Body"]
    cors = {"cors": body["x-amazon-apigateway-cors"]}
    assert "cors" not in intrinsics().resolve(cors)
    allowed = intrinsics(**given).resolve(cors)["cors"]
    assert allowed["allowOrigins"] == ["https://a.example", "https://b.example"]
    assert "allowCredentials" not in allowed
    assert "x-request-id" in allowed["allowHeaders"]
    assert set(allowed["exposeHeaders"]) == {"location", "retry-after", "x-request-id"}


def test_the_database_takes_tls_alone_and_outlives_the_stack() -> None:
    database = template()["Resources"]["Database"]
    assert database["DeletionPolicy"] == database["UpdateReplacePolicy"] == "Snapshot"
    assert database["Properties"]["StorageEncrypted"] is True
    assert database["Properties"]["ManageMasterUserPassword"] is True
    assert template()["Resources"]["DatabaseParameters"]["Properties"]["Parameters"] == {"rds.force_ssl": "1"}
    assert template()["Parameters"]["DbSslMode"]["Default"] == "verify-full"
    assert "disable" not in template()["Parameters"]["DbSslMode"]["AllowedValues"]
    for instance in resources("AWS::RDS::DBInstance").values():
        assert instance["Properties"]["PubliclyAccessible"] is False


@pytest.mark.parametrize("proxy", ["true", "false"])
def test_the_authorities_of_the_database_are_in_the_layer(proxy: str) -> None:
    path = intrinsics(DbProxy=proxy).resolve(variables("ViewProfile")["MG_USERS_DB_SSL_ROOT_CERT"])
    file = ROOT / "layers/common" / path.removeprefix("/opt/")
    assert file.is_file()
    assert file.stem == ("rds-proxy" if proxy == "true" else "eu-central-1")


def test_rds_proxy_is_asked_at_its_only_port() -> None:
    port = variables("ViewProfile")["MG_USERS_DB_PORT"]
    assert intrinsics(DbPort="6543", DbProxy="true").resolve(port) == 5432
    assert intrinsics(DbPort="6543").resolve(port) == "6543"


def test_auths_keys_are_at_auth_unless_it_is_said_where() -> None:
    url = variables("ViewProfile")["MG_AUTH_JWKS_URL"]
    assert intrinsics().resolve(url) == "http://auth.internal:9001/keys/.well-known/jwks.json"
    assert intrinsics(AuthJwksUrl="https://auth/keys").resolve(url) == "https://auth/keys"


@pytest.mark.parametrize(("given", "member"), [(ARN, ""), (f"{ARN}:origin", "origin")])
def test_cloudfront_sends_the_secret_that_functions_read(given: str, member: str) -> None:
    config = template()["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
    (header,) = config["Origins"][0]["OriginCustomHeaders"]
    value = intrinsics(CloudFront="true", OriginSecretSecretArn=given).resolve(header["HeaderValue"])
    assert value == f"{{{{resolve:secretsmanager:{ARN}:SecretString:{member}::}}}}"


def test_two_stacks_do_not_fight_for_a_name() -> None:
    """Dev and prod may share an account and region, and names of CloudFront are unique in all regions of an account."""
    assert [name for name, each in resources("AWS::Scheduler::Schedule").items() if "Name" in each["Properties"]] == []
    policy = template()["Resources"]["OriginRequestPolicy"]["Properties"]["OriginRequestPolicyConfig"]
    assert {"AWS::StackName", "AWS::Region"} <= set(references(policy["Name"]))


def test_another_database_is_set_up_too() -> None:
    after = template()["Resources"]["Bootstrap"]["Properties"]["After"]
    one, other = (
        intrinsics(DbHost="db", DbPassSecretArn=ARN, DbName=name).resolve({"After": after}) for name in ("a", "b")
    )
    assert one != other


def test_the_delivery_may_send_mails_of_either_form() -> None:
    statements_of_mail = [
        statement
        for document in policies()
        for statement in statements(document)
        if any(action.startswith("ses:") for action in _list(statement["Action"]))
    ]
    assert [statement["Action"] for statement in statements_of_mail] == [["ses:SendEmail", "ses:SendRawEmail"]]
    assert "*" not in statements_of_mail[0]["Resource"]


@pytest.mark.parametrize("schedule", sorted(resources("AWS::Scheduler::Schedule")))
def test_a_schedule_has_a_dead_letter_queue_and_a_retry_policy(schedule: str) -> None:
    target = resources("AWS::Scheduler::Schedule")[schedule]["Properties"]["Target"]
    assert "DeadLetters" in set(references(target["DeadLetterConfig"]))
    assert "MaximumRetryAttempts" in target["RetryPolicy"]
    role = template()["Resources"][target["RoleArn"]["Fn::GetAtt"][0]]
    assert "DeadLetters" in set(references(role))


def test_mails_are_not_tracked() -> None:
    assert "TrackingOptions" not in template()["Resources"]["ConfigurationSet"]["Properties"]
    for destination in resources("AWS::SES::ConfigurationSetEventDestination").values():
        assert not {"open", "click"} & set(map(str.lower, dumped(destination["Properties"]).split('"')))


@pytest.mark.parametrize("given", [{}, {"SesConfigurationSet": "theirs"}])
def test_ses_tells_of_our_mails_and_of_no_others(given: dict[str, str]) -> None:
    known = intrinsics(**given)
    ours = known.resolve(variables("DeliverOutbox"))["MG_USERS_SES_CONFIGURATION_SET"]
    (destination,) = resources("AWS::SES::ConfigurationSetEventDestination").values()
    assert known.resolve(destination["Properties"])["ConfigurationSetName"] == ours
    assert destination["Properties"]["EventDestination"]["MatchingEventTypes"] == ["BOUNCE", "COMPLAINT"]
    rule = template()["Resources"]["RecordMailFeedbackFunctionFeedback"]["Properties"]
    pattern = known.resolve(rule["EventPattern"])
    assert pattern == {
        "source": ["aws.ses"],
        "detail-type": ["Email Bounced", "Email Complaint Received"],
        "detail": {"mail": {"tags": {"ses:configuration-set": [ours]}}},
    }
    assert "DeadLetters" in set(references(rule["Targets"][0]["DeadLetterConfig"]))
    asynchronous = template()["Resources"]["RecordMailFeedbackFunctionEventInvokeConfig"]["Properties"]
    assert "DeadLetters" in set(references(asynchronous["DestinationConfig"]["OnFailure"]))


def test_every_alarm_goes_to_the_topic() -> None:
    for alarm in resources("AWS::CloudWatch::Alarm").values():
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "AlarmTopic"}]


def test_every_parameter_is_in_one_group() -> None:
    """CloudFormation's console shows the parameters in groups."""
    interface = template()["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert sorted(grouped) == sorted(template()["Parameters"])
    assert all(group["Label"]["default"] for group in interface["ParameterGroups"])
    assert interface["ParameterLabels"].keys() <= template()["Parameters"].keys()


def test_what_has_no_default_stands_in_the_first_group() -> None:
    groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    needed = {name for name, about in template()["Parameters"].items() if "Default" not in about}
    assert needed == set(GIVEN)
    assert needed <= set(groups[0]["Parameters"])


def test_layers_are_named_by_their_stack() -> None:
    names = {layer["Properties"]["LayerName"]["Fn::Sub"] for layer in resources("AWS::Lambda::LayerVersion").values()}
    assert names == {"${AWS::StackName}-common", "${AWS::StackName}-dependencies", "${AWS::StackName}-background"}


SAMCONFIG = (ROOT / "samconfig.toml").read_text()


def section(environment: str) -> str:
    """Return the lines of a deployment's parameters in samconfig.toml."""
    (text,) = re.findall(
        rf"^\[{environment}\.deploy\.parameters\.parameter_overrides\]\n((?:[^\[].*\n|\n)*)", SAMCONFIG, re.MULTILINE
    )
    return str(text)


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_samconfig_overrides_what_there_is(environment: str) -> None:
    config = tomllib.loads(SAMCONFIG)[environment]["deploy"]["parameters"]
    for name, value in config["parameter_overrides"].items():
        about = template()["Parameters"][name]
        assert isinstance(value, str), f"sam would make {str(value)!r} of {name}"
        assert takes(about, value)
        assert str(about["Default"]) != value or name == "DeploymentType"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_samconfig_shows_what_a_deployment_must_say(environment: str) -> None:
    """The parameters are comments, because a refused deployment is better than a mistaken deployment of an example."""
    shown = dict(re.findall(r'^# (\w+) = "([^"]*)"', section(environment), re.MULTILINE))
    assert shown.keys() >= GIVEN.keys()
    config = tomllib.loads(SAMCONFIG)[environment]["deploy"]["parameters"]
    assert not shown.keys() & config["parameter_overrides"].keys()
    for name, example in shown.items():
        assert takes(template()["Parameters"][name], example)


def test_logins_are_limited_by_what_the_database_carries() -> None:
    """A login takes 4.4 ms of the database's processor. A capacity unit has a quarter of one, half of it for logins."""
    config = tomllib.loads(SAMCONFIG)
    configured = [config[each]["deploy"]["parameters"]["parameter_overrides"] for each in ("dev", "prod")]
    for given in (parameters(), *(parameters(**each) for each in configured)):
        limit = int(given["HashingRateLimit"])
        assert limit == 25 * int(given["DbMaxCapacity"])
        assert limit < 0.5 * 0.25 / 0.0044 * int(given["DbMaxCapacity"])
        assert int(given["HashingBurstLimit"]) == 2 * limit
        assert limit < int(given["ThrottlingRateLimit"])


def test_prod_is_refused_until_everything_is_filled_in() -> None:
    overrides = tomllib.loads(SAMCONFIG)["prod"]["deploy"]["parameters"]["parameter_overrides"]
    assert any("DomainName" in text for text in refusals(**overrides))
    shown = dict(re.findall(r'^# (\w+) = "([^"]*)"', section("prod"), re.MULTILINE))
    assert refusals(**{**shown, **overrides}) == []
    assert refusals(**{**overrides, "CloudFront": "false"}) == []
