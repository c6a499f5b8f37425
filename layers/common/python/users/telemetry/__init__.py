"""What operators see of the service: logs, metrics, spans, and one invocation as all three."""
