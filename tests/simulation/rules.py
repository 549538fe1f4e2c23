"""The rules of the simulated site: the shipped kinds without texts, and with times that a run of a minute reaches."""

SOURCE = """
[limits]
update_every_ms = 400
waiting_ms = 600_000
[kinds.follow]
change = true
audience = [{ to = "object", reason = "follow" }]
groups_by = "recipient"
[kinds.post]
creates = true
target = "none"
audience = [{ to = "followers_of_actor", reason = "post" }]
[kinds.comment]
creates = true
target = "required"
joins_thread = true
audience = [{ to = "owner", reason = "comment" }, { to = "thread", reason = "thread" }]
groups_by = "target"
[kinds.like]
target = "none"
audience = [{ to = "owner", reason = "like" }]
groups_by = "object"
[kinds.unlike]
undoes = "like"
target = "none"
[kinds.mention]
target = "none"
"""
