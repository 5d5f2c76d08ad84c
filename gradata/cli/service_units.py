"""The units that run `gradata replicate --follow` as a service: systemd, launchd, a container, Kubernetes.

Pure. No unit contains a key: each names the file, credential or secret that holds it, and a changed key is used within
seconds. All send SIGTERM to stop it; it then drains for a short time, and what is left waits in the log. Partner:
`gradata service print`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

ServiceKind = Literal["systemd", "launchd", "compose", "k8s"]
WATCHDOG_S = 60
CONTAINER_BRAIN = "/brain"
CONTAINER_METRICS = "0.0.0.0:9464"
"""Inside a container's own network; what of it is reachable is said by ports and policies outside."""
METRICS_PORT = 9464
IMAGE_LINES = "python:3.12-slim with `pip install gradata[cli,zstd]`"
LABEL = "ai.gradata.replicate"


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """What the service replicates.

    `program`: how gradata is started on this machine; `metrics`: HOST:PORT or None.
    """

    brain_dir: str
    endpoint: str
    key_file: str
    program: tuple[str, ...] = ("gradata",)
    metrics: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """`text` is to be saved at `path`; `commands` start it."""

    kind: ServiceKind
    path: str
    text: str
    commands: tuple[str, ...]


def service(kind: ServiceKind, wanted: ServiceTarget) -> Service:
    """The unit's text, where to save it, and what to run then."""
    return _KINDS[kind](wanted)


def _arguments(brain_dir: str, metrics: str | None) -> list[str]:
    more = ["--metrics", metrics] if metrics is not None else []
    return ["replicate", "--follow", "--brain", brain_dir, *more]


def _systemd(wanted: ServiceTarget) -> Service:
    command = [*wanted.program, *_arguments(wanted.brain_dir, wanted.metrics)]
    text = f"""\
# Replicates one brain for as long as the machine runs. The key is read from its file, afresh for each request.
[Unit]
Description=Gradata replication of {_percent(wanted.brain_dir)}
Documentation=https://gradata.ai/docs
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
WatchdogSec={WATCHDOG_S}
ExecStart={" ".join(map(_systemd_word, command))}
Environment={_systemd_word(f"GRADATA_ENDPOINT={wanted.endpoint}")}
Environment={_systemd_word(f"GRADATA_KEY_FILE={wanted.key_file}")}
# As a system service with a credential instead: LoadCredential=key:FILE and Environment=GRADATA_KEY_FILE=%d/key
Restart=always
RestartSec=5
TimeoutStopSec=30
NoNewPrivileges=yes
UMask=0077

[Install]
WantedBy=default.target
"""
    return Service(
        "systemd",
        "~/.config/systemd/user/gradata-replicate.service",
        text,
        (
            "systemctl --user daemon-reload",
            "systemctl --user enable --now gradata-replicate",
            "loginctl enable-linger  # so that it runs while nobody is logged in",
        ),
    )


def _launchd(wanted: ServiceTarget) -> Service:
    words = [*wanted.program, *_arguments(wanted.brain_dir, wanted.metrics)]
    arguments = "\n".join(f"    <string>{escape(word)}</string>" for word in words)
    text = f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array>
{arguments}
  </array>
  <key>EnvironmentVariables</key>
  <dict>
    <key>GRADATA_ENDPOINT</key>
    <string>{escape(wanted.endpoint)}</string>
    <key>GRADATA_KEY_FILE</key>
    <string>{escape(wanted.key_file)}</string>
  </dict>
  <key>KeepAlive</key>
  <true/>
  <key>RunAtLoad</key>
  <true/>
  <key>ExitTimeOut</key>
  <integer>30</integer>
  <key>Umask</key>
  <integer>63</integer>
</dict>
</plist>
"""
    path = f"~/Library/LaunchAgents/{LABEL}.plist"
    return Service("launchd", path, text, (f"launchctl bootstrap gui/$(id -u) {path}",))


def _compose(wanted: ServiceTarget) -> Service:
    text = f"""\
