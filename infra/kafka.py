"""Kafka as the settings describe it, and the registry of what others write there."""

import contextlib
from collections.abc import AsyncIterator

from fanbell.infra.settings import BadSetting, Settings
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.registry import Registry
from fanbell.streams.topics_kafka import Wanted


def kafka_config(settings: Settings) -> KafkaConfig:
    """How Kafka is reached. Raises BadSetting."""
    try:
        return KafkaConfig(
            bootstrap_servers=settings.kafka_bootstrap_servers,
            topic_prefix=settings.kafka_topic_prefix,
            security_protocol=settings.kafka_security_protocol,  # type: ignore[arg-type]  # it says which there are
            sasl_mechanism=settings.kafka_sasl_mechanism,
            sasl_username=settings.kafka_sasl_username,
            sasl_password=settings.kafka_sasl_password,
            ssl_cafile=settings.kafka_ssl_cafile,
            ssl_certfile=settings.kafka_ssl_certfile,
            ssl_keyfile=settings.kafka_ssl_keyfile,
            compression=settings.kafka_compression,  # type: ignore[arg-type]
            request_timeout_ms=settings.kafka_request_timeout_ms,
        )
    except ValueError as error:
        raise BadSetting(str(error)) from None


@contextlib.asynccontextmanager
async def registry(settings: Settings) -> AsyncIterator[Registry | None]:
    """The schema registry, if there is one. Raises BadSetting."""
    if not settings.schema_registry_url:
        yield None
        return
    login = (settings.schema_registry_username, settings.schema_registry_password)
    try:
        opened = Registry.open(settings.schema_registry_url, *login)
    except ValueError as error:
        raise BadSetting(str(error)) from None
    async with contextlib.aclosing(opened):
        yield opened


def topics_wanted(settings: Settings) -> Wanted:
    """What the topics must be. Raises BadSetting."""
    try:
        return Wanted(
            partitions=settings.partitions,
            replication_factor=settings.kafka_replication_factor,
            min_insync_replicas=settings.kafka_min_insync_replicas,
        )
    except ValueError as error:
        raise BadSetting(str(error)) from None
