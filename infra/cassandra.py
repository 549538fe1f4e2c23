"""Cassandra as the settings say: where it is, and how to open what is kept there."""

from fanbell.infra.settings import BadSetting, Settings
from fanbell.projections.cassandra_schema import schema_files
from fanbell.streams.cassandra import CassandraConfig, point_of


def cassandra_config(settings: Settings) -> CassandraConfig:
    """How to connect. Raises BadSetting."""
    if not settings.cassandra_contact_points:
        raise BadSetting(
            "cassandra_contact_points is not set: name one server of Cassandra or more, such as 127.0.0.1:9042"
        )
    config = CassandraConfig(
        contact_points=settings.cassandra_contact_points,
        keyspace=settings.cassandra_keyspace,
        replication=settings.cassandra_replication,
        local_dc=settings.cassandra_local_dc,
        username=settings.cassandra_username,
        password=settings.cassandra_password,
        tls=settings.cassandra_tls,
        ssl_cafile=settings.cassandra_ssl_cafile,
        ssl_certfile=settings.cassandra_ssl_certfile,
        ssl_keyfile=settings.cassandra_ssl_keyfile,
        request_timeout_ms=settings.cassandra_request_timeout_ms,
        consistency=settings.cassandra_consistency,
    )
    try:
        schema_files(config)
        for text in config.contact_points:
            point_of(text)
    except ValueError as error:
        raise BadSetting(str(error)) from None
    return config
