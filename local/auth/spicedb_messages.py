"""SpiceDB's messages of relationships and filters, checked against the schema.

Raise NotOffered for features that this service lacks: caveats, expiry, id prefixes, relations of subjects.
"""

from __future__ import annotations

import re

from authzed.api.v1 import core_pb2 as core
from authzed.api.v1 import permission_service_pb2 as permissions

from local.auth import schema
from local.auth.errors import MalformedRequest, NotOffered
from local.auth.relationships import Relationship, RelationshipFilter

_OBJECT_ID = re.compile(r"[a-zA-Z0-9/_|\-=+]{1,1024}")


def read_relationship(message: core.Relationship) -> Relationship:
    """Return the relationship of a message. Raise MalformedRequest or NotInSchema."""
    if message.HasField("optional_caveat") or message.HasField("optional_expires_at"):
        raise NotOffered("caveats and expiry are not offered here")
    resource, subject = message.resource, message.subject.object
    check_ids(resource.object_id, subject.object_id)
    schema.check_relation(resource.object_type, message.relation)
    schema.check_object_type(subject.object_type)
    allowed = schema.subject_type_of(resource.object_type, message.relation)
    if subject.object_type != allowed or message.subject.optional_relation:
        raise MalformedRequest(f"subjects of this type are not allowed on relation `{message.relation}`")
    return Relationship(
        resource.object_type, resource.object_id, message.relation, subject.object_type, subject.object_id
    )


def read_filter(message: permissions.RelationshipFilter) -> RelationshipFilter:
    """Return the filter of a message. Its resource type may be empty, but not the whole filter."""
    subject = message.optional_subject_filter
    if message.optional_resource_id_prefix or subject.HasField("optional_relation"):
        raise NotOffered("filters by id prefix and by a subject's relation are not offered here")
    matching = RelationshipFilter(
        message.resource_type,
        message.optional_resource_id,
        message.optional_relation,
        subject.subject_type,
        subject.optional_subject_id,
    )
    if not any(matching):
        raise MalformedRequest("the relationship filter is empty")
    if message.HasField("optional_subject_filter") and not subject.subject_type:
        raise MalformedRequest("a subject filter needs a subject type")
    for object_type in filter(None, (matching.resource_type, matching.subject_type)):
        schema.check_object_type(object_type)
    if matching.resource_type and matching.relation:
        schema.check_relation(matching.resource_type, matching.relation)
    return matching


def as_message(relationship: Relationship) -> core.Relationship:
    """Return the message of a relationship."""
    return core.Relationship(
        resource=core.ObjectReference(object_type=relationship.resource_type, object_id=relationship.resource_id),
        relation=relationship.relation,
        subject=core.SubjectReference(
            object=core.ObjectReference(object_type=relationship.subject_type, object_id=relationship.subject_id)
        ),
    )


def check_ids(*object_ids: str) -> None:
    """Raise MalformedRequest for an id that SpiceDB refuses."""
    if not all(_OBJECT_ID.fullmatch(object_id) for object_id in object_ids):
        raise MalformedRequest("an object id is empty or has a character that ids cannot have")
