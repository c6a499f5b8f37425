"""`python -m local.docs`: write openapi.yaml as the JSON that the function `openapi` serves."""

from local.docs.document import write

write()
