"""The same kind of service as its usual monolith: FastAPI, Mangum, SQLAlchemy and fastapi-users, on PostgreSQL.

fastapi-users' own routers serve registration, login, the own profile and its change, on its own table with an account's
usual fields. Lists and the profiles of others follow its documentation. argon2id hashes passwords with our parameters.
``DATABASE_URL`` is the database, ``SECRET`` the key of the tokens.
"""

import os
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users.password import PasswordHelper
from mangum import Mangum
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic import Field
from sqlalchemy import DateTime, String, func, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(os.environ["DATABASE_URL"])
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """Base of the tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """An account."""

    __tablename__ = "users"

    username: Mapped[str] = mapped_column(String(254), unique=True)
    first_name: Mapped[str] = mapped_column(String(254), default="")
    last_name: Mapped[str] = mapped_column(String(254), default="")
    tags: Mapped[list[str]] = mapped_column(ARRAY(String), default=list)
    details: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=lambda: datetime.now(UTC), index=True)


class UserRead(schemas.BaseUser[uuid.UUID]):
    """An account in an answer."""

    username: str
    first_name: str
    last_name: str
    tags: list[str]
    details: dict[str, Any]
    created_at: datetime


class UserCreate(schemas.BaseUserCreate):
    """The body of a registration."""

    username: str = Field(min_length=3, max_length=254)
    first_name: str = Field(default="", max_length=254)
    last_name: str = Field(default="", max_length=254)
    tags: list[str] = Field(default_factory=list)
    details: dict[str, Any] = Field(default_factory=dict)


class UserUpdate(schemas.BaseUserUpdate):
    """The body of a change."""

    username: str | None = Field(default=None, min_length=3, max_length=254)
    first_name: str | None = Field(default=None, max_length=254)
    last_name: str | None = Field(default=None, max_length=254)
    tags: list[str] | None = None
    details: dict[str, Any] | None = None


class Page(schemas.BaseModel):
    """A page of accounts."""

    total: int
    offset: int
    limit: int
    users: list[UserRead]


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """The logic of fastapi-users."""

    reset_password_token_secret = os.environ["SECRET"]
    verification_token_secret = os.environ["SECRET"]


async def session() -> AsyncIterator[AsyncSession]:
    """Yield a session for a request."""
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


async def user_manager(opened: Session) -> AsyncIterator[UserManager]:
    """Yield the logic on a request's session, with argon2id of 19 MiB, 2 passes and 1 lane."""
    hasher = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19456, parallelism=1),))
    yield UserManager(SQLAlchemyUserDatabase(opened, User), PasswordHelper(hasher))


def strategy() -> JWTStrategy[User, uuid.UUID]:
    """Make access tokens for an hour."""
    return JWTStrategy(secret=os.environ["SECRET"], lifetime_seconds=3600)


backend = AuthenticationBackend("jwt", BearerTransport("auth/jwt/login"), strategy)
users = FastAPIUsers[User, uuid.UUID](user_manager, [backend])
Administrator = Annotated[User, Depends(users.current_user(active=True, superuser=True))]

app = FastAPI(title="users")
app.include_router(users.get_auth_router(backend), prefix="/auth/jwt", tags=["auth"])
app.include_router(users.get_register_router(UserRead, UserCreate), prefix="/auth", tags=["auth"])
app.include_router(users.get_reset_password_router(), prefix="/auth", tags=["auth"])
app.include_router(users.get_verify_router(UserRead), prefix="/auth", tags=["auth"])


@app.get("/users", tags=["users"])
async def list_users(_: Administrator, opened: Session, offset: int = 0, limit: int = 10) -> Page:
    """Return a page of accounts, the newest first."""
    total = await opened.scalar(select(func.count()).select_from(User))
    found = await opened.scalars(select(User).order_by(User.created_at.desc()).offset(offset).limit(limit))
    return Page(total=total or 0, offset=offset, limit=limit, users=[UserRead.model_validate(user) for user in found])


@app.get("/users/search", tags=["users"])
async def search_users(
    _: Annotated[User, Depends(users.current_user(active=True))], opened: Session, username: str, limit: int = 10
) -> Page:
    """Return accounts by a part of their username."""
    if len(username) < 3:
        raise HTTPException(400, "too short")
    found = await opened.scalars(select(User).where(User.username.contains(username)).limit(limit))
    accounts = [UserRead.model_validate(user) for user in found]
    return Page(total=len(accounts), offset=0, limit=limit, users=accounts)


app.include_router(users.get_users_router(UserRead, UserUpdate), prefix="/users", tags=["users"])


@app.get("/health")
async def health() -> dict[str, str]:
    """Return that the service works."""
    return {"status": "pass"}


lambda_handler = Mangum(app, lifespan="off")


async def create_tables() -> None:
    """Make the tables in an empty database."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
