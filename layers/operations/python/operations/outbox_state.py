"""The state of the outbox, for the operator's command line."""

from operations.outbox_administration import ChannelState, OutboxState, outbox_state

__all__ = ["ChannelState", "OutboxState", "outbox_state"]
