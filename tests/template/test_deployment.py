"""The transformed template deployed to moto, as far as moto models its resource types.

UNMODELLED lists the other types. cfn-lint checks them against CloudFormation's schemas (make lint), and only AWS can
prove more.
"""

import io
import json
import os
import re
import subprocess
import tomllib
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.cloudformation.parsing import get_model_map
from moto.server import ThreadedMotoServer

from local.install import SAM
from tests.template.cloudformation import REGION, ROOT, intrinsics, made, parameters, references, template
from tests.template.test_stack import role_of

UNMODELLED = {
    "AWS::ApiGatewayV2::Api",
    "AWS::ApiGatewayV2::ApiMapping",
    "AWS::ApiGatewayV2::DomainName",
    "AWS::ApiGatewayV2::Stage",
    "AWS::CloudFront::Distribution",
    "AWS::CloudFront::OriginRequestPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::CodeDeploy::Application",
    "AWS::CodeDeploy::DeploymentGroup",
    "AWS::Lambda::Alias",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Logs::MetricFilter",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBClusterParameterGroup",
    "AWS::RDS::DBProxy",
    "AWS::RDS::DBProxyTargetGroup",
    "AWS::SES::ConfigurationSet",
    "AWS::SES::ConfigurationSetEventDestination",
    "AWS::SES::EmailIdentity",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
    "AWS::SecretsManager::Secret",
    "AWS::WAFv2::WebACL",
    "Custom::Bootstrap",
}
# moto models these types, but not a part that they need: an alias, a cluster, a domain.
LEFT_OUT = {"AWS::Lambda::Permission", "AWS::RDS::DBInstance", "AWS::Route53::RecordSet"}
_LEFT_OUT_ARN = "arn:aws:x:eu-central-1:123456789012:left-out"


def test_what_moto_does_not_model() -> None:
    kinds = {resource["Type"] for resource in template()["Resources"].values()}
    assert kinds - get_model_map().keys() == UNMODELLED


def deployable() -> dict[str, Any]:
    """Return the resources of the default deployment that moto models. References to other resources become texts."""
    there = made()
    kept = {
        name: resource
        for name, resource in template()["Resources"].items()
        if name in there and resource["Type"] in get_model_map().keys() - LEFT_OUT
    }
    known = kept.keys() | template()["Parameters"].keys()
    resources = {name: _without(resource, known) for name, resource in kept.items()}
    for resource in resources.values():
        resource.pop("DependsOn", None)
        resource.pop("UpdatePolicy", None)
    kinds = ("Parameters", "Conditions")
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        **{kind: template()[kind] for kind in kinds},
        "Resources": resources,
    }


def _without(value: Any, known: Any) -> Any:
    """Return the value without references to resources that are left out."""
    if isinstance(value, list):  # moto leaves a null in place of AWS::NoValue
        kept = [member for member in value if intrinsics().choose(member) != {"Ref": "AWS::NoValue"}]
        return [_without(member, known) for member in kept]
    if not isinstance(value, dict):
        return value
    if "Fn::If" in value:
        condition, *branches = value["Fn::If"]
        return {"Fn::If": [condition, *(_without(branch, known) for branch in branches)]}
    if "Fn::Select" in value and isinstance(value["Fn::Select"][1], dict):
        number, chosen = value["Fn::Select"]  # moto supports neither of these two functions
        if chosen.keys() & {"Fn::GetAZs", "Fn::Cidr"}:
            return f"{REGION}{'ab'[number]}" if "Fn::GetAZs" in chosen else f"10.42.{4 * number}.0/22"
    if value.keys() & {"Ref", "Fn::GetAtt", "Fn::Sub"}:
        left_out = {each for each in references(value) if not each.startswith("AWS::")} - known
        if left_out and not isinstance(value.get("Fn::Sub"), str):
            return _LEFT_OUT_ARN
        for each in left_out:
            value = {"Fn::Sub": re.sub(rf"\$\{{{each}(\.\w+)*\}}", "left-out", value["Fn::Sub"])}
    return {key: _without(member, known) for key, member in value.items()}


