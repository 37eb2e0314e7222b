"""Choose the database and make its driver keep deadlines; pure.

Decides the embedded default, and what is appended to the URL of a server so that neither
connecting nor a statement can take longer than the operator allows. Called by `database`.
"""

import pathlib

from sqlalchemy.engine import URL, make_url

EMBEDDED_NAME = "astara.db"


def url_of(connection: str | None, state_path: str, timeout_s: float) -> URL:
    """Give the URL to connect to: the configured one, or SQLite in `state_path`.

    Raises `sqlalchemy.exc.ArgumentError` on a malformed URL.
    """
    if connection:
        return with_deadlines(make_url(connection), timeout_s)
    path = pathlib.Path(state_path).absolute() / EMBEDDED_NAME
    return with_deadlines(URL.create("sqlite", database=str(path)), timeout_s)


def embedded(url: URL) -> bool:
    """Tell whether the database is a file of ours, which we create and migrate ourselves."""
    return bool(url.get_backend_name() == "sqlite")


def with_deadlines(url: URL, timeout_s: float) -> URL:
    """Give the URL with the driver's own time-outs; what the operator wrote there wins."""
    wanted = _parameters(url, timeout_s)
    return url.update_query_dict({k: v for k, v in wanted.items() if k not in url.query})


def _parameters(url: URL, timeout_s: float) -> dict[str, str]:
    whole_s = str(max(1, round(timeout_s)))
    match url.get_backend_name():
        case "sqlite":
            return {"timeout": str(timeout_s)}
        case "mysql" | "mariadb":
            return {
                "charset": "utf8mb4",
                "connect_timeout": whole_s,
                "read_timeout": whole_s,
                "write_timeout": whole_s,
            }
        case "postgresql":
            milliseconds = round(timeout_s * 1000)
            limits = f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds}"
            return {"connect_timeout": whole_s, "options": limits}
        case _:
            return {}
