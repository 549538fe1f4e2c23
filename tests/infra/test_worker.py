"""`infra/worker.py`: what a worker is told when nobody sets anything."""

from fanbell.infra.kafka import kafka_config
from fanbell.infra.settings import load
from fanbell.infra.worker import _membership
from fanbell.streams.agents.worker import Worker

TAKEN_OVER_S = 15  # what docs/operating.md lets operators count on, the rebalance itself aside


def test_a_dead_workers_partitions_are_given_out_soon() -> None:
    """
    By default a worker that died is given up within 15 s, and one that lives is heard several times in that time.
    """
    settings = load({}, {"FANBELL_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9092"})

    conf = Worker(kafka_config(settings), [], _membership(settings))._app.conf

    assert conf.broker_session_timeout == settings.kafka_session_timeout_s
    assert 0 < conf.broker_session_timeout <= TAKEN_OVER_S
    assert conf.broker_heartbeat_interval <= conf.broker_session_timeout / 3
