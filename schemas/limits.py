"""Sizes that hold everywhere, each with unit and reason. Past one, input is refused with a message that names it."""

from typing import Final

ID_BYTES_MAX: Final = 256  # UTF-8; ids are keys everywhere: in bitmaps' dictionaries, in store keys, in URLs
ACTIVITY_BYTES_MAX: Final = 64 * 1024  # one activity, encoded
DATA_BYTES_MAX: Final = 16 * 1024  # `data`, as compact JSON; it is copied with every notice
DATA_DEPTH_MAX: Final = 16  # nested objects and arrays in `data`; deeper is an attack or a mistake
MENTIONS_MAX: Final = 50  # users mentioned by one activity
RECIPIENTS_MAX: Final = 1_000  # users addressed by one activity; more is what following is for
RECORD_BYTES_MAX: Final = 512 * 1024  # one log record, encoded: half of what Kafka takes by default
REQUEST_BYTES_MAX: Final = 2 * 1024 * 1024  # one HTTP request's body
BATCH_MAX: Final = 1_000  # activities in one POST, ids in one mark
PREFERENCES_MAX: Final = 1_000  # items of one user
PROFILE_BYTES_MAX: Final = 1_024  # name, picture's address
TIME_MIN_MS: Final = 0  # 1970-01-01
TIME_MAX_MS: Final = 4_102_444_800_000  # 2100-01-01
FUTURE_MS: Final = 5 * 60 * 1000  # a producer's clock may run ahead this far and still move fold time
