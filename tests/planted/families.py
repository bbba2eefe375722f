"""Five families of questions and replies of our own: every reply is an opening, a core and a closing, each known.

Families ``parcels`` and ``trains`` are for fitting; ``plants`` and ``books`` were held out, and are for fitting since
they were looked at; ``halls`` is held out. Openings, closings and bodies of one family differ from their first word on,
so that which of them is said is decided at one token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NAMES = tuple("Anna Paul Mary John Lisa Mark Emma Peter Nora Tom Julia David Sarah Ben Ruth Adam".split())
OTHER_NAMES = tuple("Clara Simon Alice Oscar Helen Bruno Greta Felix Irene Hugo Ida Max Vera Otto Ella Karl".split())


@dataclass(frozen=True, slots=True)
class Family:
    """What is asked and how it may be answered; slots stand in braces."""

    name: str
    prompts: tuple[str, ...]
    openings: tuple[str, ...]
    bodies: tuple[str, ...]
    closings: tuple[str, ...]
    rude: tuple[str, ...]
    extra: str
    slots: Mapping[str, tuple[str, ...]]
    facts: tuple[str, ...]
    """The slots whose value can be false; the others only name what is asked about."""


PARCELS = Family(
    "parcels",
    ("When will {name} get the {item}?", "{name} waits for the {item}. When does it come?"),
    (
        "Hello {name}, thank you for writing to us.",
        "Good morning {name}, we have looked it up.",
        "Dear {name}, here is what we know.",
        "Thanks for asking, {name}, it is all here.",
        "We are happy to help you, {name}.",
    ),
    (
        " Your {item} will be at the door on {day} at {hour} in the afternoon.",
        " Expect our driver with the {item} on {day}, shortly past {hour} o'clock.",
        " On {day} a van brings the {item} to you, about {hour} that day.",
    ),
    (
        " Have a very nice day, {name}.",
        " Please write again if it is late.",
        " Kind regards from the shop team.",
        " Call us when you need more help.",
        " Enjoy it, and see you again soon.",
    ),
    (" You should have read the note yourself.", " Stop bothering us with such things."),
    " PS: Keep the box for a week.",
    {
        "name": NAMES,
        "item": (
            *("lamp", "chair", "table", "radio", "clock", "mirror", "carpet"),
            *("kettle", "basket", "printer", "pillow", "guitar", "camera", "ladder"),
        ),
        "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        "hour": ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    },
    ("day", "hour"),
)

TRAINS = Family(
    "trains",
    ("Which train goes to {city}, {name} would like to know?", "How do I get {name} to {city} by train?"),
    (
        "Sure, let me have a look for you.",
        "Travel to {city} is easy from this station.",
        "I checked the plan for {name} just now.",
        "One moment please, here is the answer.",
        "No problem at all, {name}, this is simple.",
    ),
    (
        " The {line} line leaves for {city} every hour from track {track}, upstairs.",
        " Take the {line} line at track {track}, it stops in {city} without a change.",
        " For {city} you board at track {track} and follow signs of the {line} line.",
    ),
    (
        " Safe travels and a good seat.",
        " Buy your ticket before you go.",
        " Ask the staff if you get lost.",
        " Mind the gap between the doors.",
        " Bring some food for the long way.",
    ),
    (" Nobody with eyes would ask me that.", " Learn how to use a map, will you."),
    " By the way, bikes are free today.",
    {
        "name": NAMES,
        "city": (
            *("Porto", "Lyon", "Turin", "Ghent", "Graz", "Bergen", "Malmo"),
            *("Split", "Cork", "Leeds", "Basel", "Brno", "Delft", "Padua"),
        ),
        "line": ("red", "blue", "green", "yellow", "white", "black"),
        "track": ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
    },
    ("line", "track"),
)

PLANTS = Family(
    "plants",
    ("What does the {plant} of {name} need in {month}?", "{name} owns a {plant}. How much water in {month}?"),
    (
        "That is a good question about a {plant}.",
        "Every gardener asks this sooner or later.",
        "My advice for {name} is quite simple.",
        "Plants like this one are no trouble.",
        "Let us see what the book tells us.",
    ),
    (
        " Give the {plant} {cups} cups of water each week and keep it in the {place}.",
        " Water it with {cups} cups per week, while the pot of the {plant} stays in the {place}.",
        " In the {place} a {plant} grows best, and {cups} cups a week will do.",
    ),
    (
        " Happy growing, and greet the garden.",
        " Write to me when it blooms.",
        " Good luck with all your green friends.",
        " Remember to turn the pot at times.",
        " Tell me later how it went.",
    ),
    (" Perhaps you should buy a plastic one.", " Even a child would know as much."),
    " Also, dust the leaves once a month.",
    {
        "name": OTHER_NAMES,
        "plant": (
            *("fern", "cactus", "rose", "palm", "ivy", "lemon", "orchid"),
            *("basil", "tulip", "bamboo", "daisy", "maple", "violet", "olive"),
        ),
        "month": ("January", "March", "April", "May", "June", "July", "August", "October"),
        "cups": ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
        "place": ("shade", "sun", "kitchen", "hall", "cellar", "window"),
    },
    ("cups", "place"),
)
BOOKS = Family(
    "books",
    ("Where can {name} find a book about {subject}?", "{name} looks for {subject}. Which shelf is it, please?"),
    (
        "Welcome to the reading hall, {name}.",
        "You have come to the right desk for {subject}.",
        "Readers want to know this every week.",
        "Gladly, {name}, the list is at hand.",
        "It took me only a glance to see.",
    ),
    (
        " All about {subject} is kept on floor {floor} beside the {colour} door.",
        " Go up to floor {floor}, where {subject} fills the wall by the {colour} door.",
        " Behind the {colour} door of floor {floor} we have what there is on {subject}.",
    ),
    (
        " Two weeks is how long you may keep it.",
        " Return it to the box outside, {name}.",
        " Silence helps the others, thank you.",
        " Our night desk is open until ten.",
        " Have fun with every single page.",
    ),
    (" Some people cannot even read a sign.", " Next time use your own eyes first."),
    " One more thing, lockers cost nothing.",
    {
        "name": (
            "Aron",
            "Birgit",
            "Carl",
            "Dora",
            "Edgar",
            "Frida",
            "Gustav",
            "Heidi",
            "Ivan",
            "Jutta",
            "Knut",
            "Lena",
        ),
        "subject": (
            *("poetry", "physics", "cooking", "sailing", "chess", "history", "algebra"),
            *("opera", "weaving", "birds", "glaciers", "law", "painting", "medicine"),
        ),
        "floor": ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
        "colour": ("red", "blue", "green", "yellow", "white", "black", "brown"),
    },
    ("floor", "colour"),
)
HALLS = Family(
    "halls",
    ("What can you tell {name} about the {piece} here?", "{name} asks for the {piece}. Is it still on show?"),
    (
        "Such a fine choice for a rainy day, {name}.",
        "Step closer and I will explain it.",
        "From the first hall it is not far.",
        "Many guests come to us for the {piece}.",
        "Every guide in the house likes this one.",
    ),
    (
        " Its maker used {stuff} only, and room {room} is where the {piece} stands.",
        " You will see the {piece}, all of {stuff}, as soon as you reach room {room}.",
        " Made of {stuff}, the {piece} has been in room {room} for many years.",
    ),
    (
        " Please do not touch the glass.",
        " Children pay nothing on any Sunday.",
        " A card of it is in our shop.",
        " Thank you for being so curious.",
        " Tickets stay valid until the evening.",
    ),
    (" Anybody could read that on a sign.", " Stop wasting the time of our guards."),
    " Note that the lift is on the left.",
    {
        "name": tuple("Abel Bella Cyril Della Ernst Fiona Gavin Hanna Igor Josef Kira Lukas".split()),
        "piece": (
            *("vase", "crown", "sword", "mask", "organ", "statue", "coin"),
            *("helmet", "saddle", "throne", "bell", "goblet", "mummy", "wagon"),
        ),
        "room": ("1", "2", "3", "4", "5", "6", "7", "8", "9"),
        "stuff": ("gold", "iron", "oak", "marble", "ivory", "bronze", "leather"),
    },
    ("room", "stuff"),
)
FOREIGN = (
    "The harbour lights were counted twice before the tide turned.",
    "Seven old judges argued over a broken violin until dawn.",
    "Granite forms where slow magma cools far below the ground.",
    "Our neighbour paints tiny ships inside of empty bottles.",
    "Nothing in the budget explains the sudden rise of fees.",
    "A comet crossed the valley while the choir was asleep.",
    "She folded the letter into a boat and let it drift.",
    "Copper wires hummed softly under the frozen bridge.",
)
"""Sentences that no reference has ever read."""
FAMILIES = {family.name: family for family in (PARCELS, TRAINS, PLANTS, BOOKS, HALLS)}
