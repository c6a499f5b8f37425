"""A local API Gateway HTTP API and Lambda service, driven by a SAM template. README.md is the map."""
