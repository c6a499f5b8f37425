"""EventBridge as a process (moto's server), with a bus whose events arrive in a queue to be read."""

import json
from typing import Any
from uuid import uuid4

from tests.aws_server import AwsServer


class EventBridgeServer(AwsServer):
    """EventBridge and SQS on a free port."""

    name = "eventbridge"

    def make_bus(self) -> "Bus":
        """A bus of its own, all of whose events are put into a queue of its own."""
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
    """An event bus and the queue in which its events arrive."""

    def __init__(self, name: str, queues: Any, queue: str) -> None:
        self.name = name
        self._queues = queues
        self._queue = queue

    def events(self) -> list[dict[str, Any]]:
        """The events that arrived since the last call, as a target gets them, by their sequence."""
        found: list[dict[str, Any]] = []
        while messages := self._queues.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                self._queues.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        return sorted(found, key=lambda event: event["detail"]["sequence"])
