"""What an error of the network, or of TLS on it, means, and what to do about it.

Pure functions on exceptions, for all services that are reached through the network.
"""

import socket
import ssl

# OpenSSL's verdicts on a certificate; all others are an authority that is not trusted.
CERTIFICATES = {
    9: "is not valid yet. Check the clocks of both machines, then renew it there",
    10: "has expired. Renew it there, and check this machine's clock",
    62: "is for another host name. Use a name that it has: check {address}",
    64: "is for another address. Use a name that it has: check {address}",
}
UNTRUSTED = "is of an authority that is not trusted. Set {authorities} to that authority's file"


def explain_network(
    error: BaseException | None, where: str, host: str, address: str, authorities: str
) -> str:
    """What keeps us from ``where``, and what to do.

    ``address`` is the variable, or the variables, that tell where it is; ``authorities`` the one
    that names the file of trusted authorities.
    """
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return f"The name service does not answer for {host!r}. Check the network, {address}."
        return f"There is no host {host!r}. Check {address}."
    if isinstance(error, ssl.SSLCertVerificationError):
        verdict = CERTIFICATES.get(error.verify_code, UNTRUSTED)
        verdict = verdict.format(address=address, authorities=authorities)
        return f"The certificate of {where} {verdict}."
    reason, remedy = _reason(error)
    subject = where[:1].upper() + where[1:]
    return f"{subject} cannot be reached: {reason}. {remedy.format(address=address)}"


def _reason(error: BaseException | None) -> tuple[str, str]:
    if isinstance(error, ssl.SSLError):
        return (
            f"TLS failed ({getattr(error, 'reason', None) or type(error).__name__})",
            "Check {address}, and that TLS is spoken there.",
        )
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there", "Check {address}, and that the server runs."
    if isinstance(error, TimeoutError):
        return "no answer", "Check {address}, and that no firewall in between holds it back."
    if isinstance(error, ConnectionError):
        return "the connection was cut", "Check {address}, and the server's own log."
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or "no connection", "Check {address} and the network."
