"""The webhook: plain messages to people, by any address that takes ``{"text": "…"}``.

Slack's incoming webhooks do, and Mattermost's, Rocket.Chat's and many others. The address is a
secret, so nothing here shows it. What is told is written in ``messages``.
"""

import logging
from dataclasses import dataclass, field

import requests
import tenacity

TRIES = 3
ASK_AGAIN = {408, 425, 429}
SERVER_ERROR = 500
# In these, Slack would see links and calls to everybody.
BRACKETS = str.maketrans("<>", "()")


class _NotSentError(Exception):
    """A message did not get through; ``passing`` where another try may help."""

    def __init__(self, problem: str, *, passing: bool) -> None:
        super().__init__(problem)
        self.passing = passing


@dataclass(frozen=True)
class Webhook:
    """Where messages go; nowhere if there is no ``url``. Times in seconds.

    ``dagster_url`` is where people open Dagster, for links.
    """

    url: str | None = field(default=None, repr=False)
    dagster_url: str | None = None
    connect_timeout: float = 5.0
    read_timeout: float = 10.0
    first_wait: float = 1.0
    longest_wait: float = 10.0

    def link(self, run_id: str) -> str:
        """The address of a run in Dagster, or its id where that address is not known."""
        return f"{self.dagster_url}/runs/{run_id}" if self.dagster_url else run_id

    def say(self, text: str, log: logging.Logger) -> bool:
        """Post a message; whether nothing is left to do. A failure is a warning in ``log``."""
        if self.url is None:
            return True
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: getattr(error, "passing", False)),
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_random_exponential(self.first_wait, self.longest_wait),
            reraise=True,
        )
        try:
            retrying(self._post, text.translate(BRACKETS))
        except _NotSentError as error:
            log.warning(
                "The webhook was not reached: %s. Check STOREPIPE_WEBHOOK_URL. It was to tell:\n%s",
                error,
                text,
            )
            return False
        return True

    def _post(self, text: str) -> None:
        try:
            answer = requests.post(
                str(self.url),
                json={"text": text},
                timeout=(self.connect_timeout, self.read_timeout),
                allow_redirects=False,
            )
        except requests.ReadTimeout:
            return  # it has the message, and saying it again and again would help nobody
        except requests.Timeout:
            raise _NotSentError("there is no connection to it in time", passing=True) from None
        except requests.exceptions.SSLError:
            raise _NotSentError("TLS failed", passing=False) from None
        except requests.ConnectionError:
            raise _NotSentError("there is no connection to it", passing=True) from None
        except (requests.RequestException, ValueError):  # whose messages show the address
            raise _NotSentError("its address cannot be used", passing=False) from None
        if answer.status_code in ASK_AGAIN or answer.status_code >= SERVER_ERROR:
            raise _NotSentError(f"it answered {answer.status_code}", passing=True)
        if not answer.ok or answer.is_redirect:
            raise _NotSentError(f"it answered {answer.status_code}", passing=False)
