"""Generated messages. The ``.proto`` files beside them are the source (``make generate``)."""
