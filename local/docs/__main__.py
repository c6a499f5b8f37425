"""`python -m local.docs`: openapi.yaml as the JSON that a function serves, tables and picture of docs/, viewer."""

from local.docs import diagram, document, tables, viewer

document.write()
tables.write()
diagram.write()
viewer.write()
