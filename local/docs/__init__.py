"""Writes the generated files: the API's description for the functions, and parts of docs/."""
