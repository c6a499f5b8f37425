"""Read delivered messages at their destinations: the store of the SES endpoint and the JetStream stream."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

from background.delivery.proto.messaging_pb2 import Message


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in the store of the SES endpoint."""

    sender: str
    to: list[str]
    subject: str
    text: str
    html: str

    @property
    def link(self) -> str:
        """Return the link in the text part."""
        found = re.search(r"^https?://\S+$", self.text, re.MULTILINE)
        assert found, self.text
        return found[0]

    @property
    def token(self) -> str:
        """Return the one-time token of the link."""
        return self.link.partition("token=")[2]


@dataclass(frozen=True, slots=True)
class Event:
    """An event as a consumer of the stream receives it."""

    subject: str
    message_id: str
    payload: dict[str, Any]


def mails_to(url: str, address: str) -> list[Mail]:
    """Return the mails that were sent to an address, in order."""
    with urlopen(f"{url}/store") as answer:
        stored = json.load(answer)["emails"]
    return [
        Mail(mail["from"], mail["destination"]["to"], mail["subject"], mail["body"]["text"], mail["body"]["html"])
        for mail in stored
        if address in mail["destination"]["to"]
    ]


def events(url: str) -> list[Event]:
    """Return every event in the stream, in order, read by a new consumer."""
    return asyncio.run(_consume(url))


async def _consume(url: str) -> list[Event]:
    client = await nats.connect(url)
    try:
        stream = client.jetstream()
        config = ConsumerConfig(deliver_policy=DeliverPolicy.ALL, inactive_threshold=5)
        consumer = await stream.pull_subscribe("events.>", stream="events", config=config)
        left = (await consumer.consumer_info()).num_pending or 0
        found: list[Event] = []
        while left > len(found):
            for message in await consumer.fetch(min(left - len(found), 200), timeout=5):
                envelope = Message.FromString(message.data)
                assert envelope == Message(payload=envelope.payload), "only the payload is set"
                headers = message.headers or {}
                found.append(Event(message.subject, headers["Nats-Msg-Id"], json.loads(envelope.payload)))
                await message.ack()
        return found
    finally:
        await client.close()
