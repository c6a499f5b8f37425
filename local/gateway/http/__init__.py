"""The HTTP API and the Lambda Invoke API, as ASGI applications."""
