"""`python -m local.docs`: write openapi.json, the tables and the picture of docs/, and the viewer's files."""

from local.docs import diagram, document, tables, viewer

document.write()
tables.write()
diagram.write()
viewer.write()
