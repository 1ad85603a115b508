"""Draws what stands in a line: words, numbers, prices, dates and times of 2 to 8 characters."""

import random

SHORTEST, LONGEST = 2, 8
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def draw_text(words: list[str], draw: random.Random) -> str:
    while True:
        kind = draw.choices((phrase, labelled, number, price, date, time), (60, 12, 8, 8, 8, 4))[0]
        text = kind(words, draw)
        if SHORTEST <= len(text) <= LONGEST:
            return text


def phrase(words: list[str], draw: random.Random) -> str:
    text = " ".join(draw.choice(words) for _ in range(draw.choices((1, 2, 3), (4, 4, 2))[0]))
    return draw.choice((text, text, text.capitalize(), text.title(), text.upper()))


def labelled(words: list[str], draw: random.Random) -> str:
    word = draw.choice(words)
    return f"{draw.choice((word, word.capitalize(), word.upper()))} {draw.randint(1, 999)}"


def number(words: list[str], draw: random.Random) -> str:
    value = draw.randint(0, 10 ** draw.randint(2, 7))
    return draw.choice((f"{value}", f"{value:,}", f"{value / 100:.2f}", f"{value % 1000 / 10:.1f}%"))


def price(words: list[str], draw: random.Random) -> str:
    cents = draw.randint(1, 10 ** draw.randint(3, 6))
    return draw.choice(("$", "€", "£")) + draw.choice((f"{cents / 100:,.2f}", f"{cents // 100 + 1}"))


def date(words: list[str], draw: random.Random) -> str:
    day, month, year = draw.randint(1, 28), draw.randint(1, 12), draw.randint(1950, 2049)
    name = MONTHS[month - 1]
    return draw.choice((f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year}", f"{day} {name} {year}", f"{name} {day}"))


def time(words: list[str], draw: random.Random) -> str:
    return f"{draw.randint(0, 23)}:{draw.randint(0, 59):02}" + draw.choice(("", "", " h"))
