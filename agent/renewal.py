"""Renews the agent's certificate before it runs out, over the connection that it still opens."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from agent import certificate, private, wire, wire_enrol
from agent.spool import Author
from agent.wire_enrol import Request

log = logging.getLogger("hashledger.renewal")

# Four months are left when a certificate falls due: a request an hour is soon enough and no burden.
LOOK_EVERY_S = 3600.0


class Renewal:
    """The renewal of one certificate file; `request` when to ask, `take` for the answer."""

    def __init__(self, author: Author, file: Path) -> None:
        self._author, self._file = author, file
        names = author.org, author.site, author.agent
        self.topic, self.answer_topic = (wire.topic(*names, leaf) for leaf in ("renew", "certificate"))
        self._looked_s: float | None = None

    def request(self) -> bytes | None:
        """What to send to `topic` now, if the certificate is due and was not asked for just before."""
        now_s = time.monotonic()
        if self._looked_s is not None and now_s - self._looked_s < LOOK_EVERY_S:
            return None
        self._looked_s = now_s
        try:
            if not certificate.is_due(self._file, certificate.now()):
                return None
            name = wire_enrol.common_name(self._author.org, self._author.site, self._author.agent)
            csr, serial = certificate.request(self._file.parent, name), certificate.serial(self._file)
        except (certificate.CertificateError, private.PrivateFileError, OSError, ValueError) as error:
            log.error("the certificate cannot be renewed: %s", error)
            return None
        public_key = self._author.key.public_key().public_bytes_raw()
        log.info("the certificate is due: asking for the next one")
        return wire_enrol.seal_request(
            self.topic, Request(wire.VERSION, serial, public_key, csr), self._author.key
        )

    def take(self, body: bytes) -> bool:
        """The collector's answer, its signature checked already; True if a new certificate is in place."""
        try:
            answer = wire_enrol.decode_answer(body)
            if not answer.certificate:
                log.error("the collector does not renew the certificate: %s", answer.refused)
                return False
            until = certificate.install(self._file.parent, answer.certificate)
        except (wire.WireError, certificate.CertificateError, private.PrivateFileError, OSError) as error:
            log.error("the renewed certificate is not taken: %s", error)
            return False
        log.info("the certificate is renewed, good until %s UTC", f"{until:%F %T}")
        return True
