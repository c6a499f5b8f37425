"""The media type of a header. It distinguishes a program's request from a browser's form (contract §1.2)."""


def is_json(value: str) -> bool:
    """Return whether a header names ``application/json``, with or without parameters, in any letter case (RFC 9110).

    A header that came twice names no type: API Gateway joins the two by a comma.
    """
    media_type, _, parameters = value.partition(";")
    return media_type.strip(" \t").lower() == "application/json" and "," not in parameters
