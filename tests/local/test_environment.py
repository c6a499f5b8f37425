"""The configuration of the functions in `make run`."""

import json
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from local import environment, install, ports
from local.gateway.environments.variables import function_variables
from local.gateway.settings import read_settings
from local.gateway.template import read_stack
from local.private_files import kept_secret
from users.settings import Settings

PORTS = ports.read({})


def functions(user: dict[str, str], local: Path, socket_dir: str | None = "/sockets") -> dict[str, str]:
    parts = environment.parts_wanted(user, ports.read(user))
    return environment.functions_environment(user, parts, ports.read(user), socket_dir, local)


def test_everything_runs_here_by_default(tmp_path: Path) -> None:
    found = functions({}, tmp_path)
    assert found["MG_USERS_DB_HOST"] == "/sockets"
    assert found["MG_USERS_DB_NAME"] == "users"
    assert found["MG_AUTH_GRPC_URL"] == "127.0.0.1:8181"
    assert found["MG_AUTH_JWKS_URL"] == "http://127.0.0.1:9001/keys/.well-known/jwks.json"
    assert found["MG_SPICEDB_HOST"] == "127.0.0.1"
    assert found["MG_USERS_ES_URL"] == "nats://127.0.0.1:4222"
    assert found["AWS_ENDPOINT_URL_SESV2"] == "http://127.0.0.1:8005"
    assert found["MG_ALLOW_UNVERIFIED_USER"] == "true"
    assert found["MG_PASSWORD_RESET_URL_PREFIX"] == "http://localhost:9002/password/reset"
    assert found["MG_VERIFICATION_URL_PREFIX"] == "http://localhost:9002/verify-email"
    assert "MG_LOCAL_RIE" not in found


def test_pages_of_this_machine_may_call(tmp_path: Path) -> None:
    """A front end may be developed on any port. The parameter CorsAllowOrigins replaces these origins."""
    origins = json.loads(functions({}, tmp_path)["MG_LOCAL_PARAMETERS"])["CorsAllowOrigins"]
    assert origins.split(",") == ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"]
    named = {"MG_LOCAL_PARAMETERS": '{"CorsAllowOrigins": "https://ui.example.com"}'}
    assert json.loads(functions(named, tmp_path)["MG_LOCAL_PARAMETERS"])["CorsAllowOrigins"] == "https://ui.example.com"


def test_the_functions_role_is_not_the_owner_of_the_bundled_database(tmp_path: Path) -> None:
    found = functions({}, tmp_path)
    assert (found["MG_USERS_DB_USER"], found["MG_USERS_DB_OWNER"]) == ("magistrala_functions", "magistrala")


def test_the_bundled_database_has_passwords_that_nobody_knows(tmp_path: Path) -> None:
    """It also listens on 127.0.0.1, which every user of the machine can reach."""
    found = functions({"MG_LOCAL_POSTGRES_PORT": "15434"}, tmp_path)
    assert found["MG_USERS_DB_PORT"] == "15434"
    passwords = {found["MG_USERS_DB_PASS"], found["MG_USERS_DB_OWNER_PASS"]}
    assert len(passwords) == 2
    assert min(map(len, passwords)) >= 32
    assert functions({}, tmp_path)["MG_USERS_DB_PASS"] == found["MG_USERS_DB_PASS"]
    assert [path.name for path in tmp_path.iterdir() if path.stat().st_mode & 0o077] == []


def test_another_database_has_the_roles_of_the_variables(tmp_path: Path) -> None:
    """The roles of a stack's own database do not replace them."""
    found = functions({"MG_USERS_DB_HOST": "db.example.com"}, tmp_path, None)
    assert (found["MG_USERS_DB_USER"], found["MG_USERS_DB_OWNER"]) == ("magistrala", "")
    user = {"MG_USERS_DB_HOST": "db.example.com", "MG_USERS_DB_USER": "f", "MG_USERS_DB_OWNER": "o"}
    found = functions(user, tmp_path, None)
    assert (found["MG_USERS_DB_USER"], found["MG_USERS_DB_OWNER"]) == ("f", "o")


def test_a_free_port_reaches_the_functions(tmp_path: Path) -> None:
    found = functions({"MG_SPICEDB_PORT": "0"}, tmp_path)
    assert int(found["MG_SPICEDB_PORT"]) > 0
    assert found["MG_AUTH_GRPC_PORT"] == "8181"


def test_the_users_variables_win(tmp_path: Path) -> None:
    user = {"MG_ALLOW_UNVERIFIED_USER": "false", "MG_USERS_SECRET_KEY": "mine", "MG_SPICEDB_HOST": "", "PATH": "/bin"}
    found = functions(user, tmp_path)
    assert found["MG_ALLOW_UNVERIFIED_USER"] == "false"
    assert found["MG_USERS_SECRET_KEY"] == "mine"
    assert found["MG_SPICEDB_HOST"] == "127.0.0.1"
    assert found["PATH"] == "/bin"


@pytest.mark.parametrize(
    ("user", "part"),
    [
        ({"MG_USERS_DB_HOST": "db.example.com"}, "database"),
        ({"MG_USERS_DB_NAME": "other"}, "database"),
        ({"MG_AUTH_GRPC_URL": "auth.example.com:8181"}, "auth"),
        ({"MG_USERS_ES_URL": "nats://events.example.com:4222"}, "events"),
        ({"MG_ES_URL": "nats://events.example.com:4222"}, "events"),
        ({"MG_USERS_ES_URL": "eventbridge://users"}, "events"),
        ({"AWS_ENDPOINT_URL_SESV2": "http://mail.example.com"}, "mail"),
    ],
)
def test_a_part_that_is_elsewhere_does_not_run_here(user: dict[str, str], part: str) -> None:
    wanted = environment.parts_wanted(user, PORTS)
    assert [name for name, runs in vars(wanted).items() if not runs] == [part]


