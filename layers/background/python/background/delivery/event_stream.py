"""Publishing events where ``MG_USERS_ES_URL`` says, by its scheme (contract §7.1)."""

from background.delivery.ports import Channel
from users.settings import WrongSettings, settings

_ALLOWED = "nats://host:port or tls://host:port (NATS JetStream), or eventbridge://<event bus>"
# What upstream can be built for as well; its installations may still name them.
_UPSTREAMS = {"amqp": "FluxMQ", "amqps": "FluxMQ", "redis": "Redis", "rediss": "Redis"}


def event_channel() -> Channel:
    """The channel of the configured event store; WrongSettings for a scheme that there is none for."""
    url = settings().es_url
    scheme = url.partition("://")[0]
    if scheme in {"nats", "tls"}:
        from background.delivery.nats_stream import NatsChannel  # each way's client only when needed

        return NatsChannel(url)
    if scheme == "eventbridge":
        from background.delivery.event_bridge import EventBridgeChannel

        return EventBridgeChannel(url)
    if scheme in _UPSTREAMS:
        raise WrongSettings(
            f"MG_USERS_ES_URL: events are not published to {_UPSTREAMS[scheme]} any more; set {_ALLOWED}"
        )
    raise WrongSettings(f"MG_USERS_ES_URL: must be {_ALLOWED}")
