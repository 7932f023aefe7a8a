"""What the YAML may say of where things are kept: what outlives the process, and answers on their way."""

from __future__ import annotations

from pydantic import Field

from config.limits import AllowanceSettings
from config.retention import RetentionSettings
from config.units import Bytes, Strict


class SpoolSettings(Strict):
    """Where the bytes of answers wait until they are delivered."""

    memory: Bytes = Field(64 * 2**20, description="Bytes of answers kept in memory, over all requests.")
    max_answer: Bytes = Field(
        512 * 2**20, gt=0, description="One upstream answer; more is refused and recorded."
    )
    directory: str | None = Field(
        None, description="For answers beyond the memory budget; default: the system's temporary folder."
    )


class StorageSettings(Strict):
    """What outlives the process."""

    database: str = Field(
        "sqlite:///data/imagegate.db",
        description="The ledger: sqlite:///PATH or postgresql+asyncpg://…, or the env:NAME or file:PATH "
        "that holds it.",
    )
    quota: str = Field(
        "local",
        description="The counters of limits: local (in the process, rebuilt from the ledger at start), or "
        "for more than one replica redis://HOST:PORT/DB, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE or "
        "redis+cluster://HOST:PORT,HOST:PORT (rediss for TLS), or the env:NAME or file:PATH that holds that.",
    )
    allowance: AllowanceSettings = AllowanceSettings()
    media: str = Field(
        "file:data/media",
        description="Pictures that are answered as links: file:FOLDER, or s3://BUCKET/PREFIX for more than "
        "one replica (needs the extra imagegate[storage]; media.s3 says where and with which keys).",
    )
    retention: RetentionSettings = RetentionSettings()
    data: str = Field(
        "data",
        description="Folder for the lock file and the first key; the database, server.secret and the folder "
        "of media move with it unless they are set.",
    )
