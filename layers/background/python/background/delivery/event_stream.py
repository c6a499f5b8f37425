"""The choice of the channel for events, by the scheme of ``MG_USERS_ES_URL`` (contract §7.1)."""

from background.delivery.ports import Channel
from users.settings import WrongSettings, settings

_ALLOWED = "nats://host:port or tls://host:port (NATS JetStream), or eventbridge://<event bus>"
# Further event stores of upstream, which a configuration from upstream may name.
_UPSTREAM_STORES = {"amqp": "FluxMQ", "amqps": "FluxMQ", "redis": "Redis", "rediss": "Redis"}


def event_channel() -> Channel:
    """Return the channel of the configured event store. WrongSettings for an unknown scheme."""
    url = settings().es_url
    scheme = url.partition("://")[0]
    if scheme in {"nats", "tls"}:
        from background.delivery.nats_stream import NatsChannel  # import only the client that is used

        return NatsChannel(url)
    if scheme == "eventbridge":
        from background.delivery.event_bridge import EventBridgeChannel

        return EventBridgeChannel(url)
    if scheme in _UPSTREAM_STORES:
        raise WrongSettings(
            f"MG_USERS_ES_URL: events are not published to {_UPSTREAM_STORES[scheme]} any more; set {_ALLOWED}"
        )
    raise WrongSettings(f"MG_USERS_ES_URL: must be {_ALLOWED}")
