"""The channel that publishes events to Amazon EventBridge.

An entry's ``Source`` is ``magistrala.users``, its ``DetailType`` the operation (``user.create``), its ``Time`` the time
of the change. ``Detail`` is the payload of contract §7.2 with two more keys: ``event_id`` for deduplication, and
``sequence``, which grows with each event. EventBridge may deliver an event twice, and keeps no order.
"""

import math
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError

from background.delivery.event_size import as_json, fitted
from background.delivery.ports import DestinationUnavailable, Outcome, Row
from users.settings import WrongSettings
from users.telemetry.log import logger

_SOURCE = "magistrala.users"
_ENTRIES = 10  # of one call, at most
_TOO_LARGE = 256 * 1024  # bytes: the entries of a call together must be smaller
_TIME_SIZE = 14  # bytes, which EventBridge counts for an entry's time
_BUS = re.compile(r"[/.\-_A-Za-z0-9:]{1,1600}")  # a name or an ARN
# Error codes of single entries whose content is wrong.
_REFUSALS = {"InvalidArgument", "MalformedDetail"}
# Calls at the same time. EventBridge accepts hundreds a second in its smallest regions.
_CALLS = 16
_CONFIG = Config(
    connect_timeout=2,
    read_timeout=3,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=_CALLS,
)
_BUS_IS_KNOWN = 60.0  # seconds between two checks that the bus exists
# Error codes of single entries that are worth retrying, and the pauses in seconds between tries.
_PASSING = {"ThrottlingException", "InternalFailure", "InternalException"}
_PAUSES = (0.1, 0.5, 0.0)


Entries = list[tuple[Row, dict[str, Any]]]


