"""What the broker asks for: password and certificates."""

from __future__ import annotations

import ssl

from tactic_codec.errors import ConfigError
from tactic_gateway.config import Mqtt, Tls


def read_password(config: Mqtt) -> str | None:
    """The password, from wherever it is kept.

    Raises
    ------
    ConfigError
        The password file cannot be read.
    """
    if config.password_file is None:
        return config.password
    try:
        return config.password_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(
            f"{config.password_file}: {fault}; correct [mqtt] password_file"
        ) from fault


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Load the certificates.

    Raises
    ------
    ConfigError
        One of the files is missing or is no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as fault:
        raise ConfigError(f"{fault}; correct the files in [mqtt.tls]") from fault
    return context
