"""`python -m local.docs`: openapi.yaml as the JSON that a function serves, tables and picture of docs/."""

from local.docs import diagram, document, tables

document.write()
tables.write()
diagram.write()
