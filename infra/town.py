"""A synthetic small town: who lives there, who follows whom, what happens next. Pure; everything from a seed.

Nobody in it is real: names are drawn from two lists, and everything published says `"synthetic": true`. Popularity is
heavy-tailed, as in real networks: who is followed gets followed, what is liked gets liked.
"""

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from msgspec import Struct

PEOPLE: Final = 240
FOLLOWS_EACH: Final = 14  # on average
SHOWN_FOLLOWS: Final = 28  # of the shown person: their inbox is to be lively
POSTS_KEPT: Final = 300  # of the town; older ones are no longer liked
OWN_KEPT: Final = 12  # posts of the shown person that others react to
BURST_MAX: Final = 24  # likes at one moment

FIRST: Final = (
    "Mara", "Jonas", "Ines", "Tariq", "Noor", "Emil", "Selma", "Bruno", "Yuki", "Amara", "Leo", "Dalia",
    "Oskar", "Priya", "Mateo", "Freya", "Kofi", "Lucia", "Anton", "Zeynep", "Hugo", "Linh", "Clara",
    "Idris", "Greta", "Pablo", "Sana", "Nils", "Ada", "Rafael", "Mina", "Elias", "Thea", "Omar", "Vera",
    "Caleb", "Aiko", "Milan", "Rosa", "Ivo",
)  # fmt: skip
LAST: Final = (
    "Lindqvist", "Okafor", "Brandt", "Moreau", "Haddad", "Sato", "Kovac", "Silva", "Petrov", "Nguyen",
    "Weber", "Rossi", "Andersen", "Khan", "Duarte", "Novak", "Diallo", "Fischer", "Costa", "Yilmaz",
    "Byrne", "Laurent", "Mori", "Santos", "Keller", "Adeyemi", "Ivanova", "Berg", "Romero", "Chen",
)  # fmt: skip
TITLES: Final = (
    "Tomato seedlings are finally up", "Grey cat near the mill, is it yours?",
    "Sunday soup at ours, bring a bowl", "The old cinema reopens on Friday",
    "First swim in the lake this year", "Who lent me this ladder?", "Choir needs two more basses",
    "I fixed the town clock (again)", "Lost glove, left, red wool", "Night walk through the orchard",
    "A fox on the football pitch", "My sourdough has a name now",
    "The bakery sells day-old bread for half", "Chess in the park, all levels",
    "Snowdrops behind the library", "Looking for a bike trailer to borrow", "Honey from the school roof",
    "The bus is late and nobody minds", "Half marathon, half walk", "Which bulbs survive our winter?",
    "New mural on Harbour Street", "Piano to give away, you carry it", "The quiet corner of the market",
    "Repair café on Saturday",
)  # fmt: skip
REMARKS: Final = (
    "Count me in!", "This made my day.", "Where exactly was that?", "I have one you can borrow.",
    "Same here, every year.", "Can you save me a piece?", "My kids will love this.",
    "I was just about to ask the same.", "Beautiful. More please.", "See you there.",
    "Ask Greta, she knows.", "Wait, since when do we have one?", "That explains a lot.",
    "I can help after six.", "Best news this week.", "Only if it doesn't rain.",
)  # fmt: skip
NOTES: Final = (
    "Are you around tonight?", "Left the keys with the baker.", "Thank you for yesterday!",
    "Can you send me the recipe?", "Your parcel is with us.", "Shall we take the early train?",
)  # fmt: skip


class Person(Struct, frozen=True):
    id: str
    name: str


class Post(Struct):
    """What others react to. `heat`: how often they did."""

    id: str
    owner: str
    title: str
    heat: int = 1


Happening = dict[str, Any]
"""An activity, as the API takes it."""


