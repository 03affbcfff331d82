"""Write `reviews-sample.csv`: synthetic movie reviews, each with its sentiment.

Nobody wrote these reviews. Each is a few clauses in a random order; some hold an opinion. A word
alone does not tell what the opinion is, the words around it do:

    negation         "not very good", "hardly ever dull"
    none after all   "not only good but touching"
    intensifiers     "utterly dull" weighs 2, "a little dull" weighs 0.5
    mixed clauses    "a slow start, but a wonderful ending": what follows the "but" counts

The sentiment (1: positive, 0: negative) is the sign of the sum of the opinions. A model that knows
only which words occur cannot tell it well; one that looks at neighbouring words can.

The file is the same, byte for byte, on every machine and Python: only `random()`, which Python
keeps stable, and sums of halves, which are exact, are used.
"""

from __future__ import annotations

import random
from pathlib import Path

SEED = 1895
PARTS = {"train": 3000, "test": 1000}
TARGET = Path(__file__).with_name("reviews-sample.csv")

GOOD = [
    *("good", "great", "wonderful", "brilliant", "moving", "funny", "clever", "charming"),
    *("gripping", "superb", "touching", "fresh", "elegant", "exciting", "delightful", "tense"),
    *("original", "warm", "memorable", "sharp", "convincing", "thoughtful", "beautiful"),
    *("enjoyable", "lively"),
]
BAD = [
    *("bad", "dull", "boring", "slow", "predictable", "silly", "tedious", "awful", "clumsy"),
    *("flat", "tiresome", "shallow", "lazy", "confusing", "bland", "forgettable", "annoying"),
    *("lifeless", "wooden", "cheap", "messy", "pointless", "noisy", "dreary", "stale"),
]
STRONG = ["very", "truly", "utterly", "really", "incredibly"]
WEAK = ["a little", "slightly", "somewhat", "fairly"]
NEGATIONS = [
    *("not", "never", "hardly", "hardly ever", "not at all", "anything but", "far from"),
    *("not very", "not exactly", "never really"),
]
THINGS = [
    *("acting", "story", "music", "dialogue", "camera work", "first half", "second half"),
    *("leading actress", "villain", "humour", "editing", "supporting cast", "romance", "direction"),
]
PARTS_OF_A_FILM = ["start", "middle", "ending", "plot", "cast", "score", "script", "hero"]
ASIDES = [
    "I saw it on a {day} with my {person}",
    "it runs for about {number} hours",
    "my {person} had not read the book",
    "we watched it on a {day} evening",
    "the cinema was hardly half full",
    "most of it is set in {place}",
    "the director has made {number} films before",
    "there is a scene on a train to {place}",
    "I had never heard of it",
    "it is not said in which year it takes place",
    "the tickets were not cheap",
    "my {person} bought the popcorn",
]
BLANKS = {
    "day": ["Monday", "Tuesday", "Friday", "Saturday", "Sunday"],
    "person": ["sister", "brother", "neighbour", "daughter", "colleague", "father"],
    "number": ["two", "three", "four"],
    "place": ["Lisbon", "Chicago", "a small town", "the mountains", "Oslo", "Marseille"],
}


class Chance:
    """Random choices that are the same on every Python."""

    def __init__(self, seed: int) -> None:
        """Start from this seed."""
        self._random = random.Random(seed).random  # noqa: S311 - a sample, not a secret

    def happens(self, probability: float) -> bool:
        """Return true with this probability, between 0 and 1."""
        return self._random() < probability

    def pick(self, choices: list[str]) -> str:
        """Return one of the choices."""
        return choices[int(self._random() * len(choices))]

    def shuffled(self, items: list[str]) -> list[str]:
        """Return the items in a random order."""
        return [item for _, item in sorted((self._random(), item) for item in items)]

    def fill(self, text: str) -> str:
        """Return the text with its blanks filled."""
        return text.format(**{kind: self.pick(words) for kind, words in BLANKS.items()})


def judgement(chance: Chance, words: list[str]) -> tuple[str, float]:
    """Return one of these words, perhaps with one that strengthens it, and its weight."""
    if chance.happens(0.3):
        return f"{chance.pick(STRONG)} {chance.pick(words)}", 2.0
    if chance.happens(0.2):
        return f"{chance.pick(WEAK)} {chance.pick(words)}", 0.5
    return chance.pick(words), 1.0


def opinion(chance: Chance, sign: int) -> tuple[str, float]:
    """Return a clause that is in favour (sign 1) or not (-1), and its weight with that sign."""
    words, opposite = (GOOD, BAD) if sign > 0 else (BAD, GOOD)
    judged, weight = judgement(chance, words)
    if chance.happens(0.25):
        first, second = chance.shuffled(PARTS_OF_A_FILM)[:2]
        granted = f"{with_article(chance.pick(opposite))} {first}"
        return f"{granted}, but {with_article(judged)} {second}", weight * sign
    thing = chance.pick(THINGS)
    if chance.happens(0.3):
        return f"the {thing} is {chance.pick(NEGATIONS)} {chance.pick(opposite)}", 1.0 * sign
    if chance.happens(0.15):
        return f"the {thing} is not only {judged} but {chance.pick(words)}", (weight + 1) * sign
    return f"the {thing} is {judged}", weight * sign


def with_article(words: str) -> str:
    """Return the words behind an indefinite article, unless they have one."""
    if words.startswith("a "):
        return words
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def review(chance: Chance) -> tuple[str, int]:
    """Return a review and its sentiment; its opinions never balance."""
    total = 0.0
    while not total:
        opinions = [
            opinion(chance, 1 if chance.happens(0.5) else -1)
            for _ in range(int(chance.pick(["1", "2", "2", "3"])))
        ]
        total = sum(weight for _, weight in opinions)
    asides = chance.shuffled(ASIDES)[: int(chance.pick(["1", "2", "3"]))]
    clauses = chance.shuffled([*(text for text, _ in opinions), *map(chance.fill, asides)])
    text = " ".join(f"{clause[0].upper()}{clause[1:]}." for clause in clauses)
    return text, int(total > 0)


def sample() -> str:
    """Return the whole file: a header, then `split,sentiment,review` with no review twice."""
    chance = Chance(SEED)
    reviews: dict[str, int] = {}
    while len(reviews) < sum(PARTS.values()):
        text, sentiment = review(chance)
        reviews[text] = sentiment
    splits = [split for split, count in PARTS.items() for _ in range(count)]
    lines = [
        f'{split},{sentiment},"{text}"'
        for split, (text, sentiment) in zip(splits, reviews.items(), strict=True)
    ]
    return "\n".join(["split,sentiment,review", *lines, ""])


if __name__ == "__main__":
    TARGET.write_bytes(sample().encode("ascii"))
