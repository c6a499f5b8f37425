from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AuthNReq(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class AuthNRes(_message.Message):
    __slots__ = ("id", "user_id", "user_role", "verified", "token_type")
    ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ROLE_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    TOKEN_TYPE_FIELD_NUMBER: _ClassVar[int]
    id: str
    user_id: str
    user_role: int
    verified: bool
    token_type: int
    def __init__(self, id: _Optional[str] = ..., user_id: _Optional[str] = ..., user_role: _Optional[int] = ..., verified: _Optional[bool] = ..., token_type: _Optional[int] = ...) -> None: ...

class PolicyReq(_message.Message):
    __slots__ = ("domain", "subject_type", "subject_kind", "subject_relation", "subject", "relation", "permission", "object", "object_type")
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_KIND_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_RELATION_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    RELATION_FIELD_NUMBER: _ClassVar[int]
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    OBJECT_TYPE_FIELD_NUMBER: _ClassVar[int]
    domain: str
    subject_type: str
    subject_kind: str
    subject_relation: str
    subject: str
    relation: str
    permission: str
    object: str
    object_type: str
    def __init__(self, domain: _Optional[str] = ..., subject_type: _Optional[str] = ..., subject_kind: _Optional[str] = ..., subject_relation: _Optional[str] = ..., subject: _Optional[str] = ..., relation: _Optional[str] = ..., permission: _Optional[str] = ..., object: _Optional[str] = ..., object_type: _Optional[str] = ...) -> None: ...

class PATReq(_message.Message):
    __slots__ = ("pat_id", "domain", "operation", "user_id", "entity_id", "entity_type")
    PAT_ID_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPE_FIELD_NUMBER: _ClassVar[int]
    pat_id: str
    domain: str
    operation: str
    user_id: str
    entity_id: str
    entity_type: str
    def __init__(self, pat_id: _Optional[str] = ..., domain: _Optional[str] = ..., operation: _Optional[str] = ..., user_id: _Optional[str] = ..., entity_id: _Optional[str] = ..., entity_type: _Optional[str] = ...) -> None: ...

class AuthZReq(_message.Message):
    __slots__ = ("policy_req", "pat_req")
    POLICY_REQ_FIELD_NUMBER: _ClassVar[int]
    PAT_REQ_FIELD_NUMBER: _ClassVar[int]
    policy_req: PolicyReq
    pat_req: PATReq
    def __init__(self, policy_req: _Optional[_Union[PolicyReq, _Mapping]] = ..., pat_req: _Optional[_Union[PATReq, _Mapping]] = ...) -> None: ...

class AuthZRes(_message.Message):
    __slots__ = ("authorized", "id")
    AUTHORIZED_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    authorized: bool
    id: str
    def __init__(self, authorized: _Optional[bool] = ..., id: _Optional[str] = ...) -> None: ...