class Town:
    """The same `seed` gives the same town; `run` goes into ids, so that a second run is new to the server."""

    def __init__(self, seed: int, run: str, people: int = PEOPLE) -> None:
        self._random = Random(seed)  # noqa: S311 - a town, not a key
        self._run = run
        self._number = 0
        self.people = self._settle(people)
        self.shown = self.people[min(7, people - 1)]
        """Whose inbox the page shows: known in town, no celebrity."""
        self.follows = self._attach()
        self._fame = self._famous()
        self._posts: deque[Post] = deque(maxlen=POSTS_KEPT)
        self.own: deque[Post] = deque(maxlen=OWN_KEPT)
        """Posts of the shown person."""
        self._likes: set[tuple[str, str]] = set()
        self._opening = [self._post(self.shown) for _ in range(4)]

    def about(self) -> dict[str, Any]:
        """What the page must know: whom to show, who is there."""
        return {
            "user": self.shown.id,
            "people": [{"id": person.id, "name": person.name} for person in self.people],
            "posts": {post.id: post.title for post in self.own},
        }

    def beginning(self) -> list[Happening]:
        """Who follows whom, the shown person's circle first, and a few posts of theirs."""
        near = [pair for pair in self.follows if self.shown.id in pair]
        far = [pair for pair in self.follows if self.shown.id not in pair]
        return [*self._opening, *(self._one("follow", actor, object=other) for actor, other in [*near, *far])]

    def happenings(self) -> Iterator[list[Happening]]:
        """What happens, moment by moment, for ever."""
        while True:
            yield self._moment()

    def _settle(self, count: int) -> list[Person]:
        names = [f"{first} {last}" for first in FIRST for last in LAST]
        chosen = self._random.sample(names, min(count, len(names)))
        return [Person(name.lower().replace(" ", "."), name) for name in chosen]

    def _attach(self) -> list[tuple[str, str]]:
        """(follower, followed), by preferential attachment."""
        urn = list(self.people)  # everybody once, and twice more for each follower
        pairs: dict[tuple[str, str], None] = {}
        for person in self.people:
            wanted = (
                SHOWN_FOLLOWS if person is self.shown else 1 + int(self._random.expovariate(1 / FOLLOWS_EACH))
            )
            for _ in range(wanted):
                other = self._random.choice(urn)
                if other.id != person.id and (person.id, other.id) not in pairs:
                    pairs[person.id, other.id] = None
                    urn += [other, other]
        return list(pairs)

    def _famous(self) -> list[Person]:
        """Everybody as often as they are followed, and once: who posts."""
        by_id = {person.id: person for person in self.people}
        return [*self.people, *(by_id[followed] for _, followed in self.follows)]

    def _moment(self) -> list[Happening]:
        chance = self._random.random()
        near = self._random.random() < 0.4  # the page must not be empty while the town is busy
        if chance < 0.22 or not self._posts:
            return [
                self._post(self.shown if self._random.random() < 0.04 else self._random.choice(self._fame))
            ]
        post = self._random.choice(self.own) if near else self._hot()
        if chance < 0.62:
            return self._liked(post)
        if chance < 0.84:
            return [self._remark(post)]
        if chance < 0.89:
            actor, told = self._somebody(post.owner).id, {"title": post.title}
            return [self._one("repost", actor, object=post.id, owner=post.owner, data=told)]
        return [self._personal(self.shown if near else self._random.choice(self.people))]

    def _post(self, person: Person) -> Happening:
        post = Post(f"p-{self._run}-{self._next()}", person.id, self._random.choice(TITLES))
        self._posts.append(post)
        if person is self.shown:
            self.own.append(post)
        return self._one("post", person.id, object=post.id, data={"title": post.title})

    def _liked(self, post: Post) -> list[Happening]:
        """One like, now and then a wave of them."""
        wave = min(BURST_MAX, int(self._random.paretovariate(1.6)))
        likers = {self._somebody(post.owner).id: None for _ in range(wave)}
        fresh = [liker for liker in likers if (liker, post.id) not in self._likes]
        post.heat += len(fresh)
        if len(self._likes) > 50_000:
            self._likes.clear()
        self._likes.update((liker, post.id) for liker in fresh)
        if not fresh:  # everybody asked has liked it already: one takes it back
            liker = next(iter(likers))
            self._likes.discard((liker, post.id))
            return [self._one("unlike", liker, object=post.id, owner=post.owner)]
        told = {"title": post.title}
        return [self._one("like", liker, object=post.id, owner=post.owner, data=told) for liker in fresh]

    def _remark(self, post: Post) -> Happening:
        post.heat += 2
        mentions = [self.shown.id] if self._random.random() < 0.06 else []
        actor = self._somebody(post.owner).id
        return self._one(
            "comment", actor, object=f"c-{self._run}-{self._next()}", target=post.id, owner=post.owner,
            mentions=[name for name in mentions if name != actor],
            data={"text": self._random.choice(REMARKS), "title": post.title},
        )  # fmt: skip

    def _personal(self, person: Person) -> Happening:
        actor = self._somebody(person.id).id
        if self._random.random() < 0.35:
            return self._one("follow", actor, object=person.id)
        talk = "talk-" + "-".join(sorted((actor, person.id)))
        return self._one(
            "message", actor, object=f"m-{self._run}-{self._next()}", target=talk, recipients=[person.id],
            data={"text": self._random.choice(NOTES)},
        )  # fmt: skip

    def _hot(self) -> Post:
        """A recent post, the likelier the more people reacted to it."""
        recent = list(self._posts)[-60:]
        return self._random.choices(recent, [post.heat for post in recent])[0]

    def _somebody(self, but: str) -> Person:
        while True:
            person = self._random.choice(self.people)
            if person.id not in (but, self.shown.id):
                return person

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _one(self, kind: str, actor: str, **more: Any) -> Happening:
        data = {"synthetic": True} | more.pop("data", {})
        if kind in ("follow", "unfollow"):
            data = {}
        fields = {name: value for name, value in more.items() if value not in ([], None)}
        one = {"id": f"a-{self._run}-{self._next()}", "kind": kind, "actor": actor, **fields}
        return one | ({"data": data} if data else {})
