"""A Cassandra node on this machine."""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from fanbell.infra.local.java import jars
from fanbell.infra.local.process import Node, ask, start

START_S: Final = 120.0
HEAP_MB: Final = 1_024
BATCH_KIB: Final = 4_096  # of rows that live together: the server's default, 50 KiB, is for those that do not
Sync = Literal["periodic", "group"]
SYNC: Final[Mapping[Sync, Mapping[str, str]]] = {
    "periodic": {"commitlog_sync": "periodic", "commitlog_sync_period": "10s"},
    "group": {"commitlog_sync": "group", "commitlog_sync_group_window": "2ms"},
}
"""When what is acknowledged is on disk: within 10 s, as Cassandra does by itself, or before; a few ms share one sync.

A process that is killed loses nothing either way. A machine that loses its power loses the last seconds, positions as
well as rows, and they are written again from the log."""

_EXPORTS: Final = (
    "java.base/jdk.internal.misc", "java.base/jdk.internal.ref", "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi", "java.rmi/sun.rmi.registry", "java.rmi/sun.rmi.server",
    "java.sql/java.sql", "jdk.unsupported/sun.misc",
)  # fmt: skip
_OPENS: Final = (
    "java.base/java.lang.module", "java.base/java.net", "java.base/jdk.internal.loader", "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect", "java.base/jdk.internal.math", "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar", "jdk.management/com.sun.management.internal", "java.base/sun.nio.ch",
    "java.base/java.io", "java.base/java.nio", "java.base/java.util", "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic", "java.base/java.lang", "java.base/java.math", "java.base/java.util.regex",
)  # fmt: skip


def answers(port: int) -> bool:
    """Whether clients are answered there: by SUPPORTED to OPTIONS, in version 4 of the native protocol."""
    return ask(port, b"\x04\x00\x00\x00\x05\x00\x00\x00\x00")[4:5] == b"\x06"


def start_node(data: Path, port: int, storage_port: int, sync: Sync = "periodic") -> Node:
    """Start the node whose data is below `data`; made there if there is none."""
    data.mkdir(parents=True, exist_ok=True)
    config = data / "cassandra.yaml"
    config.write_text(json.dumps(_config(data, port, storage_port, sync), indent=1))  # JSON is YAML
    logback = data / "logback.xml"
    logback.write_bytes(files("fanbell.infra.local").joinpath("cassandra.logback.xml").read_bytes())
    lib = jars("cassandra")
    jamm = next(lib.glob("jamm-*.jar"))
    line = [
        "java", f"-javaagent:{jamm}", f"-Xms{HEAP_MB}m", f"-Xmx{HEAP_MB}m", "-XX:+UseG1GC",
        "-Djdk.attach.allowAttachSelf=true", f"-Dcassandra.config={config.as_uri()}",
        f"-Dlogback.configurationFile={logback.as_uri()}", f"-Dcassandra.storagedir={data}",
        "-Dcassandra-foreground=yes", "-Dcassandra.ring_delay_ms=100", "-Dcassandra.skip_wait_for_gossip_to_settle=0",
        *(part for name in _EXPORTS for part in ("--add-exports", f"{name}=ALL-UNNAMED")),
        *(part for name in _OPENS for part in ("--add-opens", f"{name}=ALL-UNNAMED")),
        "-cp", f"{data}:{lib}/*", "org.apache.cassandra.service.CassandraDaemon",
    ]  # fmt: skip
    return start("cassandra", port, line, data)


def _config(data: Path, port: int, storage_port: int, sync: Sync) -> dict[str, object]:
    return {
        "cluster_name": "fanbell local",
        "num_tokens": 1,
        "allocate_tokens_for_local_replication_factor": 1,
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "data_file_directories": [str(data / "data")],
        "commitlog_directory": str(data / "commitlog"),
        "saved_caches_directory": str(data / "saved_caches"),
        "hints_directory": str(data / "hints"),
        "cdc_raw_directory": str(data / "cdc_raw"),
        **SYNC[sync],
        "commitlog_disk_access_mode": "legacy",
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": f"127.0.0.1:{storage_port}"}],
            }
        ],
        "listen_address": "127.0.0.1",
        "rpc_address": "127.0.0.1",
        "native_transport_port": port,
        "storage_port": storage_port,
        "endpoint_snitch": "SimpleSnitch",
        "memtable": {
            "configurations": {"default": {"inherits": "trie"}, "trie": {"class_name": "TrieMemtable"}}
        },
        "storage_compatibility_mode": "NONE",
        "sstable": {"selected_format": "bti"},
        "authenticator": "AllowAllAuthenticator",
        "authorizer": "AllowAllAuthorizer",
        "auto_bootstrap": False,
        "batch_size_warn_threshold": f"{BATCH_KIB}KiB",
        "batch_size_fail_threshold": f"{2 * BATCH_KIB}KiB",
    }