# A container beside the agent's, on the same brain directory. The image: {IMAGE_LINES}.
services:
  gradata-replicate:
    image: gradata:latest
    command: {_flow(["gradata", *_arguments(CONTAINER_BRAIN, CONTAINER_METRICS)])}
    # The owner of the brain's files, which nobody else may read.
    user: "1000:1000"
    environment:
      GRADATA_ENDPOINT: {_quoted(wanted.endpoint)}
      GRADATA_KEY_FILE: /run/secrets/gradata_key
    secrets:
      - gradata_key
    volumes:
      - type: bind
        source: {_quoted(wanted.brain_dir)}
        target: {CONTAINER_BRAIN}
    healthcheck:
      test: ["CMD", "gradata", "doctor", "--brain", "{CONTAINER_BRAIN}", "--no-cloud", "--json"]
      interval: 60s
      timeout: 10s
      start_period: 30s
    init: true
    restart: unless-stopped
    stop_grace_period: 30s
secrets:
  gradata_key:
    file: {_quoted(wanted.key_file)}
"""
    return Service("compose", "compose.yaml", text, ("docker compose up -d gradata-replicate",))


_DEPLOYMENT = """\
# A pod that replicates the brain on a volume which the agent's pods share (ReadWriteMany, or one node). To run it
# inside the agent's pod instead, copy the container and the two volumes there. The image: {image}.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: gradata-replicate
spec:
  replicas: 1
  strategy:
    type: Recreate
  selector:
    matchLabels:
      app: gradata-replicate
  template:
    metadata:
      labels:
        app: gradata-replicate
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/port: "{port}"
    spec:
      terminationGracePeriodSeconds: 30
      securityContext:
        runAsUser: 1000
        runAsGroup: 1000
        runAsNonRoot: true
      containers:
        - name: gradata-replicate
          image: gradata:latest
          command: {command}
          env:
            - name: GRADATA_ENDPOINT
              value: {endpoint}
            - name: GRADATA_KEY_FILE
              value: /secrets/gradata/key
          ports:
            - name: metrics
              containerPort: {port}
          livenessProbe:
            httpGet:
              path: /health
              port: metrics
            initialDelaySeconds: 10
            periodSeconds: 30
          securityContext:
            allowPrivilegeEscalation: false
          volumeMounts:
            - name: brain
              mountPath: {brain}
            # The directory, not the one file: so a rotated key arrives without a restart.
            - name: key
              mountPath: /secrets/gradata
              readOnly: true
      volumes:
        - name: brain
          persistentVolumeClaim:
            claimName: gradata-brain
        - name: key
          secret:
            secretName: gradata-key
            defaultMode: 256  # 0400, in a form that every reader of YAML takes for the same
"""


def _k8s(wanted: ServiceTarget) -> Service:
    text = _DEPLOYMENT.format(
        image=IMAGE_LINES,
        port=METRICS_PORT,
        command=_flow(["gradata", *_arguments(CONTAINER_BRAIN, CONTAINER_METRICS)]),
        endpoint=_quoted(wanted.endpoint),
        brain=CONTAINER_BRAIN,
    )
    key = shlex.quote(f"--from-file=key={wanted.key_file}")
    return Service(
        "k8s",
        "gradata-replicate.yaml",
        text,
        (f"kubectl create secret generic gradata-key {key}", "kubectl apply -f gradata-replicate.yaml"),
    )


_KINDS: dict[ServiceKind, Callable[[ServiceTarget], Service]] = {
    "systemd": _systemd,
    "launchd": _launchd,
    "compose": _compose,
    "k8s": _k8s,
}


def _percent(text: str) -> str:
    """systemd expands specifiers everywhere."""
    return text.replace("%", "%%")


def _systemd_word(word: str) -> str:
    """One word of a command line or setting, as systemd.syntax(7) and systemd.service(5) read it."""
    escaped = _percent(word).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"' if any(c in escaped for c in " '\"\\;") or not escaped else escaped


def _quoted(text: str) -> str:
    """A YAML scalar in double quotes: the escapes needed are those of JSON."""
    import json

    return json.dumps(text, ensure_ascii=False)


def _flow(words: list[str]) -> str:
    return "[" + ", ".join(map(_quoted, words)) + "]"