@pytest.fixture(scope="module")
def stack() -> Iterator[dict[str, str]]:
    """Deploy the template. Yield physical ids by logical ids."""
    with mock_aws():
        s3 = boto3.client("s3", region_name=REGION)
        s3.create_bucket(Bucket="local-code", CreateBucketConfiguration={"LocationConstraint": REGION})
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as code:
            code.writestr("app.py", "")
        for number in range(60):
            s3.put_object(Bucket="local-code", Key=str(number), Body=archive.getvalue())
        s3.create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_object(Bucket="templates", Key="t", Body=json.dumps(deployable()).encode())
        client = boto3.client("cloudformation", region_name=REGION)
        client.create_stack(
            StackName="users",
            TemplateURL=f"https://templates.s3.{REGION}.amazonaws.com/t",
            Parameters=[
                {"ParameterKey": name, "ParameterValue": str(value)}
                for name, value in parameters().items()
                if name in template()["Parameters"]
            ],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
        status = client.describe_stacks(StackName="users")["Stacks"][0]
        assert status["StackStatus"] == "CREATE_COMPLETE", status
        pages = client.get_paginator("list_stack_resources").paginate(StackName="users")
        yield {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
        }


def test_everything_modelled_is_there(stack: dict[str, str]) -> None:
    wanted = Counter(resource["Type"] for resource in deployable()["Resources"].values())
    missing = deployable()["Resources"].keys() - stack.keys()
    assert missing == set()
    assert wanted["AWS::Lambda::Function"] == len([name for name in stack if name.endswith("Function")])


def test_functions_read_back(stack: dict[str, str]) -> None:
    client = boto3.client("lambda", region_name=REGION)
    for name, resource in deployable()["Resources"].items():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        found = client.get_function_configuration(FunctionName=stack[name])
        assert found["Runtime"] == "python3.13"
        assert found["MemorySize"] in (512, 1769)
        assert found["Timeout"] == resource["Properties"]["Timeout"]
        assert found["Role"].endswith(f"role/{stack[role_of(name.removesuffix('Function'))]}")
        # Only the hook is outside the VPC.
        assert len(found.get("VpcConfig", {}).get("SubnetIds", [])) == (0 if name == "CheckVersionFunction" else 2)
        assert found["Environment"]["Variables"]["MG_USERS_DB_SSL_MODE"] == "verify-full"


def test_roles_read_back(stack: dict[str, str]) -> None:
    client = boto3.client("iam", region_name=REGION)
    for name in [name for name in stack if name.endswith("Role")]:
        role = client.get_role(RoleName=stack[name])["Role"]
        service = role["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"]
        assert service in (["lambda.amazonaws.com"], "lambda.amazonaws.com", ["scheduler.amazonaws.com"]) or name in {
            "CodeDeployServiceRole",
            "ApiRole",
        }
        for policy in client.list_role_policies(RoleName=stack[name])["PolicyNames"]:
            document = client.get_role_policy(RoleName=stack[name], PolicyName=policy)["PolicyDocument"]
            assert "Allow" in json.dumps(document)


def test_the_network_reads_back(stack: dict[str, str]) -> None:
    client = boto3.client("ec2", region_name=REGION)
    subnets = client.describe_subnets(SubnetIds=[stack["PrivateSubnetA"], stack["PrivateSubnetB"]])["Subnets"]
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    (table,) = client.describe_route_tables(RouteTableIds=[stack["PrivateRoutes"]])["RouteTables"]
    assert stack["NatGateway"] in {route.get("NatGatewayId") for route in table["Routes"]}
    (group,) = client.describe_security_groups(GroupIds=[stack["DatabaseSecurityGroup"]])["SecurityGroups"]
    (opening,) = group["IpPermissions"]
    assert (opening["FromPort"], opening["ToPort"]) == (5432, 5432)
    assert [pair["GroupId"] for pair in opening["UserIdGroupPairs"]] == [stack["FunctionsSecurityGroup"]]
    (endpoint,) = client.describe_vpc_endpoints(VpcEndpointIds=[stack["S3Endpoint"]])["VpcEndpoints"]
    assert endpoint["VpcEndpointType"] == "Gateway"


def test_the_rest_reads_back(stack: dict[str, str]) -> None:
    logs = boto3.client("logs", region_name=REGION)
    groups = {
        group["logGroupName"]: group
        for page in logs.get_paginator("describe_log_groups").paginate()
        for group in page["logGroups"]
    }
    for name in [name for name in stack if name.endswith("LogGroup")]:
        assert groups[stack[name]]["retentionInDays"] == 30
    assert boto3.client("events", region_name=REGION).describe_event_bus(Name="users")["Name"] == "users"
    dashboard = boto3.client("cloudwatch", region_name=REGION).get_dashboard(DashboardName=stack["Dashboard"])
    widgets = json.loads(dashboard["DashboardBody"])["widgets"]
    assert {"Requests", "Outbox", "Functions"} <= {widget["properties"]["title"] for widget in widgets}


@pytest.mark.long
def test_sam_deploy_asks_nothing(tmp_path: Path) -> None:
    """With samconfig.toml alone, sam reads its parameters and reaches the change set without a terminal."""
    config = (ROOT / "samconfig.toml").read_text()
    # moto has no stack of SAM with the name of a bucket.
    (tmp_path / "samconfig.toml").write_text(config.replace("resolve_s3 = true", 's3_bucket = "code"'))
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        aws = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
        boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        ).create_bucket(Bucket="code")
        sam = subprocess.run(
            [SAM.place / "bin" / "sam", "deploy", "--config-env", "prod", "--config-file", tmp_path / "samconfig.toml",
             "--template", "template.yaml", "--no-execute-changeset"],
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            env={**os.environ, **aws, "AWS_ENDPOINT_URL": address, "SAM_CLI_TELEMETRY": "0"},
        )  # fmt: skip
    finally:
        server.stop()
    overrides = json.loads(sam.stdout.partition("Parameter overrides          : ")[2].partition("\n")[0])
    assert overrides == tomllib.loads(config)["prod"]["deploy"]["parameters"]["parameter_overrides"]
    assert "Initiating deployment" in sam.stdout
    assert not re.search(r"\[[yYnN]/[yYnN]\]|\]: ", sam.stdout + sam.stderr)