def test_naming_the_local_address_keeps_the_part() -> None:
    user = {
        "MG_AUTH_GRPC_URL": "localhost:8181",
        "MG_USERS_ES_URL": "nats://localhost:4222",
        "AWS_ENDPOINT_URL_SESV2": "http://localhost:8005/",
    }
    assert all(vars(environment.parts_wanted(user, PORTS)).values())


@pytest.mark.long
@pytest.mark.parametrize(
    ("interval", "seconds"), [("5s", 5.0), ("1h30m", 5400.0), ("10ms", 1.0), ("soon", 86400.0), ("", 86400.0)]
)
def test_the_interval_of_removals_is_a_schedule_of_the_template(interval: str, seconds: float, tmp_path: Path) -> None:
    found = functions({"MG_USERS_DELETE_INTERVAL": interval}, tmp_path)
    parameters = read_settings(found).parameters
    stack = read_stack(install.ROOT / "template.yaml", region="eu-central-1", parameters=parameters)
    periods = {schedule.function: schedule.period for schedule in stack.schedules}
    assert periods["SweepAccountsFunction"] == seconds


def test_another_auth_brings_its_own_keys_and_relations(tmp_path: Path) -> None:
    found = functions({"MG_AUTH_GRPC_URL": "auth.example.com:8181"}, tmp_path)
    assert "MG_AUTH_JWKS_URL" not in found
    assert "MG_SPICEDB_HOST" not in found


def test_an_external_database_is_left_as_the_user_names_it(tmp_path: Path) -> None:
    user = {"MG_USERS_DB_HOST": "db.example.com", "MG_USERS_DB_PASS": "it's", "MG_USERS_DB_SSL_ROOT_CERT": "/ca.pem"}
    found = functions(user, tmp_path, socket_dir=None)
    expected = {
        **user,
        "MG_USERS_DB_SSL_MODE": "disable",
        "MG_USERS_DB_USER": "magistrala",  # the default, and not the template's
        "MG_USERS_DB_OWNER": "",
    }
    assert {name: value for name, value in found.items() if name.startswith("MG_USERS_DB_")} == expected
    assert conninfo_to_dict(environment.external_database(user)) == {
        "host": "db.example.com",
        "port": "5432",
        "user": "magistrala",
        "password": "it's",
        "dbname": "users",
        "sslmode": "disable",
        "sslrootcert": "/ca.pem",
    }


# The variables that `make run` sets itself, as docs/configuration.md lists them.
SET_HERE = {
    "MG_ALLOW_UNVERIFIED_USER",
    "MG_EMAIL_FROM_ADDRESS",
    "MG_PASSWORD_RESET_URL_PREFIX",
    "MG_USERS_SECRET_KEY",
    "MG_VERIFICATION_URL_PREFIX",
}


def test_what_nobody_sets_has_its_documented_default_in_every_function(tmp_path: Path) -> None:
    """The template's defaults are for AWS. With them, a person's server without TLS or on port 25 cannot be reached."""
    user = {
        "MG_USERS_DB_HOST": "db.example.com",
        "MG_AUTH_GRPC_URL": "auth.example.com:8181",
        "MG_USERS_ES_URL": "nats://events.example.com:4222",
        "AWS_ENDPOINT_URL_SESV2": "http://mail.example.com",
        "MG_EMAIL_HOST": "mail.example.com",
    }
    found = functions(user, tmp_path, socket_dir=None)
    stack = read_stack(
        install.ROOT / "template.yaml", region="eu-central-1", parameters=read_settings(found).parameters
    )
    defaults = {variable.name: variable.default for variable in Settings.variables()}
    assert stack.functions
    for function in stack.functions.values():
        seen = function_variables(function, stack, found, "http://127.0.0.1:9003")
        settings = {name: value for name, value in seen.items() if name in defaults.keys() - user.keys() - SET_HERE}
        assert settings == {name: defaults[name] for name in settings}, function.logical_id


@pytest.mark.parametrize(
    ("user", "url"),
    [
        ({}, "http://localhost:9002"),
        ({"MG_USERS_HTTP_HOST": "0.0.0.0", "MG_USERS_HTTP_PORT": "80"}, "http://localhost:80"),
        ({"MG_USERS_HTTP_HOST": "::1"}, "http://[::1]:9002"),
        ({"MG_USERS_HTTP_SERVER_CERT": "c", "MG_USERS_HTTP_SERVER_KEY": "k"}, "https://localhost:9002"),
        ({"MG_USERS_HTTP_SERVER_CERT": "c"}, "http://localhost:9002"),
    ],
)
def test_the_address_of_the_api(user: dict[str, str], url: str) -> None:
    assert environment.base_url(user, ports.read(user)) == url


def test_a_secret_is_kept_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    secret = kept_secret(path)
    assert len(secret) >= 32
    assert kept_secret(path) == secret
    assert kept_secret(tmp_path / "another") != secret
    assert path.stat().st_mode & 0o777 == 0o600
