"""Where the secrets of endpoints come from: a variable of the container, or a file in the folder of secrets."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from gateway.app.document_endpoints import variable_of
from gateway.upstream.endpoint import (
    MAX_CONNECTION_STRING_CHARS,
    AccessError,
    EndpointSettings,
    EndpointType,
    EventHubAccess,
    KafkaAccess,
    KafkaLogin,
    read_connection_string,
    read_kafka_login,
)

DIRECTORY: Final = "GATEWAY_SECRETS_DIR"


class EndpointSecrets:
    """Reads them anew at each asking, so that a key is exchanged by writing its file."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ

    def connection_string(self, endpoint: EndpointSettings) -> str:
        """The connection string of this endpoint. Raises AccessError with what to do."""
        variable = variable_of(endpoint.name)
        given = self._environ.get(variable)
        if given:
            return given
        path = self._folder / endpoint.secret
        try:
            with path.open("rb") as file:
                text = file.read(MAX_CONNECTION_STRING_CHARS + 1).decode()
        except FileNotFoundError:
            what = f"there is no connection string for it: {path} is not there, and {variable} is not set"
            raise AccessError(f"{what}. Write it into that file, or set {DIRECTORY} to the folder it is in") from None
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise AccessError(f"the file of its connection string, {path}, cannot be read: {why}") from error
        if not text.strip():
            raise AccessError(f"the file of its connection string, {path}, is empty")
        return text

    def event_hub(self, endpoint: EndpointSettings) -> EventHubAccess:
        """What the connection string of an Event Hub says. Raises AccessError."""
        return read_connection_string(self.connection_string(endpoint), endpoint.event_hub)

    def kafka_login(self, endpoint: EndpointSettings) -> KafkaAccess | None:
        """Who the gateway is at a Kafka broker; None where it asks for nothing. Raises AccessError."""
        if endpoint.login is KafkaLogin.NONE:
            return None
        return read_kafka_login(self.connection_string(endpoint))

    def authorities(self, endpoint: EndpointSettings) -> Path | None:
        """The file of the CA certificates for it, None for the system's. Raises AccessError if it is not there."""
        if not endpoint.authorities:
            return None
        path = self._folder / endpoint.authorities
        if not path.is_file():
            raise AccessError(f"the file of its CA certificates, {path}, is not there")
        return path


def missing(
    endpoints: Iterable[EndpointSettings], folder: Path, environ: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The endpoints that could not be reached from here as things are, and why; nothing is connected to."""
    secrets = EndpointSecrets(folder, environ)
    for endpoint in endpoints:
        try:
            secrets.authorities(endpoint)
            if endpoint.type is EndpointType.KAFKA:
                secrets.kafka_login(endpoint)
            else:
                secrets.event_hub(endpoint)
        except AccessError as error:
            yield endpoint.name, str(error)
