"""A certificate authority of one's own, for one broker and those who connect to it.

Certificates are valid from 1970 on, whenever they are made: a camera without a clock that is right
starts in the past, and would otherwise refuse its broker.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from tactic.trust.keys import write_secret
from tactic_codec.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import (
        Certificate,
        CertificateBuilder,
        ExtendedKeyUsage,
        GeneralName,
        KeyUsage,
        Name,
        SubjectAlternativeName,
    )

BEGIN = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(2050, 1, 1, tzinfo=UTC)
CERTIFICATE, KEY = "ca.pem", "ca.key"


class Authority:
    """A CA in a folder: ``ca.pem``, which everybody gets, and ``ca.key``, which nobody gets."""

    def __init__(self, private: EllipticCurvePrivateKey, certificate: Certificate) -> None:
        self._private = private
        self._certificate = certificate

    @classmethod
    def create(cls, folder: Path, name: str) -> Authority:
        """Make a CA.

        Raises
        ------
        ConfigError
            There is one already.
        """
        from cryptography import x509

        private = _draw()
        subject = _name(name)
        builder = _builder(subject, subject, private)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_key_usage(authority=True), True)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(private.public_key()), False
        )
        made = cls(private, _sign(builder, private))
        folder.mkdir(parents=True, exist_ok=True)
        write_secret(folder / KEY, _pem_of_key(private))
        write_public(folder / CERTIFICATE, made.pem)
        return made

    @classmethod
    def load(cls, folder: Path) -> Authority:
        """Read a CA.

        Raises
        ------
        ConfigError
            It is not there or cannot be used.
        """
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            private = load_pem_private_key((folder / KEY).read_bytes(), password=None)
            certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        except (OSError, ValueError, TypeError) as fault:
            raise ConfigError(f"{folder}: no authority; tactic broker init makes one") from fault
        if not isinstance(private, EllipticCurvePrivateKey):
            raise ConfigError(f"{folder / KEY}: not a key of tactic broker init; make a new one")
        return cls(private, certificate)

    @property
    def pem(self) -> bytes:
        """The certificate of the CA."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self._certificate.public_bytes(Encoding.PEM)

    def issue_server(self, folder: Path, name: str, hosts: Sequence[str]) -> None:
        """Make the broker's certificate for all names and addresses by which it is reached."""
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID

        found = [_address(host) for host in hosts]
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        self._issue(folder, name, usage, x509.SubjectAlternativeName(found))

    def issue_client(self, folder: Path, name: str, common_name: str) -> None:
        """Make a certificate for somebody who connects; the broker knows them by common name."""
        from cryptography import x509
        from cryptography.x509.oid import ExtendedKeyUsageOID

        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        self._issue(folder, name, usage, None, common_name)

    def _issue(
        self,
        folder: Path,
        name: str,
        usage: ExtendedKeyUsage,
        hosts: SubjectAlternativeName | None,
        common_name: str | None = None,
    ) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        private = _draw()
        builder = _builder(_name(common_name or name), self._certificate.subject, private)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_key_usage(authority=False), True)
        builder = builder.add_extension(usage, False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._private.public_key()), False
        )
        if hosts is not None:
            builder = builder.add_extension(hosts, False)
        folder.mkdir(parents=True, exist_ok=True)
        write_secret(folder / f"{name}.key", _pem_of_key(private))
        certificate = _sign(builder, self._private)
        write_public(folder / f"{name}.pem", certificate.public_bytes(Encoding.PEM))
        write_public(folder / CERTIFICATE, self.pem)


def write_public(path: Path, content: bytes) -> None:
    """Write a file that everybody may read.

    Raises
    ------
    ConfigError
        The folder cannot be written.
    """
    try:
        path.write_bytes(content)
        path.chmod(0o644)
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}; choose another folder") from fault


def _draw() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _pem_of_key(private: EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(text: str) -> Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: Name, issuer: Name, private: EllipticCurvePrivateKey) -> CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(END)
    )


def _sign(builder: CertificateBuilder, private: EllipticCurvePrivateKey) -> Certificate:
    from cryptography.hazmat.primitives.hashes import SHA256

    return builder.sign(private, SHA256())


def _key_usage(authority: bool) -> KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _address(host: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
