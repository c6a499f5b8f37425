"""The monolith's requests for cold_start.py."""

import json
from typing import Any

import psycopg
from emulator import Code, Emulator
from people import ROOT, SECRET, Event, new_name, registration


class Monolith:
    """Makes the monolith's requests by their kind."""

    def __init__(self, code: Code, conninfo: str) -> None:
        self._connection = psycopg.connect(conninfo, autocommit=True)
        self._emulator = Emulator(code)

    def close(self) -> None:
        """End the environment that makes accounts."""
        self._emulator.__exit__()

    def event(self, kind: str) -> Event:
        """Return a request that succeeds."""
        account = {**registration(), "username": new_name(), "password": SECRET}
        if kind == "register":
            return _request("POST", "/auth/register", account)
        if kind == "health":
            return _request("GET", "/health")
        self._call(_request("POST", "/auth/register", account))
        self._connection.execute("UPDATE users SET is_superuser = true WHERE email = %s", [account["email"]])
        form = f"username={account['email'].replace('@', '%40')}&password={SECRET.replace(' ', '+')}"
        login = _request("POST", "/auth/jwt/login") | {"body": form}
        login["headers"] = {"content-type": "application/x-www-form-urlencoded"}
        if kind == "login":
            return login
        token = json.loads(self._call(login)["body"])["access_token"]
        return {
            "profile": _request("GET", "/users/me", token=token),
            "list": _request("GET", "/users", token=token, query="limit=10"),
            "search": _request("GET", "/users/search", token=token, query="username=john"),
            "change": _request("PATCH", "/users/me", {"first_name": "Jane"}, token=token),
        }[kind]

    def _call(self, event: Event) -> Any:
        answer = self._emulator.invoke(event)
        if answer.get("statusCode", 500) >= 300:
            raise RuntimeError(f"the monolith answers {answer}")
        return answer


def _request(method: str, path: str, body: object = None, *, token: str = "", query: str = "") -> Event:
    """Return an event for the monolith."""
    event: Event = json.loads((ROOT / "events" / "view_profile.json").read_text())
    event |= {"rawPath": path, "rawQueryString": query, "routeKey": "$default"}
    event["requestContext"]["http"] |= {"method": method, "path": path}
    event["headers"] = {"authorization": f"Bearer {token}"} if token else {}
    if body is not None:
        event["headers"]["content-type"] = "application/json"
        event["body"] = json.dumps(body)
    return event
