"""`infra/kafka.py`: the schema registry as the settings describe it."""

import pytest

from fanbell.infra.kafka import registry
from fanbell.infra.settings import BadSetting, Settings
from fanbell.schemas.codec import schema_json
from tests.streams.schema_registry import schema_registry

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_without_an_address_there_is_no_registry() -> None:
    """
    Whoever has no registry configures none.
    """
    async with registry(Settings()) as found:
        assert found is None


async def test_a_registry_is_reached_as_the_settings_say() -> None:
    """
    Address, user and password are those of the settings.
    """
    with schema_registry("ben:hushed") as server:
        id_ = server.register(schema_json("Activity"))
        settings = Settings(
            schema_registry_url=server.url, schema_registry_username="ben", schema_registry_password="hushed"
        )
        async with registry(settings) as found:
            assert found is not None
            assert (await found.written(id_)).avro["name"] == "fanbell.Activity"
    assert "hushed" not in repr(settings)


async def test_an_address_that_is_none_is_a_bad_setting() -> None:
    """
    It is named before the worker starts.
    """
    with pytest.raises(BadSetting, match="schema_registry_url"):
        async with registry(Settings(schema_registry_url="registry:8081")):
            pass
