"""RabbitMQ: rabbitmq.conf, its environment and the users, declared as definitions."""

import base64
import hashlib
import json

from astara_devcloud import settings

NODE = "devcloud@localhost"
SALT_BYTES = 4


def rabbitmq_conf(cloud: settings.Settings) -> str:
    """Render rabbitmq.conf. The definitions are imported at every start and restore rights."""
    return f"""listeners.tcp.1 = 127.0.0.1:{cloud.ports.amqp}
loopback_users = none
definitions.import_backend = local_filesystem
definitions.local.path = {cloud.layout.etc / "rabbitmq-definitions.json"}
log.console = true
log.console.level = warning
log.file = false
disk_free_limit.absolute = 200MB
"""


def password_hash(password: str, salt: bytes) -> str:
    """Hash a password as RabbitMQ stores it: base64(salt + SHA-256(salt + password)).

    See https://www.rabbitmq.com/docs/passwords#computing-password-hash
    """
    digest = hashlib.sha256(salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode()


def definitions_json(cloud: settings.Settings) -> str:
    """Render the users ``openstack`` and ``astara``, each with full rights on ``/``."""
    users = {
        "openstack": cloud.credentials.broker,
        "astara": cloud.credentials.broker_astara,
    }
    document = {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": name,
                # The salt follows from the secret, so that the file is the same at every start.
                "password_hash": password_hash(
                    password, hashlib.sha256(password.encode()).digest()[:SALT_BYTES]
                ),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": "",
            }
            for name, password in users.items()
        ],
        "permissions": [
            {"user": name, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
            for name in users
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def environment(cloud: settings.Settings) -> dict[str, str]:
    """Return the environment of the broker and of rabbitmqctl."""
    home = cloud.layout.state / "rabbitmq"
    return {
        "HOME": str(home),
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_CONFIG_FILE": str(cloud.layout.etc / "rabbitmq"),
        "RABBITMQ_CONF_ENV_FILE": str(cloud.layout.etc / "rabbitmq-env.conf"),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(cloud.layout.log),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(cloud.layout.etc / "rabbitmq-plugins"),
        "RABBITMQ_DIST_PORT": str(cloud.ports.amqp_distribution),
        "RABBITMQ_PID_FILE": str(cloud.layout.run / "rabbitmq-beam.pid"),
        "ERL_EPMD_PORT": str(cloud.ports.epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # Two schedulers that sleep instead of spinning: the broker shares a small machine.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
            "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +S 2:2"
        ),
    }
