"""Generated messages; the ``.proto`` files beside them are the source (``make generate``)."""
