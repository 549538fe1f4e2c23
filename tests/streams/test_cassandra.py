"""How requests to Cassandra are asked again, by the driver's own way of asking its policy."""

import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from cassandra.cluster import ResponseFuture
from cassandra.policies import RetryPolicy
from cassandra.protocol import (
    OverloadedErrorMessage,
    ReadTimeoutErrorMessage,
    UnavailableErrorMessage,
    WriteTimeoutErrorMessage,
)

from fanbell.streams.cassandra import RETRIES_MAX, CassandraConfig, _Again, _ssl_context, connect_now
from fanbell.streams.tls import TlsUnusable

COUNTS = {"consistency": 6, "required_responses": 2, "received_responses": 1}
ERRORS = {
    "write timeout": WriteTimeoutErrorMessage(0, "m", {**COUNTS, "write_type": 1}),
    "read timeout": ReadTimeoutErrorMessage(0, "m", {**COUNTS, "data_retrieved": False}),
    "unavailable": UnavailableErrorMessage(
        0, "m", {"consistency": 6, "required_replicas": 2, "alive_replicas": 1}
    ),
    "overloaded": OverloadedErrorMessage(0, "m", None),
}


def decided(error: Any, retries: int) -> Any:
    """What becomes of `error` after so many retries, as the driver hands it over."""
    asked: list[tuple[bool, Any]] = []
    final: list[Any] = []
    future: Any = SimpleNamespace(
        _query_retries=retries, _retry_policy=_Again(), query=None, message=SimpleNamespace(), _metrics=None,
        session=SimpleNamespace(), _connection=None, _current_host=None, _errors={}, coordinator_host="h",
        _set_final_exception=final.append, _cancel_timer=lambda: None, is_schema_agreed=True,
        _custom_payload=None, _warnings=None,
    )  # fmt: skip
    future._handle_retry_decision = lambda retry, response, host: asked.append(retry)
    ResponseFuture._set_result(future, "h", None, None, error)
    return asked, final


@pytest.mark.parametrize("name", ERRORS)
def test_it_is_asked_again_and_then_said(name: str) -> None:
    """What timed out is asked again, what found no replica asked of the next server; so many times, then it is said."""
    for retries in range(RETRIES_MAX + 1):
        asked, final = decided(ERRORS[name], retries)
        assert not final, final
        ((decision, _),) = asked
        again = RetryPolicy.RETRY if "timeout" in name else RetryPolicy.RETRY_NEXT_HOST
        assert decision == (again if retries < RETRIES_MAX else RetryPolicy.RETHROW)


def test_tls_by_the_systems_authorities() -> None:
    """TLS is turned on alone, or by naming certificates; servers' certificates are always looked at."""
    assert _ssl_context(CassandraConfig(contact_points=())) is None

    context = _ssl_context(CassandraConfig(contact_points=(), tls=True))

    assert context is not None
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats() == ssl.create_default_context().cert_store_stats()


def test_a_certificate_that_is_not_there_is_said_with_its_setting() -> None:
    """Before any server is asked, the file and the setting that names it are."""
    config = CassandraConfig(contact_points=("127.0.0.1:1",), ssl_cafile="/nowhere")
    with pytest.raises(TlsUnusable, match="cassandra_ssl_cafile = '/nowhere' cannot be read: No such file"):
        connect_now(config)
