"""EventBridge as a process (moto's server), with a bus whose events arrive in a queue for the tests."""

import json
from typing import Any
from uuid import uuid4

from tests.aws_server import AwsServer


class EventBridgeServer(AwsServer):
    """EventBridge and SQS on a free port."""

    name = "eventbridge"

    def make_bus(self) -> "Bus":
        """Make a new bus that puts all events into a new queue."""
        name = f"users-{uuid4().hex[:8]}"
        events, queues = self.client("events"), self.client("sqs")
        events.create_event_bus(Name=name)
        queue = queues.create_queue(QueueName=name)["QueueUrl"]
        arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        pattern = json.dumps({"source": ["magistrala.users"]})
        events.put_rule(Name="all", EventBusName=name, EventPattern=pattern)
        events.put_targets(Rule="all", EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])
        return Bus(name, queues, queue)


class Bus:
    """An event bus and the queue that receives its events."""

    def __init__(self, name: str, queues: Any, queue: str) -> None:
        self.name = name
        self._queues = queues
        self._queue = queue

    def events(self) -> list[dict[str, Any]]:
        """Return the events that arrived since the last call, as a target receives them, in their sequence."""
        found: list[dict[str, Any]] = []
        while messages := self._queues.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self._queues.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return sorted(found, key=lambda event: event["detail"]["sequence"])
