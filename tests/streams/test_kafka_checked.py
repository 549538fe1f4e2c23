import asyncio

import pytest

from fanbell.streams import kafka_checked
from fanbell.streams.kafka import KafkaConfig
from fanbell.streams.kafka_checked import CHECKED, LEANED_ON, AiokafkaChanged, check
from fanbell.streams.log_kafka import KafkaLog
from fanbell.streams.sources import name_of


def test_the_installed_aiokafka_is_the_one_that_was_read() -> None:
    """
    What the log leans on in aiokafka is, to the letter, what it was written for.
    """
    check()


def test_all_that_is_leaned_on_was_read() -> None:
    """
    The table of what was read names what is leaned on, no more and no less.
    """
    assert {name_of(source) for source in LEANED_ON} == set(CHECKED)


def test_no_log_is_opened_on_a_changed_aiokafka(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where aiokafka ends a producer otherwise, no log is opened, wherever; what is said names it, and what to do.
    """
    monkeypatch.setitem(CHECKED, "aiokafka.producer.sender.Sender.close", "00000000")
    kafka_checked.check_once.cache_clear()

    with pytest.raises(AiokafkaChanged, match=r"Sender\.close \(\w{8}\): install aiokafka==0\.14\.0"):
        asyncio.run(KafkaLog.open(KafkaConfig(bootstrap_servers=("127.0.0.1:9",))))
