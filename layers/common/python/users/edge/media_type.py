"""The media type of a header, by which requests are told from those of a browser's form (contract §1.2)."""


def is_json(value: str) -> bool:
    """Whether a header names ``application/json``, with or without parameters; letter case does not count (RFC 9110).

    A header that came twice names none: API Gateway joins the two by a comma.
    """
    media_type, _, parameters = value.partition(";")
    return media_type.strip(" \t").lower() == "application/json" and "," not in parameters
