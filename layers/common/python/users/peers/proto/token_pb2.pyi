from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class IssueReq(_message.Message):
    __slots__ = ("user_id", "user_role", "type", "verified", "description")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ROLE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    user_role: int
    type: int
    verified: bool
    description: str
    def __init__(self, user_id: _Optional[str] = ..., user_role: _Optional[int] = ..., type: _Optional[int] = ..., verified: _Optional[bool] = ..., description: _Optional[str] = ...) -> None: ...

class RefreshReq(_message.Message):
    __slots__ = ("refresh_token", "verified")
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    refresh_token: str
    verified: bool
    def __init__(self, refresh_token: _Optional[str] = ..., verified: _Optional[bool] = ...) -> None: ...

class RevokeReq(_message.Message):
    __slots__ = ("token_id", "user_id")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    user_id: str
    def __init__(self, token_id: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class RevokeRes(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Token(_message.Message):
    __slots__ = ("access_token", "refresh_token", "access_type")
    ACCESS_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REFRESH_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ACCESS_TYPE_FIELD_NUMBER: _ClassVar[int]
    access_token: str
    refresh_token: str
    access_type: str
    def __init__(self, access_token: _Optional[str] = ..., refresh_token: _Optional[str] = ..., access_type: _Optional[str] = ...) -> None: ...

class ListUserRefreshTokensReq(_message.Message):
    __slots__ = ("user_id",)
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    def __init__(self, user_id: _Optional[str] = ...) -> None: ...

class RefreshToken(_message.Message):
    __slots__ = ("id", "description")
    ID_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    description: str
    def __init__(self, id: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class ListUserRefreshTokensRes(_message.Message):
    __slots__ = ("refresh_tokens",)
    REFRESH_TOKENS_FIELD_NUMBER: _ClassVar[int]
    refresh_tokens: _containers.RepeatedCompositeFieldContainer[RefreshToken]
    def __init__(self, refresh_tokens: _Optional[_Iterable[_Union[RefreshToken, _Mapping]]] = ...) -> None: ...
