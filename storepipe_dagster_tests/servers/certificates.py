"""Certificates for the servers of the tests, from an authority that nobody else trusts."""

import datetime as dt
import ipaddress
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = ("localhost", "127.0.0.1")
DAY = dt.timedelta(days=1)
NAME = "Authority of storepipe's tests"


@dataclass(frozen=True)
class Certificate:
    """The files that a server needs: its certificate, its key and who vouches for it."""

    certificate: Path
    key: Path
    authority: Path


class Authority:
    """Issues certificates into a folder; clients that trust `path` accept them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "authority.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = _name(NAME)
        builder = _builder(name, name, self._key.public_key(), valid_until=_now() + DAY)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        usage = _usage(key_cert_sign=True, crl_sign=True)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(usage, critical=True)
        builder = builder.add_extension(self._key_id, critical=False)
        _write_pem(self.path, builder.sign(self._key, hashes.SHA256()))

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_key": _pem_of(self._key)}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._key = serialization.load_pem_private_key(state["_key"], password=None)

    def issue(self, *hosts: str, expired: bool = False) -> Certificate:
        """A certificate for these host names and addresses (default: this machine)."""
        hosts = hosts or HERE
        # Each has files of its own: a running server may read its again.
        stem = f"{'-'.join(hosts)}{'-expired' if expired else ''}-{secrets.token_hex(4)}"
        paths = self.folder / f"{stem}.pem", self.folder / f"{stem}.key"
        key = ec.generate_private_key(ec.SECP256R1())
        until = _now() - DAY if expired else _now() + DAY
        builder = _builder(_name(hosts[0]), _name(NAME), key.public_key(), valid_until=until)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(self._key_id)
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        names = x509.SubjectAlternativeName([_alternative_name(host) for host in hosts])
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (server, False),
            (names, False),
            (issuer, False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        ):
            builder = builder.add_extension(extension, critical=critical)
        _write_pem(paths[0], builder.sign(self._key, hashes.SHA256()))
        paths[1].touch(mode=0o600)
        paths[1].write_bytes(_pem_of(key))
        return Certificate(*paths, authority=self.path)

    @property
    def _key_id(self) -> x509.SubjectKeyIdentifier:
        return x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject, issuer, public_key, *, valid_until) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - 3 * DAY)
        .not_valid_after(valid_until)
    )


def _usage(**wanted: bool) -> x509.KeyUsage:
    nothing = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return x509.KeyUsage(**nothing | wanted)


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_pem(path: Path, certificate: x509.Certificate) -> None:
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
