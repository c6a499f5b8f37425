"""A customer's key (KmsKeyArn) encrypts the cluster, the secrets and the logs, and decrypts secrets for functions."""

from typing import Any

import pytest

from tests.template.cloudformation import dumped, intrinsics, made, references, resources, statements, template

KEY = "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0000-4000-8000-000000000000"
OTHER = KEY.replace("0a1b", "ffff")
# All options together make every resource.
EVERYTHING = {"DbProxy": "true", "DbStandby": "true", "CloudFront": "true", "VpcFlowLogs": "true"}


def properties(name: str, **given: str) -> dict[str, Any]:
    known: dict[str, Any] = intrinsics(**EVERYTHING, **given).resolve(template()["Resources"][name]["Properties"])
    return known


@pytest.mark.parametrize("kind", ["AWS::Logs::LogGroup", "AWS::SecretsManager::Secret", "AWS::RDS::DBCluster"])
def test_what_is_made_is_encrypted_with_the_key(kind: str) -> None:
    assert resources(kind)
    for name in resources(kind):
        assert properties(name, KmsKeyArn=KEY)["KmsKeyId"] == KEY, name
        assert "KmsKeyId" not in properties(name), name


def test_the_owners_password_and_the_statements_of_the_database_are_too() -> None:
    assert properties("Database", KmsKeyArn=KEY)["MasterUserSecret"] == {"KmsKeyId": KEY}
    for instance in resources("AWS::RDS::DBInstance"):
        assert properties(instance, KmsKeyArn=KEY)["PerformanceInsightsKMSKeyId"] == KEY
        assert "PerformanceInsightsKMSKeyId" not in properties(instance)


@pytest.mark.parametrize(
    ("given", "keys"),
    [
        ({}, []),
        ({"KmsKeyArn": KEY}, [KEY]),
        ({"SecretsKmsKeyArn": OTHER}, [OTHER]),
        ({"KmsKeyArn": KEY, "SecretsKmsKeyArn": OTHER}, [OTHER, KEY]),
    ],
)
def test_functions_may_decrypt_secrets_with_the_keys_that_are_given(given: dict[str, str], keys: list[str]) -> None:
    found = [each for each in statements(_chosen("RequestPolicy", **given)) if each["Action"] == "kms:Decrypt"]
    assert [each["Resource"] for each in found] == ([keys] if keys else [])
    assert all("kms:ViaService" in dumped(each["Condition"]) for each in found)


def test_whoever_may_read_a_secret_may_decrypt_it() -> None:
    for name, role in resources("AWS::IAM::Role").items():
        attached = set(references(role["Properties"].get("ManagedPolicyArns", [])))
        documents = dumped(role["Properties"]) + "".join(
            dumped(template()["Resources"][each]["Properties"]) for each in attached & template()["Resources"].keys()
        )
        if "secretsmanager:GetSecretValue" in documents:
            assert "kms:Decrypt" in documents, name
            assert "RequestPolicy" in attached or name == "DatabaseProxyRole"


def test_flow_logs_are_made_where_they_are_wanted() -> None:
    flow = {"FlowLog", "FlowLogGroup", "FlowLogRole"}
    assert flow <= made(VpcFlowLogs="true")
    assert not flow & made()
    assert properties("FlowLog")["TrafficType"] == "ALL"


def _chosen(name: str, **given: str) -> Any:
    return properties(name, **given)["PolicyDocument"]
