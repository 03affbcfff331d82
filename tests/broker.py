"""A real ActiveMQ for tests, on loopback, and somebody who listens to it.

Its one user may use topics and queues whose names begin with `open.`.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest
import stomp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOME = "/usr/share/activemq"
PASSWORD = "open sesame"  # noqa: S105 - of a broker that lives as long as a test
WAIT_SECONDS = 60
MISSING = "apt-get update && apt-get install -y --no-install-recommends activemq"
CONFIGURATION = """\
<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans
    http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
    http://activemq.apache.org/schema/core
    http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="test" useJmx="false"
    persistent="false" dataDirectory="{folder}">
    <plugins>
      <simpleAuthenticationPlugin><users>
        <authenticationUser username="modelmake" password="{password}" groups="users"/>
      </users></simpleAuthenticationPlugin>
      <authorizationPlugin><map><authorizationMap><authorizationEntries>
        <authorizationEntry topic="open.&gt;" read="users" write="users" admin="users"/>
        <authorizationEntry queue="open.&gt;" read="users" write="users" admin="users"/>
        <authorizationEntry topic="ActiveMQ.&gt;" read="users" write="users" admin="users"/>
      </authorizationEntries></authorizationMap></map></authorizationPlugin>
    </plugins>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:{port}"/>
    </transportConnectors>
  </broker>
</beans>
"""


def free_port() -> int:
    """Return a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Broker:
    """An ActiveMQ with its files in a folder; it can be killed and started again."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        if not (os.path.exists(HOME) and shutil.which("java")):
            pytest.fail(f"ActiveMQ is not installed; as root: {MISSING}")
        text = CONFIGURATION.format(folder=self.folder, port=self.port, password=PASSWORD)
        (self.folder / "broker.xml").write_text(text)
        places = {"home": HOME, "base": self.folder, "data": self.folder}
        options = [f"-Dactivemq.{name}={place}" for name, place in places.items()]
        command = ["java", "-Xmx128m", *options, "-jar", f"{HOME}/bin/activemq.jar"]
        command += ["start", f"xbean:file:{self.folder}/broker.xml"]
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + WAIT_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return
            time.sleep(0.05)
        pytest.fail((self.folder / "broker.log").read_text())

    def kill(self) -> None:
        """Kill it, as a crash or the loss of its machine does."""
        if self.process:
            self.process.kill()
            self.process.wait()

    def url(self, destination: str, password: str = PASSWORD) -> str:
        """Return what the variable is set to."""
        login = f"modelmake:{urllib.parse.quote(password)}"
        return f"stomp://{login}@127.0.0.1:{self.port}{destination}"


class Consumer(stomp.ConnectionListener):  # type: ignore[misc]
    """Receives what is published at a destination."""

    def __init__(self, broker: Broker, destination: str) -> None:
        """Subscribe, and wait until the broker knows it."""
        self.messages: list[dict[str, Any]] = []
        self._news: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._connection = stomp.Connection12([("127.0.0.1", broker.port)])
        self._connection.set_listener("", self)
        self._connection.connect("modelmake", PASSWORD, wait=True)
        self._connection.subscribe(destination, id=1, headers={"receipt": "subscribed"})
        self._news.get(timeout=WAIT_SECONDS)

    def on_receipt(self, _frame: object) -> None:
        """Take note that the subscription holds."""
        self._news.put(None)

    def on_message(self, frame: Any) -> None:  # noqa: ANN401 - the library has no types
        """Take a message."""
        self._news.put(json.loads(frame.body, parse_constant=pytest.fail))

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Return what has come, once a message that is wanted is among it."""
        while not (self.messages and wanted(self.messages[-1])):
            try:
                message = self._news.get(timeout=WAIT_SECONDS)
            except Empty:
                pytest.fail(f"there came only {self.messages}")
            if message:
                self.messages.append(message)
        return self.messages

    def close(self) -> None:
        """Leave the broker."""
        with contextlib.suppress(stomp.exception.StompException):
            self._connection.disconnect()
