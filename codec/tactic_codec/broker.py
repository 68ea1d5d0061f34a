"""``[mqtt]`` of a configuration file: where the broker is, and what it asks for.

The same for node, gateway and bridge. Nothing is connected here.
"""

from __future__ import annotations

import ssl
from typing import Self

from pydantic import Field, SecretStr, model_validator

from tactic_codec.config import LocalPath, Section
from tactic_codec.errors import ConfigError


class Tls(Section):
    """``[mqtt.tls]``: present means that the connection is encrypted.

    ``ca_file`` checks the broker (the system's authorities without it); ``cert_file`` and
    ``key_file`` say who connects.
    """

    ca_file: LocalPath | None = None
    cert_file: LocalPath | None = None
    key_file: LocalPath | None = None

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together; add the other")
        return self

    def context(self) -> ssl.SSLContext:
        """Load the certificates.

        Raises
        ------
        ConfigError
            One of the files is missing or is no certificate.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.cert_file and self.key_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as fault:
            files = (self.ca_file, self.cert_file, self.key_file)
            names = ", ".join(str(path) for path in files if path)
            raise ConfigError(
                f"{names}: {fault.strerror or fault}; correct the files in [mqtt.tls]"
            ) from fault
        return context


class Mqtt(Section):
    """``[mqtt]``: the broker."""

    host: str = Field(default="localhost", min_length=1)
    port: int = Field(default=1883, ge=1, le=65_535)
    user: str | None = None
    password: SecretStr | None = None
    password_file: LocalPath | None = None
    root: str = Field(default="tactic/v1", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$")
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    tls: Tls | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password and self.password_file:
            raise ValueError("password and password_file exclude each other; remove one")
        if (self.password or self.password_file) and not self.user:
            raise ValueError("a password without a user; add user")
        return self

    def secret(self) -> str | None:
        """Return the password, from wherever it is kept.

        Raises
        ------
        ConfigError
            The password file cannot be read.
        """
        if self.password_file is None:
            return self.password.get_secret_value() if self.password else None
        try:
            return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as fault:
            raise ConfigError(
                f"{self.password_file}: password file cannot be read; "
                "correct mqtt.password_file or its permissions"
            ) from fault