class EventBridgeChannel:
    """An event bus, in the region and with the credentials of the function.

    A group has at most one row of an account, so its calls may run at the same time and the order does not matter.
    """

    batch = 500
    group = _CALLS * _ENTRIES

    def __init__(self, url: str) -> None:
        """Parse ``eventbridge://`` and the bus' name or ARN. ``AWS_ENDPOINT_URL_EVENTBRIDGE`` may point elsewhere."""
        self._bus = url.removeprefix("eventbridge://")
        if not _BUS.fullmatch(self._bus):
            raise WrongSettings("MG_USERS_ES_URL: eventbridge:// must be followed by an event bus' name or ARN")
        try:
            self._client: Any = boto3.client("events", config=_CONFIG)
        except NoRegionError as error:
            raise WrongSettings("MG_USERS_ES_URL: eventbridge:// needs a region: set AWS_REGION") from error
        self._looked_at = -math.inf
        self._calls = ThreadPoolExecutor(_CALLS, thread_name_prefix="put-events")

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Put the rows in as few calls as possible. Refuse an entry that is too large, and put the others."""
        self._find_bus()
        calls: list[Entries] = [[]]
        total = 0
        for row in rows:
            entry, size = self._fitting(row)
            if size >= _TOO_LARGE:
                yield Outcome(row, f"the event is larger than EventBridge takes: {size} bytes")
                continue
            if total + size >= _TOO_LARGE or len(calls[-1]) == _ENTRIES:
                calls.append([])
                total = 0
            calls[-1].append((row, entry))
            total += size
        failures: list[DestinationUnavailable] = []
        for outcomes, failure in self._calls.map(self._put, calls):
            yield from outcomes
            failures += [failure] if failure else []
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Close the connections."""
        self._calls.shutdown()
        self._client.close()

    def _fitting(self, row: Row) -> tuple[dict[str, Any], int]:
        """Return the row's entry and its size. Leave out large values that do not fit."""
        entry = _entry(row, self._bus)
        size = _size(entry)
        if size >= _TOO_LARGE:
            room = _TOO_LARGE - 1 - (size - len(entry["Detail"].encode()))
            entry = _entry(row, self._bus, most_bytes=room)
            size = _size(entry)
        return entry, size

    def _find_bus(self) -> None:
        """Check now and then that the bus exists. EventBridge accepts events for a missing bus, and drops them."""
        if time.monotonic() < self._looked_at + _BUS_IS_KNOWN:
            return
        try:
            self._client.describe_event_bus(Name=self._bus)
        except ClientError as error:
            if _code(error) == "ResourceNotFoundException":
                raise self._unavailable(_code(error)) from error
            # A role that may not describe the bus may still put events, into another account's bus for instance.
            logger.warning("event bus not looked at", cause=_code(error))
        except BotoCoreError as error:
            raise DestinationUnavailable(f"EventBridge: {type(error).__name__}") from error
        self._looked_at = time.monotonic()

    def _put(self, entries: Entries) -> tuple[list[Outcome], DestinationUnavailable | None]:
        """Put entries that fit into one call. Return the outcomes, and the error if some entries have none."""
        outcomes: list[Outcome] = []
        try:
            for outcome in self._put_again(entries):
                outcomes.append(outcome)  # noqa: PERF402 -- outcomes before an error count
        except DestinationUnavailable as error:
            return outcomes, error
        return outcomes, None

    def _put_again(self, entries: Entries) -> Iterator[Outcome]:
        """Put entries. Put an entry again when it failed for a reason outside it."""
        for pause in _PAUSES:
            failed: Entries = []
            codes: set[str] = set()
            for (row, entry), result in zip(entries, self._call(entries) if entries else (), strict=True):
                code = result.get("ErrorCode", "")
                if code and code not in _REFUSALS:
                    failed.append((row, entry))
                    codes.add(code)
                else:
                    yield Outcome(row, code)
            if not failed:
                return
            if not codes <= _PASSING:
                break
            time.sleep(pause)
            entries = failed
        raise self._unavailable(sorted(codes - _PASSING or codes)[0])

    def _call(self, entries: Entries) -> list[dict[str, Any]]:
        """Put entries by one call. Return the results in the order of the entries."""
        try:
            answer = self._client.put_events(Entries=[entry for _, entry in entries])
        except ClientError as error:
            if _code(error) != "ValidationException":
                raise self._unavailable(_code(error)) from error
            # The error does not name the wrong entry, so each entry is put alone.
            if len(entries) > 1:
                return [result for entry in entries for result in self._call([entry])]
            return [{"ErrorCode": "InvalidArgument"}]
        except BotoCoreError as error:
            raise DestinationUnavailable(f"EventBridge: {type(error).__name__}") from error
        results: list[dict[str, Any]] = answer["Entries"]
        return results

    def _unavailable(self, code: str) -> DestinationUnavailable:
        """Return an error with EventBridge's code, and with the operator's next step where that is clear."""
        advice = {
            "ResourceNotFoundException": f"there is no event bus {self._bus}: make it, or set MG_USERS_ES_URL",
            "AccessDeniedException": f"the function's role must allow events:PutEvents on the event bus {self._bus}",
        }
        return DestinationUnavailable(f"EventBridge: {code}" + (f": {advice[code]}" if code in advice else ""))


def _entry(row: Row, bus: str, *, most_bytes: int = _TOO_LARGE) -> dict[str, Any]:
    """Return the row as an entry of PutEvents. Leave large values out of a detail of more than ``most_bytes``."""
    detail = fitted({**row.payload, "event_id": row.id, "sequence": row.seq}, most_bytes)
    entry: dict[str, Any] = {
        "EventBusName": bus,
        "Source": _SOURCE,
        "DetailType": row.name,
        "Detail": as_json(detail).decode(),
    }
    if occurred_at := row.payload.get("occurred_at"):
        entry["Time"] = datetime.fromtimestamp(occurred_at / 1e9, UTC)
    return entry


def _size(entry: dict[str, Any]) -> int:
    """Return the bytes of an entry as EventBridge counts them (guide, "Calculating PutEvents event entry size")."""
    texts = (entry["Source"], entry["DetailType"], entry["Detail"])
    return sum(len(text.encode()) for text in texts) + (_TIME_SIZE if "Time" in entry else 0)


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])
