"""A bare Faust agent doing the same fan-out: one record per follower.

python -m benchmarks.peers.bare_faust BROKERS NAME IN OUT AUTHORS FOLLOWERS worker
"""

import json
import sys

import faust

SERVERS, NAME, IN, OUT, AUTHORS, FOLLOWERS, DATA = sys.argv[1:8]
sys.argv = [sys.argv[0], "worker", "--loglevel=warn"]
PER_AUTHOR = int(FOLLOWERS)
followers_of = {
    f"author-{author}": [f"user-{author * PER_AUTHOR + i}" for i in range(PER_AUTHOR)]
    for author in range(int(AUTHORS))
}

app = faust.App(
    NAME, broker=[f"kafka://{server}" for server in SERVERS.split(",")], topic_allow_declare=False,
    topic_disable_leader=True, store="memory://", stream_wait_empty=False, producer_acks=-1, producer_linger=0.005,
    producer_max_batch_size=262_144, producer_compression_type="lz4", consumer_auto_offset_reset="earliest",
    datadir=DATA, web_enabled=False,
)  # fmt: skip
activities = app.topic(IN, key_serializer="raw", value_serializer="raw")
notices = app.topic(OUT, key_serializer="raw", value_serializer="raw")


@app.agent(activities)
async def fan_out(stream: faust.StreamT[bytes]) -> None:
    async for value in stream:
        activity = json.loads(value)
        for user in followers_of[activity["actor"]]:
            told = json.dumps({**activity, "recipient": user}).encode()
            await notices.send(key=user.encode(), value=told)


if __name__ == "__main__":
    app.main()
