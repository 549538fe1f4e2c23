"""Which workers are alive, and which versions of the fold each can run: what Kafka says of the members of their group.

A worker says it by its client id, so nothing has to be written, refreshed or forgotten: who has left its group, or has
not been heard of for the session timeout, is not there. Who joins a moment later and cannot run what is in force stops
by UnknownFold; the list is for not letting it come to that.
"""

import re
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, for_code
from msgspec import Struct

from fanbell.streams.core.kinds import FOLD_OLDEST, FOLD_VERSION
from fanbell.streams.kafka import KafkaConfig, connection
from fanbell.streams.log import LogFailed

CLIENT_ID: Final = f"fanbell-worker-fold-{FOLD_OLDEST}-{FOLD_VERSION}"
"""What this code's workers call themselves."""
_CLIENT_ID: Final = re.compile(r"fanbell-worker-fold-(\d+)-(\d+)")


class Member(Struct, frozen=True):
    """One worker. `oldest` and `newest`: what it can run; 0 if it does not say."""

    id: str
    host: str
    oldest: int
    newest: int

    def can_run(self, version: int) -> bool:
        return self.oldest <= version <= self.newest


def member_of(id_: str, client_id: str, host: str) -> Member:
    """What a member of the group says of itself."""
    found = _CLIENT_ID.fullmatch(client_id)
    oldest, newest = (int(found[1]), int(found[2])) if found else (0, 0)
    return Member(id_, host.removeprefix("/"), oldest, newest)


async def members(config: KafkaConfig, group: str) -> list[Member]:
    """Those of `group` (its name without the prefix) at this moment. Raises LogFailed."""
    admin = AIOKafkaAdminClient(**connection(config))
    try:
        await admin.start()
        (answer,) = await admin.describe_consumer_groups([config.topic(group)])
        ((error, _, _, _, _, found, *_),) = answer.groups
        if error:
            raise for_code(error)
        return [member_of(id_, client_id, host) for id_, client_id, host, *_ in found]
    except GroupCoordinatorNotAvailableError:
        return []  # no group has ever been on this cluster
    except (KafkaError, OSError) as error:
        raise LogFailed(f"the workers at {config.servers} are not known: {error!r}") from error
    finally:
        await admin.close()
